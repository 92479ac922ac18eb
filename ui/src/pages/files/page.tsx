/** The files of one folder: what is in it, and everything one can do with it. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Files } from "../../api/files";
import type { Entry } from "../../api/types";
import { bytes, count } from "../../lib/format";
import { shownPath } from "../../lib/names";
import { NOTHING, only } from "../../lib/selection";
import { space } from "../../lib/words";
import { FsTabs } from "../../parts/fs-tabs";
import { Icon } from "../../parts/icons";
import { Empty, Loading, Problem } from "../../parts/problem";
import { useTitle } from "../../parts/title";
import { href } from "../../route";
import { useFileSystem, useFiles, useRights } from "../../services";
import { useActions } from "./actions";
import { Crumbs } from "./crumbs";
import { DropZone } from "./drop";
import { type Listing, useListing, useSearch } from "./listing";
import { type Opened, Overlays } from "./overlays";
import { FileTable } from "./table";
import { Toolbar, UploadMenu } from "./toolbar";
import { Unfinished } from "./unfinished";
import { useUploader } from "./uploader";
import { useBrowser } from "./use-browser";

interface Place {
  ws: string;
  fs: string;
  path: string;
}

export function FilesPage({ ws, fs, path }: Place) {
  useTitle(`${shownPath(path)} in ${fs}`);
  const files = useFiles(ws, fs);
  const rights = useRights(ws, fs);
  const [text, setText] = useState("");
  const [opened, setOpened] = useState<Opened | null>(null);
  // What was searched for lay below the folder that was left.
  // biome-ignore lint/correctness/useExhaustiveDependencies: to be run when the folder changes
  useEffect(() => setText(""), [path]);
  const listing = useListing(files, path);
  const found = useSearch(files, path, text);
  const actions = useActions(files);
  const upload = useUploader(files);
  const browser = useBrowser({
    path,
    entries: found?.entries ?? listing.entries,
    rights,
    actions,
    open: setOpened,
    ws,
    fs,
  });
  const hrefOf = (to: string) => href({ page: "files", ws, fs, path: to });
  return (
    <>
      <FsTabs ws={ws} fs={fs} here="files" />
      <div className="bar">
        <h1 className="unseen">Files</h1>
        <Crumbs label="Folder" root={fs} path={path} hrefOf={(to) => hrefOf(to)} />
        <SearchBox text={text} onText={setText} />
        {rights.write && (
          <UploadMenu path={path} upload={(what) => void upload(what)} onCloud={() => setOpened({ kind: "cloud" })} />
        )}
      </div>
      <Toolbar
        rights={rights}
        chosen={browser.chosen}
        run={browser.commands}
        mountHref={href({ page: "mount", ws, fs, from: path })}
      />
      {rights.write && <Unfinished files={files} />}
      <DropZone path={path} allowed={rights.write} upload={(what) => void upload(what)}>
        {listing.error ? <Problem error={listing.error} retry={listing.reload} /> : null}
        {found?.error ? <Problem error={found.error} /> : null}
        <FileTable
          label={`Files in ${shownPath(path)}`}
          rows={browser.rows}
          selection={browser.selection}
          sort={listing.sortable || found ? browser.sort : null}
          showFolder={found !== null}
          folderHref={(entry: Entry) => hrefOf(entry.path)}
          {...browser.handlers}
        />
        <Below listing={listing} found={found} />
      </DropZone>
      <StatusLine files={files} listing={listing} found={found?.entries.length ?? null} selected={browser.chosen} />
      <Overlays
        opened={opened}
        close={() => setOpened(null)}
        files={files}
        path={path}
        actions={actions}
        select={(entry) => browser.select(entry ? only(entry.path) : NOTHING)}
      />
    </>
  );
}

function SearchBox({ text, onText }: { text: string; onText: (text: string) => void }) {
  return (
    <search className="search">
      <Icon name="search" />
      <input
        type="search"
        aria-label="Search by name in this folder and below"
        placeholder="Search by name"
        spellCheck={false}
        value={text}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={(event) => event.key === "Escape" && onText("")}
      />
    </search>
  );
}

function Below({ listing, found }: { listing: Listing; found: ReturnType<typeof useSearch> }) {
  if (found) {
    if (found.running) return <Loading what={`Searching, ${count(found.entries.length, "name")} found so far`} />;
    if (found.limited) return <p className="hint">There are more names like this: search for a longer part.</p>;
    return found.entries.length === 0 && !found.error ? <Empty>No name contains this.</Empty> : null;
  }
  if (listing.pending) return <Loading what="Loading the folder" />;
  if (listing.more) {
    return (
      <p className="hint">
        This folder is very large: {count(listing.entries.length, "entry", "entries")} are shown.{" "}
        <button type="button" onClick={listing.more}>
          Show more
        </button>
      </p>
    );
  }
  if (listing.entries.length > 0 || listing.error) return null;
  return <Empty>This folder is empty. Drop files here, or use Upload File.</Empty>;
}

interface StatusProps {
  files: Files;
  listing: Listing;
  /** How many names a search found; null while nothing is searched for. */
  found: number | null;
  selected: Entry[];
}

function StatusLine({ files, listing, found, selected }: StatusProps) {
  const usage = useQuery({ queryKey: ["usage", files.ws, files.fs], queryFn: () => files.usage(), staleTime: 10_000 });
  const sum = selected.filter((entry) => entry.type === "file").reduce((total, entry) => total + entry.size, 0);
  const chosen =
    selected.length > 0 ? `${selected.length.toLocaleString("en")} selected${sum > 0 ? `, ${bytes(sum)}` : ""}` : "";
  const entries = listing.pending ? "" : count(listing.entries.length, "entry", "entries");
  return (
    <p className="status-line">
      <span role="status">
        {found === null ? entries : `${count(found, "name")} found`}
        {found === null && listing.loading && " so far"}
        {found === null && !listing.sortable && ", in the file system's own order (more than 50,000)"}
        {chosen && `, ${chosen}`}
      </span>
      <span>{space(useFileSystem(files.ws, files.fs), usage.data)}</span>
    </p>
  );
}
