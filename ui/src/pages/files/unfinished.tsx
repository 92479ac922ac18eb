/** Uploads that were begun and not ended, as after a reload: each goes on once the same file is chosen again. */

import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { inOneLine } from "../../api/errors";
import type { Files } from "../../api/files";
import type { UnfinishedUpload } from "../../api/types";
import { bytes, count, percent, time } from "../../lib/format";
import { shownLast } from "../../lib/names";
import { parent } from "../../lib/paths";
import { Name, PathText } from "../../parts/name";
import { useToast } from "../../parts/toasts";
import { useServices, useUploads } from "../../services";
import { leftOver, mismatch } from "../../upload/memory";

export function Unfinished({ files }: { files: Files }) {
  const uploads = useUploads();
  const ended = uploads.filter((upload) => upload.state === "done" || upload.state === "cancelled").length;
  const query = useQuery({
    // What has ended in the queue is no longer in the server's list.
    queryKey: ["unfinished", files.ws, files.fs, ended],
    queryFn: () => files.unfinished(),
    placeholderData: (before) => before,
  });
  const left = leftOver(query.data ?? [], uploads, files);
  if (left.length === 0) return null;
  return (
    <details className="unfinished" open={left.length <= 3}>
      <summary>{count(left.length, "unfinished upload")}</summary>
      <p className="hint">Choose the same file again, and its upload goes on where it stopped.</p>
      <ul className="list">
        {left.map((upload) => (
          <Row key={upload.id} files={files} upload={upload} />
        ))}
      </ul>
    </details>
  );
}

function Row({ files, upload }: { files: Files; upload: UnfinishedUpload }) {
  const { queue, memory, client } = useServices();
  const toast = useToast();
  const input = useRef<HTMLInputElement>(null);
  const name = shownLast(upload.path);
  const choose = (file: File | undefined) => {
    if (!file) return;
    const problem = mismatch(upload, file, memory);
    if (problem) return toast({ bad: true, text: problem });
    queue.add([{ ws: files.ws, fs: files.fs, path: upload.path, file, serverId: upload.id, sent: upload.offset }]);
  };
  const discard = async () => {
    try {
      await files.discardUpload(upload.id);
      memory.forget(upload.id);
    } catch (error) {
      toast({ bad: true, text: inOneLine(error) });
    }
    void client.invalidateQueries({ queryKey: ["unfinished", files.ws, files.fs] });
  };
  return (
    <li>
      <div className="grow">
        <Name segment={upload.path.split("/").at(-1) ?? ""} />
        <small>
          {percent(upload.offset, upload.size)} % of {bytes(upload.size)}, to <PathText path={parent(upload.path)} />,
          kept until {time(upload.expiresAt)}
        </small>
      </div>
      <div className="buttons">
        <button type="button" onClick={() => input.current?.click()}>
          Choose the file<span className="unseen"> {name}</span>
        </button>
        <input
          ref={input}
          type="file"
          hidden
          aria-label={`The file ${name}`}
          onChange={(event) => {
            choose(event.target.files?.[0]);
            event.target.value = "";
          }}
        />
        <button type="button" className="quiet" onClick={() => void discard()}>
          Discard<span className="unseen"> {name}</span>
        </button>
      </div>
    </li>
  );
}
