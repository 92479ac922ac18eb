/** The file API of one FileSystem, over the tree in memory. */

import { body, empty, Fail, json, jsonBody, type Request } from "./http";
import { decodePath, encodePath, entry, type Node, node, shown, sizeOf, type Tree } from "./tree";
import { zip } from "./zip";

const CAPACITY_BYTES = 100 * 1024 ** 3;
const SORTED_MAX = 50_000;

/** Answers what is no upload and no import. `rest` is the target behind `/api/`, still encoded. */
export async function filesApi(tree: Tree, rest: string, request: Request): Promise<void> {
  const slash = rest.indexOf("/");
  const kind = slash < 0 ? rest : rest.slice(0, slash);
  const path = () => decodePath(slash < 0 ? "" : rest.slice(slash + 1));
  const key = `${request.method} ${kind}`;
  if (key === "GET list") return list(tree, path(), request);
  if (key === "GET stat") return json(request, entry(path(), tree.find(path())));
  if (key === "PUT folders") return makeFolder(tree, path(), request);
  if (key === "GET content" || key === "HEAD content") return content(tree, path(), request);
  if (key === "PUT content") return putContent(tree, path(), request);
  if (key === "DELETE content") return remove(tree, path(), request);
  if (key === "POST move") return move(tree, request);
  if (key === "GET archive") return archive(tree, path(), request);
  if (key === "GET search") return search(tree, path(), request);
  if (key === "GET usage") return json(request, usage(tree));
  if (kind === "trash") return trash(tree, slash < 0 ? [] : rest.slice(slash + 1).split("/"), request);
  throw new Fail("NotFound", "There is no such route.");
}

function list(tree: Tree, path: string[], request: Request): void {
  const folder = tree.folder(path);
  const query = request.url.searchParams;
  let entries = [...folder.children].map(([name, at]) => entry([...path, name], at));
  const sorted = entries.length <= SORTED_MAX;
  if (sorted) entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const from = Number(query.get("cursor") ?? 0);
  const limit = Number(query.get("limit") ?? 1000);
  const next = from + limit < entries.length ? String(from + limit) : null;
  entries = entries.slice(from, from + limit);
  json(request, { entries, next, sorted });
}

function makeFolder(tree: Tree, path: string[], request: Request): void {
  const made = node("dir");
  tree.put(path, made, { parents: request.url.searchParams.get("parents") === "true" });
  json(request, entry(path, made), 201);
}

const INLINE: Record<string, string> = {
  png: "image/png",
  jpg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
  txt: "text/plain; charset=utf-8",
};

function content(tree: Tree, path: string[], request: Request): void {
  const at = tree.find(path);
  if (at.type === "dir") throw new Fail("IsDirectory", "This is a folder.");
  if (at.type !== "file") throw new Fail("NotRegular", "This is no regular file.");
  const suffix = (path.at(-1) ?? "").split(".").at(-1) ?? "";
  const inline = request.url.searchParams.get("preview") === "1" ? INLINE[suffix] : undefined;
  const headers: Record<string, string> = {
    "Content-Type": inline ?? "application/octet-stream",
    "Content-Disposition": inline ? "inline" : `attachment; filename*=UTF-8''${encodePath(path.slice(-1))}`,
    "Content-Security-Policy": "sandbox",
    ETag: entry(path, at).etag,
    "Accept-Ranges": "bytes",
  };
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.incoming.headers.range ?? "");
  let data = at.data;
  if (range) {
    const end = Math.min(range[2] ? Number(range[2]) : data.length - 1, data.length - 1);
    if (Number(range[1]) > end) return empty(request, 416);
    headers["Content-Range"] = `bytes ${range[1]}-${end}/${data.length}`;
    data = data.subarray(Number(range[1]), end + 1);
  }
  request.answer.writeHead(range ? 206 : 200, { ...headers, "Content-Length": String(data.length) });
  request.answer.end(request.method === "HEAD" ? undefined : data);
}

