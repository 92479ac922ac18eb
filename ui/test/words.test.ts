import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import type { FileSystem } from "../src/api/types";
import { ofWhat, trouble } from "../src/lib/words";
import { Row } from "../src/pages/filesystems";

const fs: FileSystem = {
  name: "default",
  uid: "u",
  kind: "nfs",
  default: true,
  nodeGroup: null,
  capacity: 2 ** 40,
  used: 2 ** 39,
  available: 2 ** 39,
  usageOf: "FileSystem",
  health: "Ready",
  message: "",
  files: "Ready",
  filesMessage: "",
  rights: { read: true, write: true, delete: true },
  localCache: false,
};
const quota = "exceeded quota: pods=10";

describe("what is said of a file system", () => {
  it("tells why its files cannot be reached, and nothing where they can", () => {
    expect(trouble(fs)).toBe("");
    expect(trouble({ ...fs, files: "NotReady", filesMessage: quota })).toContain(quota);
    expect(trouble({ ...fs, files: "NotReady" })).toBe("Its files cannot be shown here now.");
    expect(trouble({ ...fs, message: "No server.", files: "NotReady", filesMessage: quota })).toMatch(
      /^No server\. .*quota/,
    );
  });

  it("does not show a share's size and use as a file system's own", () => {
    expect(ofWhat(fs)).toBe("");
    expect(ofWhat({ ...fs, usageOf: "Share" })).toBe("of the share");
    expect(ofWhat({ ...fs, usageOf: "Share", capacity: null, used: null })).toBe("");
  });

  it("has both in its row", () => {
    const row = (of: FileSystem) => renderToStaticMarkup(createElement(Row, { ws: "ws", fs: of }));
    const shown = row({ ...fs, usageOf: "Share", files: "NotReady", filesMessage: quota });
    expect(shown).toContain(quota);
    expect(shown.match(/of the share/g)).toHaveLength(2);
    expect(row(fs)).not.toContain("of the share");
  });
});
