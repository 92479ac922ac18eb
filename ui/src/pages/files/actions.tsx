/** What can be done to files, each with its note of success, its way back, and words when it failed. */

import { type ReactNode, useMemo } from "react";
import { inOneLine } from "../../api/errors";
import type { Files } from "../../api/files";
import type { Entry } from "../../api/types";
import { count } from "../../lib/format";
import { encodeName, join, lastSegment, parent } from "../../lib/paths";
import { Name, PathText } from "../../parts/name";
import { type Toast, useToast } from "../../parts/toasts";
import { useServices } from "../../services";

export interface Actions {
  remove(entries: Entry[]): Promise<void>;
  removeForGood(entries: Entry[]): Promise<void>;
  /** These throw, so that a dialog can show what is wrong beside its field. */
  makeFolder(folder: string, name: string): Promise<Entry>;
  makeFile(folder: string, name: string): Promise<Entry>;
  rename(entry: Entry, name: string): Promise<Entry>;
  move(entries: Entry[], folder: string): Promise<void>;
  download(entries: Pick<Entry, "path" | "type">[]): void;
}

export function useActions(files: Files): Actions {
  const toast = useToast();
  const { client } = useServices();
  return useMemo(() => {
    const changed = () => {
      for (const kind of ["list", "usage", "trash"])
        void client.invalidateQueries({ queryKey: [kind, files.ws, files.fs] });
    };
    return {
      remove: (entries) => remove(files, entries, toast, changed),
      removeForGood: (entries) => removeForGood(files, entries, toast, changed),
      makeFolder: (folder, name) => files.makeFolder(join(folder, encodeName(name))).finally(changed),
      makeFile: (folder, name) => files.makeFile(join(folder, encodeName(name))).finally(changed),
      rename: (entry, name) => files.move(entry.path, join(parent(entry.path), encodeName(name))).finally(changed),
      move: (entries, folder) => move(files, entries, folder, toast).finally(changed),
      download: (entries) => void download(files, entries, toast),
    };
  }, [files, toast, client]);
}

type Notify = (toast: Toast) => void;

type Failed = { entry: Entry; error: unknown }[];

const AT_ONCE = 6;
/** From here on it takes long enough that one wonders whether anything happens. */
const MANY = 50;

/** A few at a time. What fails stops nothing else: each is a wish of its own. */
async function each<T>(
  things: readonly T[],
  act: (thing: T) => Promise<void>,
): Promise<{ thing: T; error: unknown }[]> {
  const failed: { thing: T; error: unknown }[] = [];
  const rest = things.values();
  const worker = async () => {
    for (const thing of rest) await act(thing).catch((error: unknown) => void failed.push({ thing, error }));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return failed;
}

async function eachEntry(entries: Entry[], act: (entry: Entry) => Promise<void>): Promise<Failed> {
  return (await each(entries, act)).map(({ thing, error }) => ({ entry: thing, error }));
}

function sayMany(entries: Entry[], doing: string, toast: Notify): void {
  if (entries.length >= MANY) toast({ text: `${doing} ${count(entries.length, "item")} …` });
}

function sayFailures(failed: Failed, what: string, toast: Notify): void {
  const first = failed[0];
  if (!first) return;
  const others = failed.length > 1 ? ` (and ${failed.length - 1} more)` : "";
  const text = (
    <>
      <Subject entries={[first.entry]} />
      {others} could not be {what}. {inOneLine(first.error)}
    </>
  );
  toast({ bad: true, text });
}

function Subject({ entries }: { entries: Entry[] }): ReactNode {
  const [only] = entries;
  return entries.length === 1 && only ? <Name segment={lastSegment(only.path)} /> : count(entries.length, "item");
}

async function remove(files: Files, entries: Entry[], toast: Notify, changed: () => void): Promise<void> {
  const kept: string[] = [];
  const gone: Entry[] = [];
  sayMany(entries, "Deleting", toast);
  const failed = await eachEntry(entries, async (entry) => {
    const id = await files.remove(entry.path);
    if (id) kept.push(id);
    gone.push(entry);
  });
  changed();
  sayFailures(failed, "deleted", toast);
  if (gone.length === 0) return;
  const text = (
    <>
      Deleted <Subject entries={gone} />.
    </>
  );
  const undo = async () => {
    const [problem] = await each(kept, async (id) => void (await files.restore(id)));
    changed();
    toast(
      problem
        ? { bad: true, text: `Not everything came back. ${inOneLine(problem.error)}` }
        : { text: "Brought back." },
    );
  };
  toast(kept.length > 0 ? { text, action: { label: "Undo", run: () => void undo() } } : { text });
}

async function removeForGood(files: Files, entries: Entry[], toast: Notify, changed: () => void): Promise<void> {
  sayMany(entries, "Deleting", toast);
  const failed = await eachEntry(entries, async (entry) => void (await files.remove(entry.path, true)));
  changed();
  sayFailures(failed, "deleted", toast);
  const gone = entries.length - failed.length;
  if (gone > 0) toast({ text: `Deleted ${count(gone, "item")} for good.` });
}

async function move(files: Files, entries: Entry[], folder: string, toast: Notify): Promise<void> {
  if (entries.length === 1 && entries[0]) {
    await files.move(entries[0].path, join(folder, lastSegment(entries[0].path)));
  } else {
    const failed = await eachEntry(
      entries,
      async (entry) => void (await files.move(entry.path, join(folder, lastSegment(entry.path)))),
    );
    sayFailures(failed, "moved", toast);
    if (failed.length === entries.length) return;
  }
  const text = (
    <>
      Moved <Subject entries={entries} /> to <PathText path={folder} />.
    </>
  );
  toast({ text });
}

const BETWEEN_DOWNLOADS_MS = 400;
/** A browser asks or refuses when a page begins more. */
const DOWNLOADS_MAX = 10;

/** By links, so that the browser streams to disk; several with a pause, or it takes only the last. */
async function download(files: Files, entries: Pick<Entry, "path" | "type">[], toast: Notify): Promise<void> {
  if (entries.length > DOWNLOADS_MAX) {
    const text = `At most ${DOWNLOADS_MAX} can be downloaded at once. Download the whole folder as zip, or use the command wfs.`;
    return toast({ bad: true, text });
  }
  for (const entry of entries) {
    const link = document.createElement("a");
    link.href = files.downloadUrl(entry);
    link.download = "";
    link.rel = "noreferrer";
    document.body.append(link);
    link.click();
    link.remove();
    if (entries.length > 1) await new Promise((done) => setTimeout(done, BETWEEN_DOWNLOADS_MS));
  }
}
