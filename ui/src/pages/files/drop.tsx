/** Takes files and folders that are dropped anywhere on the page. */

import { type DragEvent, type ReactNode, useState } from "react";
import { inOneLine } from "../../api/errors";
import { PathText } from "../../parts/name";
import { useToast } from "../../parts/toasts";
import { type Collected, collectDropped, entriesOf } from "../../upload/collect";

interface Props {
  path: string;
  allowed: boolean;
  upload: (collected: Collected) => void;
  children: ReactNode;
}

export function DropZone({ path, allowed, upload, children }: Props) {
  // Enter and leave come for each element within; only their sum says whether the pointer has left.
  const [depth, setDepth] = useState(0);
  const toast = useToast();
  const ours = (event: DragEvent) => allowed && event.dataTransfer.types.includes("Files");
  const take = (event: DragEvent) => {
    if (!ours(event)) return;
    event.preventDefault();
    setDepth(0);
    const entries = entriesOf(event.dataTransfer);
    collectDropped(entries, path).then(upload, (error: unknown) => toast({ bad: true, text: inOneLine(error) }));
  };
  return (
    <section
      className={depth > 0 ? "drop over" : "drop"}
      aria-label="Files"
      onDragEnter={(event) => ours(event) && setDepth((before) => before + 1)}
      onDragLeave={(event) => ours(event) && setDepth((before) => Math.max(0, before - 1))}
      onDragOver={(event) => ours(event) && event.preventDefault()}
      onDrop={take}
    >
      {children}
      {depth > 0 && (
        <p className="drop-hint">
          Drop to upload to <PathText path={path} />
        </p>
      )}
    </section>
  );
}
