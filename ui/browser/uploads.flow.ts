import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { api, enter, filesHash, ownFolder, row, shot, stage, WITHOUT_MOCK } from "./harness";

const on = stage();
const here = mkdtempSync(join(tmpdir(), "wsfs-ui-"));
afterAll(() => rmSync(here, { recursive: true }));
afterEach(() => {
  if (on.mock) Object.assign(on.mock.faults, { bytesPerSecond: 0, breaks: 0, beginMs: 0 });
});

function local(name: string, data: Buffer): string {
  const path = join(here, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, data);
  utimesSync(path, 1_700_000_000, 1_700_000_000);
  return path;
}

async function choose(page: Page, what: "Files" | "Folder", paths: string | string[]): Promise<void> {
  await page.getByRole("button", { name: "Upload File" }).click();
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("menuitem", { name: what }).click();
  await (await chooser).setFiles(paths);
}

async function sha256(page: Page, path: string): Promise<string> {
  return page.evaluate(
    async (url) => {
      const hash = await crypto.subtle.digest("SHA-256", await (await fetch(url)).arrayBuffer());
      return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    },
    `/wfs/v1/workspaces/${filesHash().split("/")[2]}/filesystems/${filesHash().split("/")[4]}/api/content/${path}`,
  );
}

const digest = (data: Buffer) => createHash("sha256").update(data).digest("hex");
const POLL = { timeout: 15_000 };
const panel = (page: Page) => page.getByRole("region", { name: "Uploads" });

