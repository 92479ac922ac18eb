import { describe, expect, it } from "vitest";
import { enter, FILE_SYSTEM, shot, stage, WITHOUT_MOCK, WORKSPACE } from "./harness";

const on = stage();
const MOUNT = `#/ws/${WORKSPACE}/mount?fs=${FILE_SYSTEM}`;

describe("the mount page", () => {
  it("shows a manifest of several mounts, and copies it", async () => {
    const { page, end } = await enter(on, MOUNT);
    await page.getByLabel("Job").check();
    await page.getByRole("button", { name: "Show the manifest" }).click();
    // All that is empty at once, and the first has the focus.
    await page.getByText("This is needed.").nth(1).waitFor();
    expect(await page.evaluate(() => document.activeElement?.getAttribute("placeholder"))).toBe("train-9");
    await page.getByLabel("Name").fill("train-9");
    await page.getByLabel("Image").fill("example.com/train:1");
    await page.getByRole("button", { name: "Add a mount" }).click();
    const [first, second] = [
      page.getByRole("group", { name: "Mount 1" }),
      page.getByRole("group", { name: "Mount 2" }),
    ];
    await first.getByLabel("Mount From").fill("/datasets");
    await first.getByLabel("Mount As").fill("/data");
    await second.getByLabel("File System").selectOption(`fs:${FILE_SYSTEM}`);
    await second.getByLabel("Mount As").fill("relative");
    await page.getByRole("button", { name: "Show the manifest" }).click();
    // The complaint stands at the second mount's field, and the focus goes there.
    await second.getByRole("alert").waitFor();
    expect(await second.getByLabel("Mount As").getAttribute("aria-invalid")).toBe("true");
    await second.getByLabel("Mount As").fill("/more");
    await page.getByRole("button", { name: "Show the manifest" }).click();
    const yaml = page.getByRole("region", { name: "Manifest as YAML" });
    await yaml.getByText("kind: Job").waitFor();
    const text = (await yaml.textContent()) ?? "";
    expect(text).toContain("/more");
    await page.getByRole("button", { name: "Copy" }).click();
    await page.getByText("Copied.").waitFor();
    expect((await page.evaluate(() => navigator.clipboard.readText())).trim()).toBe(text.trim());
    await shot(page, "mount");
    await page.getByLabel("Image").fill("another");
    await page.getByText("The form was changed since").waitFor();
    await end();
  });

  it.skipIf(WITHOUT_MOCK)(
    "offers local storage with a node group only, and without a folder to mount from",
    async () => {
      const { page, end } = await enter(on, MOUNT);
      const source = page.getByRole("group", { name: "Mount 1" }).getByLabel("File System");
      expect(await source.getByRole("option", { name: /scratch/ }).count()).toBe(0);
      await page.getByLabel("Node group").selectOption("h100");
      await source.selectOption("disk:scratch");
      await page.getByLabel("Mount From").waitFor({ state: "detached" });
      await page.getByLabel("Node group").selectOption("a100");
      expect(await source.inputValue()).toBe("fs:default");
      await end();
    },
  );
});
