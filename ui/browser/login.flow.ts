import { describe, expect, it } from "vitest";
import {
  api,
  enter,
  FILE_SYSTEM,
  filesHash,
  logIn,
  open,
  ownFolder,
  stage,
  TOKEN,
  VIEWER,
  WITHOUT_MOCK,
  WORKSPACE,
} from "./harness";

const on = stage();

describe("login", () => {
  it("refuses a wrong token in words, and shows after the right one the page that was asked for", async () => {
    const { page, end } = await open(on);
    await page.goto(`${on.url}/${filesHash()}`);
    await page.getByLabel("Token").fill("not-a-token");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").filter({ hasText: "try again" }).waitFor();
    await logIn(page, TOKEN);
    await page.getByRole("grid").waitFor();
    await end();
  });

  it("leaves nothing behind after the logout", async () => {
    const { page, context, end } = await enter(on, "#/");
    await page.getByRole("link", { name: new RegExp(`^${WORKSPACE}\\s`) }).waitFor();
    const [cookie] = (await context.cookies()).filter((one) => one.name === "__Host-wfs");
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: "Strict" });
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
    await page.reload();
    await page.getByLabel("Token").waitFor();
    expect(await page.getByText(WORKSPACE).count()).toBe(0);
    await end();
  });

  it("is refused a change without the session's csrf word", async () => {
    const { page, end } = await enter(on, filesHash());
    const url = `/wfs/v1/workspaces/${WORKSPACE}/filesystems/${FILE_SYSTEM}/api/folders/by-another-site`;
    const status = await page.evaluate(async (to) => (await fetch(to, { method: "PUT" })).status, url);
    expect(status).toBe(403);
    expect((await api(page, "GET", "stat/by-another-site")).status).toBe(404);
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("asks again when the session ends, and goes on where one was", async () => {
    const { page, end } = await enter(on, filesHash("datasets"));
    await page.getByRole("row", { name: "imagenet" }).waitFor();
    on.mock?.sessions.endAll();
    await page.getByRole("link", { name: "imagenet" }).click();
    await page.getByLabel("Token").waitFor();
    await logIn(page, TOKEN);
    await page.getByRole("row", { name: "README.md" }).waitFor();
    await end();
  });

  it.skipIf(!VIEWER)("offers a viewer nothing that changes files", async () => {
    const editor = await enter(on, filesHash());
    const folder = await ownFolder(editor.page, "viewer");
    expect((await api(editor.page, "PUT", `content/${folder}/notes.txt`, "x")).status).toBe(201);
    await editor.end();
    const { page, end } = await enter(on, filesHash(folder), { token: VIEWER });
    await page.getByRole("row", { name: "notes.txt" }).waitFor();
    await page.getByRole("button", { name: "New folder" }).and(page.locator(":disabled")).waitFor();
    expect(await page.getByRole("button", { name: "Upload File" }).count()).toBe(0);
    await page.getByLabel("Select notes.txt").check();
    await page.getByRole("button", { name: "Delete" }).and(page.locator(":disabled")).waitFor();
    // Whatever the page offers, the server decides.
    expect((await api(page, "DELETE", `content/${folder}/notes.txt`)).status).toBe(403);
    await end();
  });
});
