/** What was deleted and can still be had back. */

import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { inOneLine } from "../api/errors";
import type { TrashEntry } from "../api/types";
import { bytes, time } from "../lib/format";
import { shownLast } from "../lib/names";
import { lastSegment, parent } from "../lib/paths";
import { Dialog } from "../parts/dialog";
import { FsTabs } from "../parts/fs-tabs";
import { Icon } from "../parts/icons";
import { Name, PathText } from "../parts/name";
import { Empty, Loading, Problem } from "../parts/problem";
import { useTitle } from "../parts/title";
import { useToast } from "../parts/toasts";
import { useFiles, useRights, useServices } from "../services";

export function TrashPage({ ws, fs }: { ws: string; fs: string }) {
  useTitle(`Trash of ${fs}`);
  const files = useFiles(ws, fs);
  const rights = useRights(ws, fs);
  const act = useTrash(ws, fs);
  const [asking, setAsking] = useState<"all" | TrashEntry | null>(null);
  const query = useInfiniteQuery({
    queryKey: ["trash", ws, fs],
    queryFn: ({ pageParam }) => files.trash(pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
  const entries = query.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <>
      <FsTabs ws={ws} fs={fs} here="trash" />
      <div className="bar">
        <h1>Trash of {fs}</h1>
        <button type="button" disabled={!rights.delete || entries.length === 0} onClick={() => setAsking("all")}>
          <Icon name="trash" />
          Empty the trash
        </button>
      </div>
      {query.isPending && <Loading what="Loading the trash" />}
      {query.isError && <Problem error={query.error} retry={() => void query.refetch()} />}
      {query.isSuccess && entries.length === 0 && <Empty>The trash is empty.</Empty>}
      <ul className="list" aria-label="Deleted files">
        {entries.map((entry) => (
          <li key={entry.id}>
            <Deleted entry={entry} />
            <div className="buttons">
              <button type="button" disabled={!rights.write} onClick={() => act.restore.mutate(entry)}>
                <Icon name="undo" />
                Restore<span className="unseen"> {shownLast(entry.path)}</span>
              </button>
              <button
                type="button"
                className="quiet"
                aria-label={`Delete for good: ${shownLast(entry.path)}`}
                disabled={!rights.delete}
                onClick={() => setAsking(entry)}
              >
                Delete for good
              </button>
            </div>
          </li>
        ))}
      </ul>
      {query.hasNextPage && (
        <button type="button" onClick={() => void query.fetchNextPage()}>
          Show more
        </button>
      )}
      {asking && <Ask what={asking} close={() => setAsking(null)} forget={(which) => act.forget.mutate(which)} />}
    </>
  );
}

function Deleted({ entry }: { entry: TrashEntry }) {
  return (
    <div className="grow">
      <div className="strong">
        <Icon name={entry.type === "dir" ? "folder" : "file"} />
        <Name segment={lastSegment(entry.path)} />
      </div>
      <small>
        from <PathText path={parent(entry.path)} />, {bytes(entry.size)}, deleted {time(entry.deletedAt)} by{" "}
        {entry.deletedBy}, kept until {time(entry.expiresAt)}
      </small>
    </div>
  );
}

interface AskProps {
  what: "all" | TrashEntry;
  close: () => void;
  forget: (what: "all" | TrashEntry) => void;
}

function Ask({ what, close, forget }: AskProps) {
  return (
    <Dialog title={what === "all" ? "Empty the trash?" : "Delete for good?"} onClose={close}>
      <p>
        {what === "all" ? "Everything in the trash" : <Name segment={lastSegment(what.path)} />} will be gone and cannot
        be brought back.
      </p>
      <div className="buttons end">
        <button type="button" onClick={close}>
          Keep
        </button>
        <button
          type="button"
          className="danger"
          onClick={() => {
            forget(what);
            close();
          }}
        >
          Delete for good
        </button>
      </div>
    </Dialog>
  );
}

function useTrash(ws: string, fs: string) {
  const files = useFiles(ws, fs);
  const { client } = useServices();
  const toast = useToast();
  const changed = () => {
    for (const kind of ["trash", "list", "usage"]) void client.invalidateQueries({ queryKey: [kind, ws, fs] });
  };
  const onError = (error: unknown) => toast({ bad: true, text: inOneLine(error) });
  const restore = useMutation({
    mutationFn: (entry: TrashEntry) => files.restore(entry.id),
    onSuccess: (entry) => {
      changed();
      toast({ text: <>Restored to {<PathText path={entry.path} />}.</> });
    },
    onError,
  });
  const forget = useMutation({
    mutationFn: (what: "all" | TrashEntry) => (what === "all" ? files.emptyTrash() : files.forget(what.id)),
    onSuccess: () => {
      changed();
      toast({ text: "Deleted for good." });
    },
    onError,
  });
  return { restore, forget };
}
