/**
 * A gateway of ADR 18 that keeps everything in memory, for the pages' tests and for looking at them without a cluster.
 * It serves `dist` under the same policy as the real one, so that what the policy forbids fails here too.
 */

import { createReadStream, existsSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { filesApi, usage } from "./files";
import { EDITOR_TOKEN, fileSystems, manifest, Sessions, STORAGE, sessionView, VIEWER_TOKEN } from "./gateway";
import { empty, Fail, json, jsonBody, type Request } from "./http";
import { Imports } from "./imports";
import { seed } from "./seed";
import { Tree } from "./tree";
import { type Faults, Uploads } from "./tus";

export { EDITOR_TOKEN, VIEWER_TOKEN };

const POLICY = [
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'",
  "base-uri 'none'; frame-ancestors 'none'; form-action 'none'; require-trusted-types-for 'script'",
].join("; ");

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

export interface Mock {
  url: string;
  tree: Tree;
  faults: Faults;
  imports: Imports;
  sessions: Sessions;
  uploads: Uploads;
  close(): Promise<void>;
}

class Server {
  readonly tree = new Tree();
  readonly other = new Tree();
  readonly faults: Faults = { bytesPerSecond: 0, breaks: 0, breakAfterBytes: 0, beginMs: 0 };
  readonly sessions = new Sessions();
  readonly imports = new Imports(this.tree);
  readonly uploads = new Uploads(this.tree, this.faults);

  async answer(request: Request): Promise<void> {
    const path = request.url.pathname;
    if (!path.startsWith("/wfs/v1/")) return servePage(path, request);
    const rest = path.slice("/wfs/v1/".length);
    if (rest === "login" && request.method === "POST") return this.login(request);
    const session = this.sessions.of(request);
    if (rest === "session") return json(request, sessionView(session));
    if (rest === "logout") {
      this.sessions.logout(request);
      return empty(request);
    }
    if (rest === "workspaces")
      return json(request, [
        { name: "vision", fileSystems: 3 },
        { name: "speech", fileSystems: 1 },
      ]);
    const [, ws, kind, fs, api] = /^workspaces\/([^/]+)\/([a-z]+)(?:\/([^/]+)\/api\/(.*))?$/.exec(rest) ?? [];
    if (ws !== "vision" && ws !== "speech") throw new Fail("NotFound", "There is nothing here.");
    if (kind === "storage") return json(request, STORAGE);
    if (kind === "manifest") return json(request, manifest(await jsonBody(request)));
    if (kind !== "filesystems") throw new Fail("NotFound", "There is no such route.");
    if (fs === undefined) return json(request, fileSystems(session.editor, usage(this.tree).used));
    await this.files(fs, api ?? "", session.editor, request);
  }

  private async files(fs: string, api: string, editor: boolean, request: Request): Promise<void> {
    if (!["default", "fast", "archive"].includes(fs)) throw new Fail("NotFound", "There is nothing here.");
    if (fs === "archive") throw new Fail("Unreachable", "The file service of archive does not answer.");
    if (request.method !== "GET" && request.method !== "HEAD" && !editor) {
      throw new Fail("Forbidden", "You may read this file system, but not change it.");
    }
    const [kind, id, verb] = api.split("/");
    if (kind === "uploads") return this.uploads.answer(id, request);
    if (kind === "imports") return this.imports.answer(id, verb, request);
    await filesApi(fs === "default" ? this.tree : this.other, api, request);
  }

  private async login(request: Request): Promise<void> {
    const { id, session } = this.sessions.login((await jsonBody<{ token: string }>(request)).token);
    request.answer.setHeader("Set-Cookie", `__Host-wfs=${id}; Path=/; Secure; HttpOnly; SameSite=Strict`);
    json(request, sessionView(session));
  }
}

function servePage(path: string, request: Request): void {
  const dist = new URL("../dist/", import.meta.url).pathname;
  const file = join(dist, normalize(path === "/" ? "/index.html" : path));
  if (!file.startsWith(dist) || !existsSync(file)) throw new Fail("NotFound", "There is no such page.");
  request.answer.writeHead(200, {
    "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
  });
  createReadStream(file).pipe(request.answer);
}

async function handle(server: Server, incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
  const url = new URL(incoming.url ?? "/", "http://localhost");
  try {
    await server.answer({ method: incoming.method ?? "GET", url, incoming, answer });
  } catch (error) {
    if (answer.headersSent || answer.destroyed) return void answer.destroy();
    const fail = error instanceof Fail ? error : new Fail("Internal", String(error));
    answer.writeHead(fail.status, { "Content-Type": "application/json" });
    answer.end(JSON.stringify({ code: fail.code, message: fail.message, field: fail.field }));
  }
}

export async function startMock(options: { port?: number } = {}): Promise<Mock> {
  const server = new Server();
  seed(server.tree);
  const http = createServer((incoming, answer) => void handle(server, incoming, answer));
  await new Promise<void>((done) => http.listen(options.port ?? 0, "127.0.0.1", done));
  const { port } = http.address() as AddressInfo;
  const { tree, faults, imports, sessions, uploads } = server;
  const close = async () => {
    imports.close();
    http.closeAllConnections();
    await new Promise((done) => http.close(done));
  };
  // "localhost" and not the number: browsers take it for safe, so that Secure cookies work without a certificate.
  return { url: `http://localhost:${port}`, tree, faults, imports, sessions, uploads, close };
}
