/** The small dialogs of the files page: a name for something new, another name, another place, and one question. */

import { type FormEvent, useState } from "react";
import { ApiError, inOneLine } from "../../api/errors";
import type { Files } from "../../api/files";
import type { Entry } from "../../api/types";
import { count } from "../../lib/format";
import { editableName, isWithin, lastSegment, nameProblem } from "../../lib/paths";
import { Dialog } from "../../parts/dialog";
import { Field } from "../../parts/field";
import { Name } from "../../parts/name";
import { useWish } from "../../parts/wish";
import { FolderPicker } from "./folder-picker";

interface NameProps {
  title: string;
  label: string;
  action: string;
  initial?: string;
  onClose: () => void;
  submit: (name: string) => Promise<unknown>;
}

export function NameDialog({ title, label, action, initial = "", onClose, submit }: NameProps) {
  const [name, setName] = useState(initial);
  const [problem, setProblem] = useState<string | null>(null);
  const wish = useWish();
  const send = (event: FormEvent) => {
    event.preventDefault();
    const wrong = nameProblem(name);
    if (wrong) return setProblem(wrong);
    if (name === initial) return onClose();
    void wish.send(() => submit(name), { done: onClose, failed: (error) => setProblem(taken(error, name)) });
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={send}>
        <Field
          label={label}
          required
          autoComplete="off"
          value={name}
          onValue={setName}
          error={problem}
          onFocus={(event) => event.target.setSelectionRange(0, stemLength(event.target.value))}
        />
        <div className="buttons end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary">
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Who renames mostly keeps the suffix. */
function stemLength(name: string): number {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? dot : name.length;
}

function taken(error: unknown, name: string): string {
  if (error instanceof ApiError && error.code === "Exists") return `"${name}" is already here. Choose another name.`;
  return inOneLine(error);
}

export function renameInitial(entry: Entry): string {
  return editableName(lastSegment(entry.path));
}

interface MoveProps {
  files: Files;
  entries: Entry[];
  from: string;
  onClose: () => void;
  move: (folder: string) => Promise<void>;
}

export function MoveDialog({ files, entries, from, onClose, move }: MoveProps) {
  const [folder, setFolder] = useState(from);
  const [problem, setProblem] = useState<string | null>(null);
  const inside = entries.some((entry) => entry.type === "dir" && isWithin(folder, entry.path));
  const wish = useWish();
  const send = () => {
    if (inside) return setProblem("A folder cannot be moved into itself. Choose another folder.");
    void wish.send(() => move(folder), { done: onClose, failed: (error) => setProblem(inOneLine(error)) });
  };
  return (
    <Dialog
      title={entries.length === 1 ? "Move to another folder" : `Move ${count(entries.length, "item")}`}
      onClose={onClose}
    >
      {entries.length === 1 && entries[0] && (
        <p className="lead">
          <Name segment={lastSegment(entries[0].path)} />
        </p>
      )}
      <FolderPicker files={files} folder={folder} onFolder={setFolder} />
      {problem && (
        <p className="field-error" role="alert">
          {problem}
        </p>
      )}
      <div className="buttons end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" className="primary" disabled={folder === from} onClick={send}>
          Move here
        </button>
      </div>
    </Dialog>
  );
}

interface ForGoodProps {
  entries: Entry[];
  onClose: () => void;
  remove: () => void;
}

export function ForGoodDialog({ entries, onClose, remove }: ForGoodProps) {
  const [only] = entries;
  return (
    <Dialog title="Delete for good?" onClose={onClose}>
      <p>
        {entries.length === 1 && only ? <Name segment={lastSegment(only.path)} /> : count(entries.length, "item")} will
        not go into the trash and cannot be brought back.
      </p>
      <div className="buttons end">
        <button type="button" onClick={onClose}>
          Keep
        </button>
        <button
          type="button"
          className="danger"
          onClick={() => {
            remove();
            onClose();
          }}
        >
          Delete for good
        </button>
      </div>
    </Dialog>
  );
}
