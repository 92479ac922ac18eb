/** The manifest, to be copied. */

import { useRef, useState } from "react";
import { Icon } from "../../parts/icons";
import { Empty } from "../../parts/problem";

export function Manifest({ yaml, stale, name }: { yaml: string | null; stale: boolean; name: string }) {
  const text = useRef<HTMLPreElement>(null);
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(yaml ?? "");
      setSaid("Copied.");
    } catch {
      // Not every browser lets a page copy; then it is at least selected.
      if (text.current) window.getSelection()?.selectAllChildren(text.current);
      setSaid("Selected: copy it with Ctrl+C.");
    }
  };
  return (
    <section className="card manifest" aria-label="Manifest">
      <div className="bar">
        <h2>Manifest</h2>
        <button type="button" disabled={yaml === null} onClick={() => void copy()}>
          <Icon name="copy" />
          Copy
        </button>
      </div>
      <p role="status" className="hint">
        {stale ? "The form was changed since: show the manifest again." : said}
      </p>
      {yaml === null ? (
        <Empty>Fill in the form, then show the manifest.</Empty>
      ) : (
        <section className="text" aria-label="Manifest as YAML" tabIndex={0}>
          <pre ref={text}>{yaml}</pre>
        </section>
      )}
      {yaml !== null && (
        <p className="hint">
          Save it as <code>{name || "workload"}.yaml</code>, then{" "}
          <code>kubectl apply -f {name || "workload"}.yaml</code>.
        </p>
      )}
    </section>
  );
}
