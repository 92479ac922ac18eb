/** The file API of one FileSystem, through the gateway. Paths are percent-encoded already and go into URLs as they are. */

import { ApiError } from "./errors";
import type { Gateway } from "./gateway";
import { lines } from "./ndjson";
import type { Entry, Import, ImportRequest, ListPage, TrashEntry, UnfinishedUpload, Usage } from "./types";

const PAGE_ENTRIES = 2000;
const SEARCH_ENTRIES = 1000;

export class Files {
  private readonly base: string;

  constructor(
    private readonly gateway: Gateway,
    readonly ws: string,
    readonly fs: string,
  ) {
    this.base = `/workspaces/${encodeURIComponent(ws)}/filesystems/${encodeURIComponent(fs)}/api`;
  }

  list(path: string, cursor: string | null, signal?: AbortSignal): Promise<ListPage> {
    const query = new URLSearchParams({ limit: String(PAGE_ENTRIES), sort: "name", order: "asc" });
    if (cursor) query.set("cursor", cursor);
    return this.gateway.json(`${this.base}/list/${path}?${query}`, signal ? { signal } : {});
  }

  stat(path: string): Promise<Entry> {
    return this.gateway.json(`${this.base}/stat/${path}`);
  }

  makeFolder(path: string): Promise<Entry> {
    return this.gateway.json(`${this.base}/folders/${path}`, { method: "PUT" });
  }

  /** A folder that may be there already, as when a tree is uploaded over another. */
  async ensureFolder(path: string): Promise<void> {
    try {
      await this.gateway.ask(`${this.base}/folders/${path}?parents=true`, { method: "PUT" });
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "Exists")) throw error;
    }
  }

  makeFile(path: string): Promise<Entry> {
    const headers = { "If-None-Match": "*", "Content-Type": "application/octet-stream" };
    return this.gateway.json(`${this.base}/content/${path}`, { method: "PUT", headers, body: new Blob([]) });
  }

  move(from: string, to: string): Promise<Entry> {
    return this.gateway.json(`${this.base}/move`, { method: "POST", json: { from, to } });
  }

  /** Into the trash; answers the id to restore it with, null where nothing was kept. */
  async remove(path: string, permanent = false): Promise<string | null> {
    const query = permanent ? "?recursive=true&permanent=true" : "?recursive=true";
    const response = await this.gateway.ask(`${this.base}/content/${path}${query}`, { method: "DELETE" });
    if (response.status === 204) return null;
    return ((await response.json()) as { trash: string }).trash;
  }

  async *search(path: string, name: string, signal: AbortSignal): AsyncGenerator<Entry | { limited: boolean }> {
    const query = new URLSearchParams({ name, limit: String(SEARCH_ENTRIES) });
    const response = await this.gateway.ask(`${this.base}/search/${path}?${query}`, { signal });
    if (!response.body) return;
    for await (const line of lines(response.body)) {
      const found = line as Entry & { done?: boolean; limited?: boolean; error?: { code: string; message: string } };
      if (found.error) throw new ApiError(500, found.error.code, found.error.message);
      yield found.done ? { limited: found.limited === true } : found;
    }
  }

  usage(): Promise<Usage> {
    return this.gateway.json(`${this.base}/usage`);
  }

  trash(cursor: string | null): Promise<{ entries: TrashEntry[]; next: string | null }> {
    return this.gateway.json(`${this.base}/trash${cursor ? `?${new URLSearchParams({ cursor })}` : ""}`);
  }

  restore(id: string, to?: string): Promise<Entry> {
    const json = to === undefined ? {} : { to };
    return this.gateway.json(`${this.base}/trash/${encodeURIComponent(id)}/restore`, { method: "POST", json });
  }

  async forget(id: string): Promise<void> {
    await this.gateway.ask(`${this.base}/trash/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  async emptyTrash(): Promise<void> {
    await this.gateway.ask(`${this.base}/trash`, { method: "DELETE" });
  }

  unfinished(): Promise<UnfinishedUpload[]> {
    return this.gateway.json(`${this.base}/uploads`);
  }

  async discardUpload(id: string): Promise<void> {
    const headers = { "Tus-Resumable": "1.0.0" };
    await this.gateway.ask(`${this.base}/uploads/${encodeURIComponent(id)}`, { method: "DELETE", headers });
  }

  imports(): Promise<Import[]> {
    return this.gateway.json(`${this.base}/imports`);
  }

  startImport(request: ImportRequest): Promise<Import> {
    return this.gateway.json(`${this.base}/imports`, { method: "POST", json: request });
  }

  resumeImport(id: string, keys: { accessKeyId: string; secretAccessKey: string }): Promise<Import> {
    return this.gateway.json(`${this.base}/imports/${encodeURIComponent(id)}/resume`, { method: "POST", json: keys });
  }

  async endImport(id: string): Promise<void> {
    await this.gateway.ask(`${this.base}/imports/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /** The first bytes of a file, for the preview. */
  async head(path: string, bytes: number, signal: AbortSignal): Promise<{ data: Uint8Array; whole: boolean }> {
    // An empty file has no first byte to ask for.
    const entry = await this.stat(path);
    if (entry.size === 0) return { data: new Uint8Array(), whole: true };
    const headers = { Range: `bytes=0-${bytes - 1}` };
    const response = await this.gateway.ask(`${this.base}/content/${path}`, { headers, signal });
    const data = new Uint8Array(await response.arrayBuffer()).subarray(0, bytes);
    return { data, whole: data.length >= entry.size };
  }

  previewUrl(entry: Entry): string {
    // The etag makes the browser load a changed file anew.
    return `${this.gateway.url(this.base)}/content/${entry.path}?preview=1&etag=${encodeURIComponent(entry.etag)}`;
  }

  downloadUrl(entry: Pick<Entry, "path" | "type">): string {
    const below = entry.type === "dir" ? `archive/${entry.path}?format=zip` : `content/${entry.path}`;
    return `${this.gateway.url(this.base)}/${below}`;
  }

  /** Whole, since the tus client resolves the relative Location of an upload against it. */
  uploadsUrl(): string {
    return new URL(`${this.gateway.url(this.base)}/uploads`, window.location.href).href;
  }
}