async function putContent(tree: Tree, path: string[], request: Request): Promise<void> {
  const fresh = node("file", await body(request));
  const overwrite = request.incoming.headers["if-none-match"] !== "*";
  tree.put(path, fresh, { overwrite, parents: request.url.searchParams.get("parents") === "true" });
  json(request, entry(path, fresh), 201);
}

function remove(tree: Tree, path: string[], request: Request): void {
  const query = request.url.searchParams;
  const at = tree.find(path);
  if (at.children.size > 0 && query.get("recursive") !== "true") throw new Fail("NotEmpty", "The folder is not empty.");
  if (query.get("permanent") === "true") {
    tree.take(path);
    return empty(request);
  }
  json(request, { trash: tree.discard(path) });
}

async function move(tree: Tree, request: Request): Promise<void> {
  const wish = await jsonBody<{ from: string; to: string; overwrite?: boolean; parents?: boolean }>(request);
  const [from, to] = [decodePath(wish.from), decodePath(wish.to)];
  if (encodePath(to).startsWith(`${encodePath(from)}/`)) {
    throw new Fail("BadRequest", "A folder cannot be moved into itself.", "to");
  }
  const at = tree.find(from);
  tree.put(to, at, wish);
  tree.take(from);
  json(request, entry(to, at));
}

function archive(tree: Tree, path: string[], request: Request): void {
  const name = path.at(-1) ?? "files";
  const data = zip(name, tree.find(path));
  request.answer.writeHead(200, {
    "Content-Type": "application/zip",
    "Content-Disposition": `attachment; filename*=UTF-8''${encodePath([name])}.zip`,
  });
  request.answer.end(data);
}

function search(tree: Tree, path: string[], request: Request): void {
  const wanted = (request.url.searchParams.get("name") ?? "").toLowerCase();
  const limit = Number(request.url.searchParams.get("limit") ?? 1000);
  let found = 0;
  request.answer.writeHead(200, { "Content-Type": "application/x-ndjson" });
  const walk = (at: Node, where: string[]) => {
    for (const [name, child] of at.children) {
      if (found >= limit) return;
      if (shown(name).toLowerCase().includes(wanted)) {
        found += 1;
        request.answer.write(`${JSON.stringify(entry([...where, name], child))}\n`);
      }
      walk(child, [...where, name]);
    }
  };
  walk(tree.folder(path), path);
  request.answer.end(`${JSON.stringify({ done: true, limited: found >= limit })}\n`);
}

export function usage(tree: Tree) {
  const trashBytes = [...tree.trash.values()].reduce((sum, { node }) => sum + sizeOf(node), 0);
  const used = sizeOf(tree.root) + trashBytes;
  const rest = { capacity: CAPACITY_BYTES, available: CAPACITY_BYTES - used, inodes: null, inodesUsed: null };
  return { ...rest, used, trash: { bytes: trashBytes, entries: tree.trash.size } };
}

async function trash(tree: Tree, [id, verb]: string[], request: Request): Promise<void> {
  if (request.method === "GET") {
    const entries = [...tree.trash.values()].map((thing) => ({
      id: thing.id,
      path: encodePath(thing.path),
      name: shown(thing.path.at(-1) ?? ""),
      type: thing.node.type,
      size: sizeOf(thing.node),
      deletedAt: new Date(thing.deletedAt).toISOString(),
      expiresAt: new Date(thing.deletedAt + 30 * 86_400_000).toISOString(),
      deletedBy: "ada",
    }));
    return json(request, { entries, next: null });
  }
  if (request.method === "DELETE") {
    if (id === undefined) tree.trash.clear();
    else if (!tree.trash.delete(id)) throw new Fail("NotFound", "This is no longer in the trash.");
    return empty(request);
  }
  const thing = tree.trash.get(id ?? "");
  if (!thing || verb !== "restore") throw new Fail("NotFound", "This is no longer in the trash.");
  const to = (await jsonBody<{ to?: string }>(request)).to;
  const path = to === undefined ? thing.path : decodePath(to);
  tree.put(path, thing.node, { parents: true });
  tree.trash.delete(thing.id);
  json(request, entry(path, thing.node));
}
