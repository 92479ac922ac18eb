/** Whatever dialog is open over the files page. */

import type { Files } from "../../api/files";
import type { Entry } from "../../api/types";
import { CloudDialog } from "../imports/cloud-dialog";
import type { Actions } from "./actions";
import { ForGoodDialog, MoveDialog, NameDialog, renameInitial } from "./dialogs";
import { Preview } from "./preview";

export type Opened =
  | { kind: "folder" | "file" | "cloud" }
  | { kind: "rename" | "preview"; entry: Entry }
  | { kind: "move" | "forGood"; entries: Entry[] };

interface Props {
  opened: Opened | null;
  close: () => void;
  files: Files;
  path: string;
  actions: Actions;
  /** What is to be selected afterwards: what was made or renamed, or nothing. */
  select: (entry: Entry | null) => void;
}

export function Overlays({ opened, close, files, path, actions, select }: Props) {
  if (!opened) return null;
  switch (opened.kind) {
    case "folder":
      return (
        <NameDialog
          title="New folder"
          label="Name of the folder"
          action="Create"
          onClose={close}
          submit={(name) => actions.makeFolder(path, name).then(select)}
        />
      );
    case "file":
      return (
        <NameDialog
          title="New file"
          label="Name of the file"
          action="Create"
          onClose={close}
          submit={(name) => actions.makeFile(path, name).then(select)}
        />
      );
    case "rename":
      return (
        <NameDialog
          title="Rename"
          label="New name"
          action="Rename"
          initial={renameInitial(opened.entry)}
          onClose={close}
          submit={(name) => actions.rename(opened.entry, name).then(select)}
        />
      );
    case "move":
      return (
        <MoveDialog
          files={files}
          entries={opened.entries}
          from={path}
          onClose={close}
          move={(folder) => actions.move(opened.entries, folder).then(() => select(null))}
        />
      );
    case "forGood":
      return (
        <ForGoodDialog
          entries={opened.entries}
          onClose={close}
          remove={() => void actions.removeForGood(opened.entries)}
        />
      );
    case "preview":
      return (
        <Preview
          files={files}
          entry={opened.entry}
          onClose={close}
          onDownload={() => actions.download([opened.entry])}
        />
      );
    case "cloud":
      return <CloudDialog files={files} destination={path} onClose={close} />;
  }
}
