/** What the mock's file systems hold at the start: ordinary files, ten thousand rows, and names that mean harm. */

import { crc32, deflateSync } from "node:zlib";
import { bytesOf, node, type Tree } from "./tree";

/** Names that a careless page would break on, as bytes. */
export const HOSTILE_NAMES = [
  bytesOf("<img src=x onerror=document.title='owned'>.txt"),
  bytesOf("\"><script>document.title='owned'</script>"),
  bytesOf("invoice\u202etxt.exe"),
  bytesOf("line\nbreak"),
  bytesOf(" lead and trail "),
  bytesOf("{{7*7}} ${7*7} %2e%2e%2f"),
  bytesOf("javascript:document.title='owned'"),
  "latin\xe9\xff.txt",
  bytesOf("back\\slash"),
];

export function seed(tree: Tree): void {
  const day = 86_400_000;
  const file = (path: string, data: Buffer | string, daysAgo = 3) => {
    const what = node("file", Buffer.from(data), Date.now() - daysAgo * day);
    tree.put(path.split("/").map(bytesOf), what, { parents: true });
  };
  file("datasets/imagenet/train/index.csv", "id,label\n1,cat\n2,dog\n");
  file("datasets/imagenet/README.md", "# ImageNet\n\nA sample.\n", 40);
  file("datasets/speech/clip-1.wav", Buffer.alloc(180_000), 12);
  file("checkpoints/run-9/step-1000.pt", Buffer.alloc(3_200_000), 1);
  file("checkpoints/run-10/step-2000.pt", Buffer.alloc(3_200_000), 1);
  file("notebooks/explore.ipynb", "{}", 6);
  file("notes.txt", "Learning rate 3e-4 works best.\nSee run-10.\n", 0.2);
  file("train.py", "import torch\n\nprint(torch.cuda.device_count())\n", 2);
  file("loss.png", picture(), 1);
  file("requirements.txt", "torch\nnumpy\n", 20);
  const many = tree.folder(["many"], true);
  for (let at = 0; at < 10_000; at += 1) {
    many.children.set(`sample-${at}.json`, node("file", Buffer.from(`{"id":${at}}`), Date.now() - at * 60_000));
  }
  const hostile = tree.folder(["hostile names"], true);
  for (const name of HOSTILE_NAMES) hostile.children.set(name, node("file", Buffer.from("harmless\n")));
  hostile.children.set("pipe", node("other"));
  hostile.children.set("link", node("symlink"));
}

/** A small picture made here: a falling curve. */
function picture(): Buffer {
  const [width, height] = [240, 120];
  const rows = Buffer.alloc(height * (width * 3 + 1), 245);
  for (let x = 0; x < width; x += 1) {
    const y = Math.round(15 + 90 * (1 - Math.exp(-x / 60)));
    for (let dot = y; dot < Math.min(height, y + 3); dot += 1)
      rows.set([36, 86, 199], dot * (width * 3 + 1) + 1 + x * 3);
  }
  for (let y = 0; y < height; y += 1) rows[y * (width * 3 + 1)] = 0;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const chunk = (kind: string, data: Buffer) => {
    const named = Buffer.concat([Buffer.from(kind), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc32(named), 4);
    return Buffer.concat([ends.subarray(0, 4), named, ends.subarray(4)]);
  };
  const magic = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    magic,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
