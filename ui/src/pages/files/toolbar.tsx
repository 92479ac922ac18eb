/** What can be done in a folder, and with what is selected in it. */

import { useRef } from "react";
import type { Entry, Rights } from "../../api/types";
import { count } from "../../lib/format";
import { Icon } from "../../parts/icons";
import { Menu } from "../../parts/menu";
import { type Collected, collectChosen } from "../../upload/collect";

interface UploadProps {
  path: string;
  upload: (collected: Collected) => void;
  onCloud: () => void;
}

/** Two inputs, since a browser lets one choose either files or a folder. */
export function UploadMenu({ path, upload, onCloud }: UploadProps) {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const take = (input: HTMLInputElement) => {
    if (input.files) upload(collectChosen([...input.files], path));
    // The same file may be chosen once more.
    input.value = "";
  };
  return (
    <>
      <Menu
        primary
        icon="upload"
        label="Upload File"
        items={[
          { label: "Files", icon: "file", run: () => files.current?.click() },
          { label: "Folder", icon: "folder", run: () => folder.current?.click() },
          { label: "From Cloud", icon: "cloud", run: onCloud },
        ]}
      />
      <input
        ref={files}
        type="file"
        multiple
        hidden
        aria-label="Files to upload"
        onChange={(event) => take(event.target)}
      />
      <input
        ref={(input) => {
          folder.current = input;
          input?.setAttribute("webkitdirectory", "");
        }}
        type="file"
        hidden
        aria-label="Folder to upload"
        onChange={(event) => take(event.target)}
      />
    </>
  );
}

export interface Commands {
  newFolder: () => void;
  newFile: () => void;
  rename: () => void;
  move: () => void;
  remove: () => void;
  download: () => void;
  downloadAll: () => void;
  clear: () => void;
}

interface Props {
  rights: Rights;
  chosen: Entry[];
  run: Commands;
  mountHref: string;
}

export function Toolbar(props: Props) {
  const { rights, chosen, run, mountHref } = props;
  return (
    <div className="buttons toolbars">
      <div className="buttons" role="toolbar" aria-label="Folder">
        <button type="button" disabled={!rights.write} onClick={run.newFolder}>
          <Icon name="plus" />
          New folder
        </button>
        <button type="button" disabled={!rights.write} onClick={run.newFile}>
          <Icon name="plus" />
          New file
        </button>
        {chosen.length === 0 && (
          <>
            <button type="button" disabled={!rights.read} onClick={run.downloadAll}>
              <Icon name="download" />
              Download all as zip
            </button>
            <a className="button" href={mountHref}>
              <Icon name="disk" />
              Mount this folder
            </a>
          </>
        )}
      </div>
      {chosen.length > 0 && <SelectionBar {...props} />}
    </div>
  );
}

function SelectionBar({ rights, chosen, run }: Props) {
  const moves = rights.write && rights.delete;
  const readable = chosen.every((entry) => entry.type === "file" || entry.type === "dir");
  return (
    <div className="buttons" role="toolbar" aria-label="Selection">
      <span className="selected-count">{count(chosen.length, "item")} selected</span>
      <button type="button" disabled={!readable} onClick={run.download}>
        <Icon name="download" />
        {chosen.length === 1 && chosen[0]?.type === "dir" ? "Download as zip" : "Download"}
      </button>
      <button type="button" disabled={!moves || chosen.length !== 1} onClick={run.rename}>
        <Icon name="pencil" />
        Rename
      </button>
      <button type="button" disabled={!moves} onClick={run.move}>
        <Icon name="move" />
        Move
      </button>
      <button type="button" disabled={!rights.delete} onClick={run.remove}>
        <Icon name="trash" />
        Delete
      </button>
      <button type="button" className="quiet" onClick={run.clear}>
        <Icon name="close" />
        Clear
      </button>
    </div>
  );
}
