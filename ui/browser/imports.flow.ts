import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { enter, filesHash, ownFolder, row, shot, stage, WITHOUT_MOCK } from "./harness";

const on = stage();

async function openDialog(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Upload File" }).click();
  await page.getByRole("menuitem", { name: "From Cloud" }).click();
  await page.getByRole("dialog").waitFor();
}

const start = (page: Page) => page.getByRole("button", { name: "Start the import" }).click();

async function fillIn(page: Page, fields: Record<string, string>): Promise<void> {
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value);
}

const KEYS = { "Access key id": "AKIAEXAMPLE", "Secret access key": "secret" };

describe("imports from the cloud", () => {
  it("say at the field what is missing or wrong", async () => {
    const { page, end } = await enter(on, filesHash());
    await openDialog(page);
    await start(page);
    await page.getByText("Enter the bucket's name.").waitFor();
    expect(await page.evaluate(() => document.activeElement?.getAttribute("aria-invalid"))).toBe("true");
    await page.getByLabel("Cloudflare R2").check();
    await fillIn(page, { ...KEYS, Endpoint: "https://acc.r2.cloudflarestorage.com/photos", Bucket: "photos" });
    await start(page);
    await page.getByText('Enter "photos" as the bucket below.').waitFor();
    await shot(page, "import-dialog-r2");
    await end();
  });

  it("show the words below a wrong field, in a low window too", async () => {
    const { page, end } = await enter(on, filesHash());
    await page.setViewportSize({ width: 1280, height: 460 });
    await openDialog(page);
    await fillIn(page, { ...KEYS, Bucket: "photos", Destination: "../up" });
    // As somebody who came down to it by the keyboard sees it: at the lower edge.
    await page.getByLabel("Destination").evaluate((input) => input.scrollIntoView({ block: "end" }));
    await page.getByLabel("Destination").press("Enter");
    const words = page.getByRole("dialog").getByRole("alert");
    await words.waitFor();
    await page.waitForFunction(() => document.activeElement?.getAttribute("aria-invalid") === "true");
    const over = await words.evaluate((one) => one.getBoundingClientRect().bottom - window.innerHeight);
    expect(over).toBeLessThan(0);
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("show what the server says at the field that it means", async () => {
    const { page, end } = await enter(on, filesHash());
    await openDialog(page);
    await fillIn(page, { ...KEYS, Bucket: "missing" });
    await start(page);
    await page.getByRole("alert").filter({ hasText: "There is no bucket of this name" }).waitFor();
    expect(await page.getByLabel("Bucket", { exact: true }).getAttribute("aria-invalid")).toBe("true");
    await fillIn(page, { Bucket: "data", "Secret access key": "wrong" });
    await start(page);
    await page.getByRole("alert").filter({ hasText: "does not belong" }).waitFor();
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("show their progress, are interrupted, and go on with the keys entered again", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "import");
    await openDialog(page);
    await fillIn(page, { ...KEYS, Bucket: "partly" });
    await start(page);
    await page.getByRole("link", { name: "See how it goes" }).click();
    const card = page.getByRole("list", { name: "Imports" }).getByRole("listitem").first();
    await card.getByText(/^[1-9]\d* of 40 objects/).waitFor();
    await shot(page, "imports-running");
    on.mock?.imports.interrupt();
    await card.getByRole("button", { name: "Enter the keys again" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Go on" }).click();
    await page.getByText("Enter the access key id.").waitFor();
    await fillIn(page, KEYS);
    await page.getByRole("dialog").getByRole("button", { name: "Go on" }).click();
    await card.getByText("Done").waitFor();
    await card.getByText("1 object not imported").click();
    await card.getByText("../up").waitFor();
    await card.getByRole("link", { name: folder }).click();
    await page.getByText("40 entries").first().waitFor();
    await row(page, "object-1.bin").waitFor();
    await end();
  });

  it.skipIf(WITHOUT_MOCK)("are cancelled and forgotten", async () => {
    const { page, end } = await enter(on, filesHash());
    await openDialog(page);
    await fillIn(page, { ...KEYS, Bucket: "unwanted", Destination: "/unwanted" });
    await start(page);
    await page.getByRole("link", { name: "See how it goes" }).click();
    await page.getByRole("button", { name: "Cancel the import unwanted" }).click();
    await page.getByText("Cancelled").waitFor();
    await page.getByRole("button", { name: "Remove from the list unwanted" }).click();
    await page.getByRole("heading", { name: "S3: unwanted" }).waitFor({ state: "detached" });
    await end();
  });
});
