/** Chooses a folder by walking: the folders in it are buttons, the way to it are breadcrumbs. */

import type { Files } from "../../api/files";
import { lastSegment } from "../../lib/paths";
import { sortEntries } from "../../lib/sort";
import { Icon } from "../../parts/icons";
import { Name } from "../../parts/name";
import { Empty, Loading, Problem } from "../../parts/problem";
import { Crumbs } from "./crumbs";
import { useListing } from "./listing";

/** More than anybody scrolls through; the breadcrumbs and the search lead to the rest. */
const SHOWN_MAX = 500;

interface Props {
  files: Files;
  folder: string;
  onFolder: (folder: string) => void;
}

export function FolderPicker({ files, folder, onFolder }: Props) {
  const listing = useListing(files, folder);
  const folders = sortEntries(
    listing.entries.filter((entry) => entry.type === "dir"),
    { key: "name", descending: false },
  );
  return (
    <div className="picker">
      <Crumbs label="Folder to move to" root={files.fs} path={folder} onPath={onFolder} />
      <ul aria-label="Folders in it">
        {folders.slice(0, SHOWN_MAX).map((entry) => (
          <li key={entry.path}>
            <button type="button" className="quiet" onClick={() => onFolder(entry.path)}>
              <Icon name="folder" />
              <Name segment={lastSegment(entry.path)} />
            </button>
          </li>
        ))}
      </ul>
      {listing.pending && <Loading what="Loading the folders" />}
      {listing.error ? <Problem error={listing.error} retry={listing.reload} /> : null}
      {!listing.pending && !listing.error && folders.length === 0 && <Empty>No folders in here.</Empty>}
    </div>
  );
}
