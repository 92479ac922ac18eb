/**
 * A browser before a gateway: the mock of this folder, or a real one where WSFS_UI_URL names it. Flows use only what both
 * have, in a folder of their own; what needs the mock's hands asks for `mock` and is left out elsewhere.
 */

import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFailed } from "vitest";
import { EDITOR_TOKEN, type Mock, startMock, VIEWER_TOKEN } from "../mock/server";

export const REAL_URL = process.env.WSFS_UI_URL;
/**
 * Before a real gateway there is no mock: flows that tell it to break a connection, to end a session, to let an import stand still, or
 * that count on its workspace's node groups, cannot run there.
 */
export const WITHOUT_MOCK = REAL_URL !== undefined;
export const WORKSPACE = process.env.WSFS_UI_WORKSPACE ?? "vision";
export const FILE_SYSTEM = process.env.WSFS_UI_FS ?? "default";
export const TOKEN = process.env.WSFS_UI_TOKEN ?? EDITOR_TOKEN;
/** Somebody who may read and nothing more; before a real gateway only if one is named. */
export const VIEWER = process.env.WSFS_UI_VIEWER_TOKEN ?? (REAL_URL ? undefined : VIEWER_TOKEN);
const SHOTS = process.env.WSFS_UI_SHOTS;

const WIDE = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

export interface Stage {
  url: string;
  /** Undefined before a real gateway. */
  mock: Mock | undefined;
  browser: Browser;
}

/** The browser and the gateway of one file of flows. */
export function stage(): Stage {
  const shared = {} as Stage;
  beforeAll(async () => {
    shared.mock = REAL_URL ? undefined : await startMock();
    shared.url = REAL_URL ?? (shared.mock as Mock).url;
    const executablePath =
      process.env.WSFS_CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
    // Tests run as root in a container, where the browser's own sandbox cannot; it talks to nobody but the gateway.
    shared.browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  });
  afterAll(async () => {
    await shared.browser?.close();
    await shared.mock?.close();
  });
  return shared;
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** What went wrong in the page: errors, and what the policy refused. A flow ends with none. */
  complaints: string[];
  end(): Promise<void>;
}

interface Wish {
  phone?: boolean;
  dark?: boolean;
}

export async function open(on: Stage, wish: Wish = {}): Promise<Visit> {
  const context = await on.browser.newContext({
    viewport: wish.phone ? PHONE : WIDE,
    hasTouch: wish.phone ?? false,
    colorScheme: wish.dark ? "dark" : "light",
    ignoreHTTPSErrors: true,
    acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // A refused request is part of many flows; what the policy refused is a mistake of ours.
    if (message.type() === "error" && !/Failed to load resource/.test(text)) complaints.push(text);
  });
  // A flow that fails leaves its page open: what it was is worth seeing.
  onTestFailed(({ task }) => shot(page, `failed ${task.name.slice(0, 40)}`));
  const end = async () => {
    await context.close();
    expect(complaints).toEqual([]);
  };
  return { page, context, complaints, end };
}

/** Opens the page behind `hash`, logged in. */
export async function enter(on: Stage, hash: string, wish: Wish & { token?: string } = {}): Promise<Visit> {
  const visit = await open(on, wish);
  await visit.page.goto(`${on.url}/${hash}`);
  await logIn(visit.page, wish.token ?? TOKEN);
  return visit;
}

export async function logIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("button", { name: "Log out" }).waitFor();
}

export function filesHash(path = ""): string {
  return `#/ws/${WORKSPACE}/fs/${FILE_SYSTEM}/files${path ? `/${path}` : ""}`;
}

/** A request of the file API as the page itself would send it; answers the status and the body. */
export async function api(
  page: Page,
  method: string,
  rest: string,
  body?: string,
): Promise<{ status: number; text: string }> {
  const url = `/wfs/v1/workspaces/${WORKSPACE}/filesystems/${FILE_SYSTEM}/api/${rest}`;
  const ask = async (wish: { url: string; method: string; body: string | null }) => {
    const session = (await (await fetch("/wfs/v1/session")).json()) as { csrf: string };
    const headers = { "X-Wfs-Csrf": session.csrf };
    const answer = await fetch(wish.url, { method: wish.method, headers, body: wish.body });
    return { status: answer.status, text: await answer.text() };
  };
  return page.evaluate(ask, { url, method, body: body ?? null });
}

/** A fresh folder for one flow, shown in the page; answers its path. */
export async function ownFolder(page: Page, name: string): Promise<string> {
  const path = `flows-${Date.now().toString(36)}-${name}`;
  const made = await api(page, "PUT", `folders/${path}`);
  expect(made.status).toBe(201);
  await go(page, filesHash(path));
  await page.getByText("This folder is empty").waitFor();
  return path;
}

/** Goes to another page as a link would. */
export async function go(page: Page, hash: string): Promise<void> {
  await page.evaluate((to) => {
    window.location.hash = to;
  }, hash);
}

/** The row of a name as it is shown. */
export function row(page: Page, name: string): Locator {
  return page.getByRole("row").filter({ has: page.locator(".name", { hasText: new RegExp(`^${escapeText(name)}$`) }) });
}

function escapeText(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

export async function shot(page: Page, name: string): Promise<void> {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

interface Violation {
  id: string;
  impact: string | null;
  nodes: { html: string; failureSummary?: string }[];
}

/** What axe finds serious on the page as it is now. Evaluated by the debugger, so the page's policy stays in force. */
export async function seriousFindings(page: Page): Promise<string[]> {
  const source = createRequire(import.meta.url)("axe-core").source as string;
  await page.evaluate(`if (!window.axe) { ${source} }`);
  const result = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")) as {
    violations: Violation[];
  };
  return result.violations
    .filter((found) => found.impact === "serious" || found.impact === "critical")
    .map((found) => `${found.id}: ${found.nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`);
}
