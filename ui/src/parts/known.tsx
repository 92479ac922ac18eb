/** The pages of a file system, where there is one: an address may be old, or mistyped. */

import type { ReactNode } from "react";
import { href } from "../route";
import { useFileSystems } from "../services";

export function Known({ ws, fs, children }: { ws: string; fs: string; children: ReactNode }) {
  const { data } = useFileSystems(ws);
  // While the list is not known, or where somebody may not see it, the pages find out for themselves.
  if (!data || data.some((one) => one.name === fs)) return children;
  return (
    <section className="card">
      <h1>No such file system</h1>
      <p>
        There is no file system <strong className="name">{fs}</strong> in {ws}; it may have been deleted.{" "}
        <a href={href({ page: "filesystems", ws })}>Go to the file systems that are there.</a>
      </p>
    </section>
  );
}
