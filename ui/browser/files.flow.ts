import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { api, enter, filesHash, ownFolder, row, stage } from "./harness";

const on = stage();

async function fill(page: Page, folder: string, ...names: string[]): Promise<void> {
  for (const name of names) {
    expect((await api(page, "PUT", `content/${folder}/${encodeURIComponent(name)}`, `text of ${name}`)).status).toBe(
      201,
    );
  }
  await page.reload();
  await row(page, names[0] as string).waitFor();
}

describe("files", () => {
  it("are made, renamed and moved", async () => {
    const { page, end } = await enter(on, filesHash());
    await ownFolder(page, "make");
    await page.getByRole("button", { name: "New folder" }).click();
    await page.getByLabel("Name of the folder").fill("new set");
    await page.keyboard.press("Enter");
    await row(page, "new set").waitFor();
    await page.getByRole("button", { name: "New file" }).click();
    await page.getByLabel("Name of the file").fill("a/b");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "separates folders" }).waitFor();
    await page.getByLabel("Name of the file").fill("empty.txt");
    await page.keyboard.press("Enter");
    await row(page, "empty.txt").click();
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByLabel("New name").fill("new set");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "already here" }).waitFor();
    await page.getByLabel("New name").fill("full.txt");
    await page.keyboard.press("Enter");
    await row(page, "full.txt").waitFor();
    await page.getByRole("button", { name: "Move" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "new set" }).click();
    await page.getByRole("button", { name: "Move here" }).click();
    await row(page, "full.txt").waitFor({ state: "detached" });
    await row(page, "new set").getByRole("link").click();
    await row(page, "full.txt").waitFor();
    await page.getByRole("navigation", { name: "Folder" }).getByRole("link").last().click();
    await row(page, "new set").waitFor();
    await end();
  });

  it("are deleted into the trash, and undone", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "undo");
    await fill(page, folder, "keep.txt", "drop.txt");
    await page.getByLabel("Select drop.txt").check();
    await page.getByRole("button", { name: "Delete" }).click();
    await row(page, "drop.txt").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Undo" }).click();
    await row(page, "drop.txt").waitFor();
    expect((await api(page, "GET", `content/${folder}/drop.txt`)).text).toBe("text of drop.txt");
    await end();
  });

  it("come back from the trash's page, and go for good only when that was asked", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "trash");
    const [one, two] = [`one-${folder}.txt`, `two-${folder}.txt`];
    await fill(page, folder, one, two);
    await page.getByRole("grid").focus();
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Delete");
    await page.getByText("This folder is empty").waitFor();
    await page.getByRole("link", { name: "Trash" }).click();
    await page.getByRole("button", { name: `Restore ${one}` }).click();
    await page.getByRole("button", { name: `Restore ${one}` }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: `Delete for good: ${two}` }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete for good" }).click();
    await page.getByText("Deleted for good.").waitFor();
    expect((await api(page, "GET", `stat/${folder}/${one}`)).status).toBe(200);
    expect((await api(page, "GET", "trash")).text).not.toContain(two);
    await end();
  });

  it("are chosen, opened and renamed without a mouse", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "keys");
    await fill(page, folder, "a.txt", "b.txt", "c.txt", "d.txt");
    const marked = () => page.locator("[role=row][aria-selected=true] .name").allTextContents();
    await page.getByRole("grid").focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Shift+ArrowDown");
    await page.keyboard.press("Shift+ArrowDown");
    expect(await marked()).toEqual(["a.txt", "b.txt", "c.txt"]);
    await page.keyboard.press("Control+ArrowUp");
    await page.keyboard.press(" ");
    expect(await marked()).toEqual(["a.txt", "c.txt"]);
    await page.keyboard.press("End");
    await page.keyboard.press("F2");
    await page.keyboard.type("z");
    await page.keyboard.press("Enter");
    await row(page, "z.txt").waitFor();
    await page.keyboard.press("Home");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText("text of a.txt").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("Backspace");
    await row(page, folder).waitFor();
    await end();
  });

  it("are downloaded byte by byte, and folders as zip", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "down");
    await fill(page, folder, "bytes.txt");
    const get = async () => {
      const coming = page.waitForEvent("download");
      await page.getByRole("button", { name: /^Download/ }).click();
      const download = await coming;
      return { name: download.suggestedFilename(), data: readFileSync(await download.path()) };
    };
    await page.getByLabel("Select bytes.txt").check();
    const file = await get();
    expect(file.name).toBe("bytes.txt");
    expect(file.data.toString()).toBe("text of bytes.txt");
    await page.keyboard.press("Escape");
    await page.getByRole("navigation", { name: "Folder" }).getByRole("link").first().click();
    await page.getByLabel(`Select ${folder}`).check();
    const zip = await get();
    expect(zip.name).toBe(`${folder}.zip`);
    expect(zip.data.subarray(0, 2).toString()).toBe("PK");
    expect(zip.data.includes(`${folder}/bytes.txt`)).toBe(true);
    await end();
  });

  it("are found by a part of their name, below the folder", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "search");
    await api(page, "PUT", `folders/${folder}/deep/er?parents=true`);
    await api(page, "PUT", `content/${folder}/deep/er/Needle-${folder}.txt`, "x");
    await page.reload();
    await row(page, "deep").waitFor();
    await page.getByRole("searchbox").fill("needle");
    await row(page, `Needle-${folder}.txt`).getByText("in /").waitFor();
    await page.getByRole("searchbox").fill("no such name anywhere");
    await page.getByText("No name contains this").waitFor();
    await page.keyboard.press("Escape");
    await row(page, "deep").waitFor();
    await end();
  });
});
