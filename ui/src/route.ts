/** Pages lie behind "#": the gateway serves one document, and a path in it stays percent-encoded as the contract has it. */

import { type Path, segments } from "./lib/paths";

export type Route =
  | { page: "workspaces" }
  | { page: "filesystems"; ws: string }
  | { page: "storage"; ws: string }
  | { page: "mount"; ws: string; fs: string | null; from: Path }
  | { page: "files"; ws: string; fs: string; path: Path }
  | { page: "trash"; ws: string; fs: string }
  | { page: "imports"; ws: string; fs: string }
  | { page: "unknown" };

export function parseRoute(hash: string): Route {
  const [before = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const [kind, rawWs, place, rawFs, view, ...rest] = segments(before);
  if (kind === undefined) return { page: "workspaces" };
  const ws = plain(rawWs);
  if (kind !== "ws" || ws === null) return { page: "unknown" };
  if (place === undefined) return { page: "filesystems", ws };
  if (place === "storage") return { page: "storage", ws };
  if (place === "mount") {
    const wanted = new URLSearchParams(query);
    return { page: "mount", ws, fs: wanted.get("fs"), from: wanted.get("from") ?? "" };
  }
  const fs = plain(rawFs);
  if (place !== "fs" || fs === null) return { page: "unknown" };
  if (view === undefined || view === "files") return { page: "files", ws, fs, path: rest.join("/") };
  return view === "trash" || view === "imports" ? { page: view, ws, fs } : { page: "unknown" };
}

export function href(route: Route): string {
  switch (route.page) {
    case "workspaces":
    case "unknown":
      return "#/";
    case "filesystems":
      return `#/ws/${encodeURIComponent(route.ws)}`;
    case "storage":
      return `#/ws/${encodeURIComponent(route.ws)}/storage`;
    case "mount": {
      const query = new URLSearchParams();
      if (route.fs) query.set("fs", route.fs);
      if (route.from) query.set("from", route.from);
      const text = query.toString();
      return `#/ws/${encodeURIComponent(route.ws)}/mount${text ? `?${text}` : ""}`;
    }
    case "files":
      return `${within(route)}/files${route.path ? `/${route.path}` : ""}`;
    case "trash":
    case "imports":
      return `${within(route)}/${route.page}`;
  }
}

function within(route: { ws: string; fs: string }): string {
  return `#/ws/${encodeURIComponent(route.ws)}/fs/${encodeURIComponent(route.fs)}`;
}

/** Names of workspaces and file systems are Kubernetes names; anything else leads nowhere. */
function plain(text: string | undefined): string | null {
  return text !== undefined && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(text) ? text : null;
}
