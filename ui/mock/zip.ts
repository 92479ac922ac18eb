/** A zip of a tree, stored without compression: enough for a test to open what was downloaded. */

import { crc32 } from "node:zlib";
import type { Node } from "./tree";

export function zip(name: string, root: Node): Buffer {
  const files: { path: Buffer; data: Buffer }[] = [];
  const walk = (path: string, at: Node) => {
    if (at.type === "dir") for (const [child, below] of at.children) walk(`${path}/${child}`, below);
    else if (at.type === "file") files.push({ path: Buffer.from(path, "latin1"), data: at.data });
  };
  walk(name, root);
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { path, data } of files) {
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(0x800, 2); // names are UTF-8
    fields.writeUInt32LE(crc32(data), 10);
    fields.writeUInt32LE(data.length, 14);
    fields.writeUInt32LE(data.length, 18);
    fields.writeUInt16LE(path.length, 22);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(offset, 10);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), fields, path, data]);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), fields, place, path]));
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}