describe("uploads", () => {
  it("bring a folder with all that is in it", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "folder");
    for (let at = 0; at < 20; at += 1) local(`tree/sub ${at % 3}/file-${at}.bin`, Buffer.alloc(1000 + at, at));
    await choose(page, "Folder", join(here, "tree"));
    await panel(page).getByText("20 files uploaded").first().waitFor();
    await row(page, "tree").getByRole("link").click();
    await row(page, "sub 2").getByRole("link").click();
    await row(page, "file-2.bin").waitFor();
    expect(await sha256(page, `${folder}/tree/sub%202/file-17.bin`)).toBe(digest(Buffer.alloc(1017, 17)));
    const entry = JSON.parse((await api(page, "GET", `stat/${folder}/tree/sub%202/file-17.bin`)).text);
    expect(Date.parse(entry.modified)).toBe(1_700_000_000_000);
    await end();
  });

  it("ask what to do where a file is there already", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "clash");
    await api(page, "PUT", `content/${folder}/same.txt`, "old");
    await choose(page, "Files", local("same.txt", Buffer.from("new")));
    await panel(page).getByRole("button", { name: "Keep both" }).click();
    await row(page, "same (2).txt").waitFor();
    expect((await api(page, "GET", `content/${folder}/same.txt`)).text).toBe("old");
    await choose(page, "Files", local("same.txt", Buffer.from("new")));
    await panel(page).getByRole("button", { name: "Replace" }).click();
    await panel(page).getByText("2 files uploaded").first().waitFor();
    expect((await api(page, "GET", `content/${folder}/same.txt`)).text).toBe("new");
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("pause, resume and cancel", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "pause");
    // So slow that neither ends before it is paused or cancelled, however busy the computer is.
    Object.assign(on.mock?.faults ?? {}, { bytesPerSecond: 500_000 });
    const data = randomBytes(12_000_000);
    await choose(page, "Files", [local("long.bin", data), local("unwanted.bin", data)]);
    // Of both, bytes are on the way.
    await expect
      .poll(
        () =>
          panel(page)
            .getByText(/^[1-9][\d.]* [KM]iB of 11\.4 MiB/)
            .count(),
        POLL,
      )
      .toBe(2);
    await panel(page).getByRole("button", { name: "Pause long.bin" }).click();
    await panel(page)
      .getByText(/^paused at/)
      .waitFor();
    await panel(page).getByRole("button", { name: "Cancel unwanted.bin" }).click();
    await shot(page, "uploads-paused");
    // It goes on while the mock still reads, slowly, what came before the pause.
    await panel(page).getByRole("button", { name: "Resume long.bin" }).click();
    await panel(page).getByRole("button", { name: "Pause long.bin" }).waitFor();
    Object.assign(on.mock?.faults ?? {}, { bytesPerSecond: 0 });
    await panel(page).getByText("1 file uploaded").first().waitFor({ timeout: 40_000 });
    expect(await sha256(page, `${folder}/long.bin`)).toBe(digest(data));
    expect((await api(page, "GET", `stat/${folder}/unwanted.bin`)).status).toBe(404);
    expect((await api(page, "GET", "uploads")).text).toBe("[]");
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("leave nothing behind when paused or cancelled while they are being begun", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "begin");
    Object.assign(on.mock?.faults ?? {}, { beginMs: 3_000 });
    const begun = on.mock?.uploads.begun ?? 0;
    const data = randomBytes(5_000_000);
    const small = randomBytes(5_000);
    const paths = [local("paused.bin", data), local("large.bin", data), local("small.bin", small)];
    await choose(page, "Files", paths);
    await expect.poll(() => on.mock?.uploads.begun, POLL).toBe(begun + 3);
    await panel(page).getByRole("button", { name: "Pause paused.bin" }).click();
    await panel(page).getByRole("button", { name: "Cancel large.bin" }).click();
    await panel(page).getByRole("button", { name: "Cancel small.bin" }).click();
    await panel(page).getByRole("button", { name: "Resume paused.bin" }).click();
    await panel(page).getByText("1 file uploaded").first().waitFor();
    expect(await sha256(page, `${folder}/paused.bin`)).toBe(digest(data));
    expect((await api(page, "GET", `stat/${folder}/large.bin`)).status).toBe(404);
    expect((await api(page, "GET", `stat/${folder}/small.bin`)).status).toBe(404);
    await expect.poll(async () => (await api(page, "GET", "uploads")).text, POLL).toBe("[]");
    expect(on.mock?.uploads.begun).toBe(begun + 3);
    await page.getByText("unfinished upload").waitFor({ state: "detached" });
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("go on by themselves after a connection that broke twice", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "broken");
    Object.assign(on.mock?.faults ?? {}, { breaks: 2, breakAfterBytes: 3_000_000 });
    const data = randomBytes(15_000_000);
    await choose(page, "Files", local("torn.bin", data));
    await panel(page).getByText("It goes on by itself.").waitFor();
    await panel(page).getByText("1 file uploaded").first().waitFor({ timeout: 40_000 });
    expect(await sha256(page, `${folder}/torn.bin`)).toBe(digest(data));
    expect(on.mock?.faults.breaks).toBe(0);
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("are listed after a reload, and go on once the same file is chosen", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "reload");
    Object.assign(on.mock?.faults ?? {}, { bytesPerSecond: 4_000_000 });
    const data = randomBytes(14_000_000);
    const path = local("half.bin", data);
    await choose(page, "Files", path);
    await panel(page)
      .getByText(/^[1-9][\d.]* MiB of 13\.4 MiB/)
      .first()
      .waitFor();
    page.on("dialog", (dialog) => void dialog.accept());
    await page.reload();
    await page.getByText("1 unfinished upload").waitFor();
    await shot(page, "uploads-unfinished");
    Object.assign(on.mock?.faults ?? {}, { bytesPerSecond: 0 });
    const choosing = async (file: string) => {
      const chooser = page.waitForEvent("filechooser");
      await page.getByRole("button", { name: "Choose the file half.bin" }).click();
      await (await chooser).setFiles(file);
    };
    await choosing(local("other/half.bin", randomBytes(9)));
    await page.getByText("This file has another size").waitFor();
    await choosing(path);
    await panel(page).getByText("1 file uploaded").first().waitFor();
    expect(await sha256(page, `${folder}/half.bin`)).toBe(digest(data));
    await page.getByText("1 unfinished upload").waitFor({ state: "detached" });
    await end();
  });
});
