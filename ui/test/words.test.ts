import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import type { FileSystem, Usage } from "../src/api/types";
import { ofWhat, space, trouble } from "../src/lib/words";
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

  it("tells of a managed file system what it has itself, and not the disk that it lies on", () => {
    const disk = { capacity: 2 ** 43, used: 2 ** 42, trash: { bytes: 0, entries: 0 } } as Usage;
    const own = space({ ...fs, kind: "managed" }, disk);
    expect(own).toBe("512 GiB of 1.00 TiB used");
    expect(space({ ...fs, kind: "managed" })).toBe(own);
    expect(space(fs, disk)).toBe("4.00 TiB of 8.00 TiB used");
    expect(space({ ...fs, usageOf: "Share" }, disk)).toBe("4.00 TiB of the share's 8.00 TiB used");
    expect([space(fs), space(undefined, disk)]).toEqual(["", ""]);
  });

  it("tells nothing of a share until it is known whose the figures are", () => {
    const disk = { capacity: 2 ** 43, used: 2 ** 42, trash: { bytes: 0, entries: 0 } } as Usage;
    expect(space({ ...fs, kind: "nfs", used: null }, disk)).toBe("");
  });

  it("tells of the trash as a part of what is used, but where that is older than it", () => {
    const usage = { capacity: 2 ** 40, used: 2 ** 30, trash: { bytes: 2 ** 20, entries: 1 } } as Usage;
    expect(space(fs, usage)).toBe("1.00 GiB of 1.00 TiB used, 1.00 MiB of it in the trash");
    const stale = { ...fs, kind: "managed", used: 0 };
    expect(space(stale, usage)).toBe("0 B of 1.00 TiB used, 1.00 MiB in the trash");
  });

  it("has both in its row", () => {
    const row = (of: FileSystem) => renderToStaticMarkup(createElement(Row, { ws: "ws", fs: of }));
    const shown = row({ ...fs, usageOf: "Share", files: "NotReady", filesMessage: quota });
    expect(shown).toContain(quota);
    expect(shown.match(/of the share/g)).toHaveLength(2);
    expect(row(fs)).not.toContain("of the share");
  });
});
