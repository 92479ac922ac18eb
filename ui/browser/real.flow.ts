/** Flows that need more than the mock has: a large file while servers are killed, and a bucket that speaks S3. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { enter, filesHash, ownFolder, row, shot, stage } from "./harness";

const on = stage();

// Flows for a real gateway: without the file and the bucket that these name there is nothing to upload and to import.
/** A local file to upload; whoever started the flow may kill servers meanwhile. */
const BIG_FILE = process.env.WSFS_UI_BIG_FILE;
const BIG_MS = Number(process.env.WSFS_UI_BIG_SECONDS ?? 900) * 1000;
/** JSON: {endpoint, bucket, accessKeyId, secretAccessKey, name}; `name` is of an object at the bucket's root. */
const BUCKET = process.env.WSFS_UI_S3;

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const part of createReadStream(path)) hash.update(part);
  return hash.digest("hex");
}

describe("what only a real gateway shows", () => {
  it.skipIf(!BIG_FILE)(
    "a large upload outlasts the death of its server, and is downloaded byte by byte",
    async () => {
      const file = BIG_FILE as string;
      const { page, end } = await enter(on, filesHash());
      await ownFolder(page, "big");
      await page.getByRole("button", { name: "Upload File" }).click();
      const chooser = page.waitForEvent("filechooser");
      await page.getByRole("menuitem", { name: "Files" }).click();
      await (await chooser).setFiles(file);
      const panel = page.getByRole("region", { name: "Uploads" });
      await panel.getByText("1 file uploaded").first().waitFor({ timeout: BIG_MS });
      await row(page, basename(file)).waitFor();
      await shot(page, "big-uploaded");
      await row(page, basename(file)).getByRole("checkbox").check();
      const coming = page.waitForEvent("download");
      await page.getByRole("button", { name: "Download", exact: true }).click();
      const download = await coming;
      expect(await sha256(await download.path())).toBe(await sha256(file));
      await end();
    },
    BIG_MS * 2,
  );

  it.skipIf(!BUCKET)("an import from a bucket brings its objects", async () => {
    const bucket = JSON.parse(BUCKET as string) as Record<string, string>;
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "bucket");
    await page.getByRole("button", { name: "Upload File" }).click();
    await page.getByRole("menuitem", { name: "From Cloud" }).click();
    const fill = (label: string, value = "") => page.getByLabel(label, { exact: true }).fill(value);
    await fill("Bucket", bucket.bucket);
    await fill("Access key id", bucket.accessKeyId);
    await fill("Secret access key", bucket.secretAccessKey);
    await page.getByText("More", { exact: true }).click();
    await page.getByLabel(/^Endpoint/).fill(bucket.endpoint ?? "");
    await page.getByRole("button", { name: "Start the import" }).click();
    await page.getByRole("link", { name: "See how it goes" }).click();
    const card = page.getByRole("listitem").filter({ hasText: folder });
    await card.getByText("Done", { exact: true }).waitFor({ timeout: 60_000 });
    await shot(page, "imports-done");
    await card.getByRole("link", { name: folder }).click();
    await row(page, bucket.name ?? "").waitFor();
    await end();
  });
});
