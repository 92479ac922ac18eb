/** A look at a picture or a text without downloading it. Nothing of the file is ever run or laid out as markup. */

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Files } from "../../api/files";
import type { Entry } from "../../api/types";
import { bytes, time } from "../../lib/format";
import { shownLast, visibleText } from "../../lib/names";
import { lastSegment } from "../../lib/paths";
import { Dialog } from "../../parts/dialog";
import { Icon } from "../../parts/icons";
import { Name, PathText } from "../../parts/name";
import { Empty, Loading, Problem } from "../../parts/problem";

const TEXT_BYTES = 128 * 1024;

export function isImage(path: string): boolean {
  return /\.(png|jpe?g|gif|webp|avif)$/i.test(path);
}

interface Props {
  files: Files;
  entry: Entry;
  onClose: () => void;
  onDownload: () => void;
}

export function Preview({ files, entry, onClose, onDownload }: Props) {
  return (
    <Dialog wide title={<Name segment={lastSegment(entry.path)} />} onClose={onClose}>
      <p className="lead">
        <PathText path={entry.path} />, {bytes(entry.size)}, changed {time(entry.modified)}, mode {entry.mode}, owner{" "}
        {entry.uid}:{entry.gid}
      </p>
      {isImage(entry.path) ? <Picture files={files} entry={entry} /> : <Text files={files} entry={entry} />}
      <div className="buttons end">
        <button type="button" className="primary" onClick={onDownload}>
          <Icon name="download" />
          Download
        </button>
      </div>
    </Dialog>
  );
}

function Picture({ files, entry }: { files: Files; entry: Entry }) {
  const [broken, setBroken] = useState(false);
  if (broken) return <Empty>This picture cannot be shown. It may be damaged; download it to look closer.</Empty>;
  return (
    <div className="picture">
      <img src={files.previewUrl(entry)} alt={shownLast(entry.path)} onError={() => setBroken(true)} />
    </div>
  );
}

function Text({ files, entry }: { files: Files; entry: Entry }) {
  const query = useQuery({
    queryKey: ["preview", files.ws, files.fs, entry.path, entry.etag],
    queryFn: ({ signal }) => files.head(entry.path, TEXT_BYTES, signal),
    gcTime: 0,
  });
  if (query.isPending) return <Loading what="Loading the file's beginning" />;
  if (query.isError) return <Problem error={query.error} retry={() => void query.refetch()} />;
  const text = textOf(query.data.data, query.data.whole);
  if (text === null) return <Empty>This is no text and no picture that could be shown here.</Empty>;
  if (text === "") return <Empty>This file is empty.</Empty>;
  return (
    <>
      <section className="text" aria-label="Content" tabIndex={0}>
        <pre>{visibleText(text)}</pre>
      </section>
      {!query.data.whole && <p className="hint">Only the first {bytes(TEXT_BYTES)} are shown.</p>}
    </>
  );
}

/** The bytes as text; null for what is none. */
export function textOf(data: Uint8Array, whole: boolean): string | null {
  if (data.includes(0)) return null;
  try {
    // A file cut off may end within a character: as a stream, the decoder waits for the rest instead of refusing.
    return new TextDecoder("utf-8", { fatal: true }).decode(data, { stream: !whole });
  } catch {
    return null;
  }
}
