/** The gateway of ADR 18 as the pages speak to it: with the session's cookie, and its csrf word on what changes something. */

import { ApiError, errorOf } from "./errors";
import type { FileSystem, ManifestRequest, Session, Storage, Workspace } from "./types";

export const BASE = "/wfs/v1";

export interface Asking {
  method?: string;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export class Gateway {
  private csrf = "";
  /** Who was logged in last, also after that login has ended. */
  user: string | null = null;
  /** Called when an answer says that the login has ended. */
  onLoginEnded: () => void = () => {};

  constructor(private readonly base = BASE) {}

  url(path: string): string {
    return `${this.base}${path}`;
  }

  /** The headers of a request that changes something. */
  guard(): Record<string, string> {
    return { "X-Wfs-Csrf": this.csrf };
  }

  async ask(path: string, asking: Asking = {}): Promise<Response> {
    const method = asking.method ?? "GET";
    const headers = new Headers(asking.headers);
    if (method !== "GET" && method !== "HEAD") headers.set("X-Wfs-Csrf", this.csrf);
    if (asking.json !== undefined) headers.set("Content-Type", "application/json");
    const body = asking.json !== undefined ? JSON.stringify(asking.json) : (asking.body ?? null);
    let response: Response;
    try {
      response = await fetch(this.url(path), {
        method,
        headers,
        body,
        signal: asking.signal ?? null,
        cache: "no-store",
      });
    } catch (error) {
      if (asking.signal?.aborted) throw error;
      throw new ApiError(0, "Offline", "");
    }
    if (response.ok || response.status === 304) return response;
    const error = errorOf(response.status, await response.text().catch(() => ""));
    if (error.code === "Unauthenticated" && path !== "/session" && path !== "/login") this.onLoginEnded();
    throw error;
  }

  async json<T>(path: string, asking: Asking = {}): Promise<T> {
    return (await (await this.ask(path, asking)).json()) as T;
  }

  async login(token: string): Promise<Session> {
    return this.remember(await this.json<Session>("/login", { method: "POST", json: { token } }));
  }

  /** The session, or null where there is none. */
  async session(signal?: AbortSignal): Promise<Session | null> {
    try {
      return this.remember(await this.json<Session>("/session", signal ? { signal } : {}));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  }

  async logout(): Promise<void> {
    await this.ask("/logout", { method: "POST" });
  }

  workspaces(): Promise<Workspace[]> {
    return this.json("/workspaces");
  }

  fileSystems(ws: string): Promise<FileSystem[]> {
    return this.json(`/workspaces/${encodeURIComponent(ws)}/filesystems`);
  }

  storage(ws: string): Promise<Storage> {
    return this.json(`/workspaces/${encodeURIComponent(ws)}/storage`);
  }

  manifest(ws: string, request: ManifestRequest): Promise<{ yaml: string }> {
    return this.json(`/workspaces/${encodeURIComponent(ws)}/manifest`, { method: "POST", json: request });
  }

  private remember(session: Session): Session {
    this.csrf = session.csrf;
    this.user = session.user;
    return session;
  }
}
