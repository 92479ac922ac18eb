import { describe, expect, it } from "vitest";
import { api, enter, filesHash, ownFolder, row, stage } from "./harness";

const on = stage();

describe("drag and drop", () => {
  it("uploads what is dropped on the page", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "drop");
    const transfer = await page.evaluateHandle(() => {
      const made = new DataTransfer();
      made.items.add(new File(["dropped"], "dropped here.txt"));
      return made;
    });
    const zone = page.getByRole("region", { name: "Files", exact: true });
    await zone.dispatchEvent("dragenter", { dataTransfer: transfer });
    await page.getByText("Drop to upload to").waitFor();
    await zone.dispatchEvent("drop", { dataTransfer: transfer });
    await row(page, "dropped here.txt").waitFor();
    expect((await api(page, "GET", `content/${folder}/dropped%20here.txt`)).text).toBe("dropped");
    await end();
  });
});
