/** The pages of a workspace and of a file system, where there are such: an address may be old, or mistyped. */

import type { ReactNode } from "react";
import { ApiError } from "../api/errors";
import { href } from "../route";
import { useFileSystems } from "../services";
import { useTitle } from "./title";

export function Known({ ws, fs, children }: { ws: string; fs: string | null; children: ReactNode }) {
  const { data, error } = useFileSystems(ws);
  if (data === undefined && error instanceof ApiError && error.code === "NotFound") {
    return (
      <Missing title="No such workspace" to="#/" elsewhere="Go to your workspaces.">
        There is no workspace <strong className="name">{ws}</strong>, or you may not see it.
      </Missing>
    );
  }
  // While the list is not known, or where somebody may not see it, the pages find out for themselves.
  if (fs === null || !data || data.some((one) => one.name === fs)) return children;
  const list = href({ page: "filesystems", ws });
  return (
    <Missing title="No such file system" to={list} elsewhere="Go to the file systems that are there.">
      There is no file system <strong className="name">{fs}</strong> in {ws}; it may have been deleted.
    </Missing>
  );
}

interface Props {
  title: string;
  to: string;
  elsewhere: string;
  children: ReactNode;
}

function Missing({ title, to, elsewhere, children }: Props) {
  useTitle(title);
  return (
    <section className="card">
      <h1>{title}</h1>
      <p>
        {children} <a href={to}>{elsewhere}</a>
      </p>
    </section>
  );
}
