/** The queue of uploads, at the bottom of every page: it goes on while one looks at something else. */

import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { inOneLine } from "../api/errors";
import { bytes, count, duration, percent, rate } from "../lib/format";
import { shownLast } from "../lib/names";
import { lastSegment } from "../lib/paths";
import { useServices, useUploads } from "../services";
import { pathBesides } from "../upload/besides";
import type { Upload } from "../upload/queue";
import { type Totals, totals } from "../upload/totals";
import { Icon } from "./icons";
import { Name } from "./name";

/** More rows than anybody looks through; what runs or failed comes first. */
const ROWS_MAX = 100;

const RANK: Record<Upload["state"], number> = {
  failed: 0,
  running: 1,
  waiting: 2,
  paused: 3,
  queued: 4,
  done: 5,
  cancelled: 6,
};

export function UploadPanel() {
  const uploads = useUploads();
  const [open, setOpen] = useState(true);
  const panel = useRef<HTMLElement>(null);
  const sum = totals(uploads);
  const isOver = sum.active + sum.waiting + sum.paused + sum.failed === 0;
  // Nothing is left to look at or to decide: it makes itself small.
  useEffect(() => {
    // Not while a button in it has the focus, which would be nowhere then.
    if (!(isOver && panel.current?.contains(document.activeElement))) setOpen(!isOver);
  }, [isOver]);
  if (uploads.length === 0) return null;
  const rows = [...uploads].sort((a, b) => RANK[a.state] - RANK[b.state]).slice(0, ROWS_MAX);
  return (
    <section
      ref={panel}
      className="uploads"
      aria-label="Uploads"
      onKeyDown={(event) => closeOnEscape(event, () => setOpen(false))}
    >
      <PanelHead sum={sum} open={open} toggle={() => setOpen(!open)} />
      <Announce sum={sum} />
      {open && (
        <>
          <Buttons sum={sum} />
          <ul aria-label="Files being uploaded">
            {rows.map((upload) => (
              <Row key={upload.id} upload={upload} />
            ))}
          </ul>
          {uploads.length > ROWS_MAX && <p className="hint">and {count(uploads.length - ROWS_MAX, "more file")}</p>}
        </>
      )}
    </section>
  );
}

function closeOnEscape(event: KeyboardEvent, close: () => void): void {
  if (event.key === "Escape") close();
}

function PanelHead({ sum, open, toggle }: { sum: Totals; open: boolean; toggle: () => void }) {
  const left = sum.rate > 0 && sum.active > 0 ? duration((sum.size - sum.sent) / sum.rate) : "";
  return (
    <header>
      <button type="button" className="quiet grow" aria-expanded={open} onClick={toggle}>
        <strong>{headline(sum)}</strong>
        <small>
          {bytes(sum.sent)} of {bytes(sum.size)} {rate(sum.rate || null)} {left && `${left} left`}
        </small>
        <Icon name="chevron" />
      </button>
      <progress aria-label="All uploads" max={100} value={percent(sum.sent, sum.size) ?? 0} />
    </header>
  );
}

function headline(sum: Totals): string {
  if (sum.active > 0) return `Uploading ${sum.done + 1} of ${count(sum.files, "file")}`;
  if (sum.waiting > 0) return "Waiting for the connection";
  if (sum.paused > 0) return "Uploads paused";
  return sum.failed > 0 ? `${count(sum.failed, "file")} not uploaded` : `${count(sum.done, "file")} uploaded`;
}

/** Says beginnings and ends, not each percent: a screen reader would talk without a pause. */
function Announce({ sum }: { sum: Totals }) {
  const words = headline(sum).replace(/^Uploading .* of /, "Uploading ");
  return (
    <p className="unseen" role="status">
      {words}
    </p>
  );
}

function Buttons({ sum }: { sum: Totals }) {
  const { queue } = useServices();
  const moving = sum.active + sum.waiting > 0;
  return (
    <div className="buttons">
      {moving && (
        <button type="button" onClick={() => queue.pauseAll()}>
          <Icon name="pause" />
          Pause all
        </button>
      )}
      {sum.paused > 0 && (
        <button type="button" onClick={() => queue.resumeAll()}>
          <Icon name="play" />
          Resume all
        </button>
      )}
      {moving || sum.paused > 0 ? (
        <button type="button" onClick={() => queue.cancelAll()}>
          Cancel all
        </button>
      ) : (
        <button type="button" onClick={() => queue.clearEnded()}>
          Clear the list
        </button>
      )}
    </div>
  );
}

function Row({ upload }: { upload: Upload }) {
  const name = shownLast(upload.path);
  const ended = upload.state === "done" || upload.state === "cancelled";
  return (
    <li className={`upload ${upload.state}`}>
      <div className="grow">
        <Name segment={lastSegment(upload.path)} />
        <small>{status(upload)}</small>
        {!ended && (
          <progress aria-label={`Upload of ${name}`} max={100} value={percent(upload.sent, upload.size) ?? 0} />
        )}
        {upload.error && !ended && <p className="field-error">{errorOf(upload)}</p>}
        {upload.error?.code === "Exists" && <Clash upload={upload} name={name} />}
      </div>
      {!ended && <RowButtons upload={upload} name={name} />}
      {upload.state === "done" && <Icon name="check" />}
    </li>
  );
}

function errorOf(upload: Upload): string {
  return upload.state === "waiting" ? `${inOneLine(upload.error)} It goes on by itself.` : inOneLine(upload.error);
}

function status(upload: Upload): string {
  const sent = `${bytes(upload.sent)} of ${bytes(upload.size)}`;
  switch (upload.state) {
    case "queued":
      return `waits for its turn, ${bytes(upload.size)}`;
    case "running":
      return `${sent} ${rate(upload.rate || null)}`;
    case "waiting":
      return `connection lost at ${sent}`;
    case "paused":
      return `paused at ${sent}`;
    case "done":
      return bytes(upload.size);
    case "failed":
      return "not uploaded";
    case "cancelled":
      return "cancelled";
  }
}

function RowButtons({ upload, name }: { upload: Upload; name: string }) {
  const { queue } = useServices();
  const still = ["paused", "waiting", "failed"].includes(upload.state) && upload.error?.code !== "Exists";
  return (
    <div className="buttons">
      {still && (
        <button type="button" className="quiet" aria-label={`Resume ${name}`} onClick={() => queue.resume(upload.id)}>
          <Icon name="play" />
        </button>
      )}
      {(upload.state === "running" || upload.state === "queued") && (
        <button type="button" className="quiet" aria-label={`Pause ${name}`} onClick={() => queue.pause(upload.id)}>
          <Icon name="pause" />
        </button>
      )}
      <button type="button" className="quiet" aria-label={`Cancel ${name}`} onClick={() => queue.cancel(upload.id)}>
        <Icon name="close" />
      </button>
    </div>
  );
}

function Clash({ upload, name }: { upload: Upload; name: string }) {
  const { queue } = useServices();
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    // Only if nobody is doing something else, lest letters typed elsewhere replace a file.
    if (document.activeElement === document.body) first.current?.focus();
  }, []);
  return (
    <div className="buttons">
      <button
        ref={first}
        type="button"
        aria-label={`Keep both: ${name}`}
        onClick={() => queue.again(upload.id, { path: pathBesides(upload.path) })}
      >
        Keep both
      </button>
      <button type="button" aria-label={`Replace: ${name}`} onClick={() => queue.again(upload.id, { overwrite: true })}>
        Replace
      </button>
    </div>
  );
}
