/** One import: where from, where to, how far, and what to do if it stopped. */

import { inOneLine } from "../../api/errors";
import type { Files } from "../../api/files";
import type { Import, Rights } from "../../api/types";
import { bytes, count, duration, percent, rate, time } from "../../lib/format";
import { visibleText } from "../../lib/names";
import { PathText } from "../../parts/name";
import { useToast } from "../../parts/toasts";
import { href } from "../../route";
import { useServices } from "../../services";

const STATES: Record<Import["state"], string> = {
  listing: "Listing the bucket",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  interrupted: "Interrupted",
};

interface Props {
  files: Files;
  one: Import;
  rights: Rights;
  again: () => void;
  keys: () => void;
}

export function ImportCard({ files, one, rights, again, keys }: Props) {
  const running = one.state === "listing" || one.state === "running";
  const end = useEnd(files, one);
  const prefix = one.prefix ? `/${visibleText(one.prefix)}` : "";
  return (
    <li className={`card import ${one.state}`}>
      <h2>
        <bdi>
          {one.provider === "r2" ? "R2" : "S3"}: {one.bucket}
          {prefix}
        </bdi>
      </h2>
      <p className="lead">
        to{" "}
        <a href={href({ page: "files", ws: files.ws, fs: files.fs, path: one.destination })}>
          <PathText path={one.destination} />
        </a>
        , begun {time(one.startedAt)} by {one.startedBy}
      </p>
      <p role="status" className="import-state">
        <strong>{STATES[one.state]}</strong>
      </p>
      <Progress one={one} running={running} />
      {one.message && (
        <p className={one.state === "failed" ? "field-error" : "hint"}>
          {one.message}
          {one.field && one.state === "failed" && ` (see the field "${one.field}")`}
        </p>
      )}
      <Failures one={one} />
      {rights.write && (
        <div className="buttons">
          {one.state === "interrupted" && (
            <button type="button" className="primary" onClick={keys}>
              Enter the keys again
            </button>
          )}
          {(one.state === "failed" || one.state === "cancelled") && (
            <button type="button" onClick={again}>
              Correct and try again
            </button>
          )}
          <button type="button" className={running ? "" : "quiet"} onClick={() => void end()}>
            {running ? "Cancel the import" : "Remove from the list"}
            <span className="unseen"> {one.bucket}</span>
          </button>
        </div>
      )}
    </li>
  );
}

function Progress({ one, running }: { one: Import; running: boolean }) {
  const { objects } = one;
  // A listing that goes on makes the total grow: a share of it would go backwards.
  const known = one.state !== "listing" && one.bytes.total > 0;
  const facts = [
    `${objects.done.toLocaleString("en")} of ${count(objects.total, "object")}`,
    `${bytes(one.bytes.done)} of ${bytes(one.bytes.total)}`,
    objects.skipped > 0 ? `${count(objects.skipped, "object")} here already` : "",
    running ? rate(one.rate) : "",
    running && one.etaSeconds ? `${duration(one.etaSeconds)} left` : "",
  ];
  return (
    <>
      {running && (
        <progress
          aria-label={`Import of ${one.bucket}`}
          max={100}
          {...(known ? { value: percent(one.bytes.done, one.bytes.total) ?? 0 } : {})}
        />
      )}
      <p className="import-facts">{facts.filter(Boolean).join(", ")}</p>
      {one.bySize > 0 && !running && (
        <p className="hint">
          {count(one.bySize, "object")} could be checked by size only: the bucket gives no checksum for them.
        </p>
      )}
    </>
  );
}

function Failures({ one }: { one: Import }) {
  if (one.objects.failed === 0) return null;
  return (
    <details>
      <summary>{count(one.objects.failed, "object")} not imported</summary>
      <ul className="failures">
        {one.failures.map((failure) => (
          <li key={failure.key}>
            <bdi>
              <code>{visibleText(failure.key)}</code>
            </bdi>
            : {failure.reason}
          </li>
        ))}
      </ul>
    </details>
  );
}

function useEnd(files: Files, one: Import): () => Promise<void> {
  const { client } = useServices();
  const toast = useToast();
  return async () => {
    await files.endImport(one.id).catch((error: unknown) => toast({ bad: true, text: inOneLine(error) }));
    await client.invalidateQueries({ queryKey: ["imports", files.ws, files.fs] });
  };
}
