/** The pages of a workspace and of a file system, where there are such: an address may be old, or mistyped. */

import type { ReactNode } from "react";
import { ApiError } from "../api/errors";
import { href } from "../route";
import { useFileSystems } from "../services";

export function Known({ ws, fs, children }: { ws: string; fs: string | null; children: ReactNode }) {
  const { data, error } = useFileSystems(ws);
  if (data === undefined && error instanceof ApiError && error.code === "NotFound") {
    return (
      <section className="card">
        <h1>No such workspace</h1>
        <p>
          There is no workspace <strong className="name">{ws}</strong>, or you may not see it.{" "}
          <a href="#/">Go to your workspaces.</a>
        </p>
      </section>
    );
  }
  // While the list is not known, or where somebody may not see it, the pages find out for themselves.
  if (fs === null || !data || data.some((one) => one.name === fs)) return children;
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
