import { describe, expect, it } from "vitest";
import { api, enter, filesHash, ownFolder, stage } from "./harness";

const on = stage();

/** Names as bytes in a URL, and how each is to be shown. */
const HOSTILE: [string, string][] = [
  ["%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D'owned'%22%3E", `<img src=x onerror="document.title='owned'">`],
  [
    "%22%3E%3Cscript%3Edocument.title%3D'owned'%3C%2Fscript%3E".replace("%2F", "%5C"),
    `"><script>document.title='owned'<\\script>`,
  ],
  ["invoice%E2%80%AEtxt.exe", "invoice<U+202E>txt.exe"],
  ["line%0Abreak", "line\\nbreak"],
  ["%20both%20ends%20", "\u00b7both ends\u00b7"],
  ["latin%E9%FF.txt", "latin\\xE9\\xFF.txt"],
  ["%252e%252e%252f", "%2e%2e%2f"],
  ["javascript%3Adocument.title%3D'owned'", "javascript:document.title='owned'"],
  ["back%5Cslash", "back\\slash"],
];

describe("hostile names", () => {
  it("are shown as what they are, run nothing, and can be opened and deleted", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "names");
    for (const [encoded] of HOSTILE) {
      expect((await api(page, "PUT", `content/${folder}/${encoded}`, "harmless")).status).toBe(201);
    }
    await page.reload();
    await page.getByText(`${HOSTILE.length} entries`).first().waitFor();
    const shown = await page.locator("[role=grid] .name").allTextContents();
    expect(shown.sort()).toEqual(HOSTILE.map(([, text]) => text).sort());
    for (const [, text] of HOSTILE) {
      await page.getByRole("button", { name: text, exact: true }).click();
      await page.getByRole("dialog").getByText("harmless").waitFor();
      await page.keyboard.press("Escape");
    }
    await page.getByRole("grid").focus();
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Delete");
    await page.getByText("This folder is empty").waitFor();
    expect(await page.title()).not.toContain("owned");
    await end();
  });

  it("of folders lead into them and back", async () => {
    const { page, end } = await enter(on, filesHash());
    const folder = await ownFolder(page, "ways");
    const odd = "odd%FF%20%3Cb%3E%3F%23%25";
    await api(page, "PUT", `folders/${folder}/${odd}`);
    await api(page, "PUT", `content/${folder}/${odd}/inside.txt`, "x");
    await page.reload();
    await page.getByRole("link", { name: "odd\\xFF <b>?#%" }).click();
    await page.getByRole("row", { name: "inside.txt" }).waitFor();
    await page.reload();
    await page.getByRole("row", { name: "inside.txt" }).waitFor();
    await page.goBack();
    await page.getByRole("link", { name: "odd\\xFF <b>?#%" }).waitFor();
    await end();
  });
});
