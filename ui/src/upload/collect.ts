/** Files and folders as they are dropped or chosen, as one flat list with their paths below the folder on the page. */

import { encodeName, join } from "../lib/paths";

export interface Collected {
  files: { path: string; file: File }[];
  /** Folders, parents first; empty ones would be lost if only files were uploaded. */
  folders: string[];
}

/** The part of the browser's FileSystemEntry that is used. */
export interface DroppedEntry {
  isFile: boolean;
  isDirectory: boolean;
  name: string;
}

interface DroppedFile extends DroppedEntry {
  file(done: (file: File) => void, failed: (error: unknown) => void): void;
}

interface DroppedFolder extends DroppedEntry {
  createReader(): { readEntries(done: (entries: DroppedEntry[]) => void, failed: (error: unknown) => void): void };
}

/** To be called within the drop event: its items are gone afterwards. */
export function entriesOf(transfer: DataTransfer): DroppedEntry[] {
  return [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => (item.webkitGetAsEntry() as DroppedEntry | null) ?? plainFile(item.getAsFile()))
    .filter((entry) => entry !== null);
}

/** What another program hands over may be no entry of a file system, but is a file all the same. */
function plainFile(file: File | null): DroppedFile | null {
  return file && { isFile: true, isDirectory: false, name: file.name, file: (done) => done(file) };
}

export async function collectDropped(entries: DroppedEntry[], folder: string): Promise<Collected> {
  const found: Collected = { files: [], folders: [] };
  const rest = entries.map((entry) => ({ entry, folder })).reverse();
  for (let next = rest.pop(); next; next = rest.pop()) {
    const path = join(next.folder, encodeName(next.entry.name));
    if (next.entry.isDirectory) {
      found.folders.push(path);
      const children = await childrenOf(next.entry as DroppedFolder);
      for (const child of children.reverse()) rest.push({ entry: child, folder: path });
    } else if (next.entry.isFile) {
      const entry = next.entry as DroppedFile;
      const file = await new Promise<File>((done, failed) => entry.file(done, failed));
      found.files.push({ path, file });
    }
  }
  return found;
}

/** A reader gives at most a hundred entries at a time. */
async function childrenOf(folder: DroppedFolder): Promise<DroppedEntry[]> {
  const reader = folder.createReader();
  const children: DroppedEntry[] = [];
  for (;;) {
    const some = await new Promise<DroppedEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return children;
    children.push(...some);
  }
}

/** Of an `<input type=file>`, also one that chooses folders. */
export function collectChosen(files: Iterable<File>, folder: string): Collected {
  const found: Collected = { files: [], folders: [] };
  const seen = new Set<string>();
  for (const file of files) {
    const names = (file.webkitRelativePath || file.name).split("/").map(encodeName);
    let at = folder;
    for (const name of names.slice(0, -1)) {
      at = join(at, name);
      if (!seen.has(at)) found.folders.push(at);
      seen.add(at);
    }
    found.files.push({ path: join(at, names.at(-1) as string), file });
  }
  return found;
}
