import { describe, expect, it } from "vitest";
import { ApiError, errorOf, explain, mayPass } from "../src/api/errors";
import { lines } from "../src/api/ndjson";
import { textOf } from "../src/pages/files/preview";
import { type Form, fieldOf, problemsOf, requestOf } from "../src/pages/imports/form";
import { addRow, changeRow, chooseGroup, initialForm, manifestRequest, placeOf } from "../src/pages/mount/form";
import { href, parseRoute, type Route } from "../src/route";

const form: Form = {
  provider: "s3",
  bucket: "data",
  accessKeyId: "AK",
  secretAccessKey: "secret",
  region: "",
  endpoint: "",
  prefix: "",
  destination: "/in put",
};

describe("the import form", () => {
  it("asks for nothing that it does not need", () => {
    expect(problemsOf(form)).toEqual({});
    expect(requestOf(form)).toEqual({
      provider: "s3",
      bucket: "data",
      accessKeyId: "AK",
      secretAccessKey: "secret",
      destination: "in%20put",
    });
  });

  it("says at the field that an R2 endpoint has a bucket in it, and which", () => {
    const r2 = { ...form, provider: "r2" as const, endpoint: "https://acc.r2.cloudflarestorage.com/my-bucket" };
    expect(problemsOf(r2).endpoint).toContain('"my-bucket"');
    expect(problemsOf({ ...r2, endpoint: "https://acc.r2.cloudflarestorage.com/" })).toEqual({});
    expect(problemsOf({ ...r2, endpoint: "acc" }).endpoint).toContain("https://");
    expect(problemsOf({ ...r2, endpoint: "" }).endpoint).toContain("Enter");
  });

  it("marks each field that is missing or cannot be", () => {
    const wrong = { ...form, bucket: "s3://data", accessKeyId: " ", secretAccessKey: "", destination: "/a/../b" };
    expect(Object.keys(problemsOf(wrong)).sort()).toEqual(["accessKeyId", "bucket", "destination", "secretAccessKey"]);
  });

  it("knows the fields a server may name", () => {
    expect(fieldOf("bucket")).toBe("bucket");
    expect(fieldOf("provider")).toBeNull();
    expect(fieldOf(undefined)).toBeNull();
  });
});

describe("the mount form", () => {
  it("asks for several mounts as they were filled in", () => {
    let mount = { ...initialForm("default", "data/a%20b"), name: "train", image: "x" };
    mount = addRow(mount, "fs:fast");
    mount = changeRow(mount, 2, { as: "/fast", readOnly: true });
    expect(manifestRequest(mount)).toEqual({
      kind: "job",
      name: "train",
      image: "x",
      mounts: [
        { fileSystem: "default", from: "/data/a b", as: "/data" },
        { fileSystem: "fast", as: "/fast", readOnly: true },
      ],
    });
  });

  it("never sends a folder to mount from for a local disk", () => {
    let mount = chooseGroup(initialForm("default", ""), "h100", ["scratch"], "fs:default");
    mount = changeRow(mount, 1, { source: "disk:scratch", from: "/left/over" });
    expect(manifestRequest(mount)).toMatchObject({
      nodeGroup: "h100",
      mounts: [{ localStorage: "scratch", as: "/data" }],
    });
    expect(manifestRequest(mount).mounts[0]).not.toHaveProperty("from");
  });

  it("gives a disk up with the node group that has it", () => {
    const mount = changeRow(initialForm("default", ""), 1, { source: "disk:scratch" });
    expect(chooseGroup(mount, "h100", ["scratch"], "fs:default").rows[0]?.source).toBe("disk:scratch");
    expect(chooseGroup(mount, "", [], "fs:default").rows[0]?.source).toBe("fs:default");
  });

  it("finds the row that a complaint means", () => {
    expect(placeOf("mounts[1].as")).toEqual({ row: 1, field: "as" });
    expect(placeOf("image")).toEqual({ row: null, field: "image" });
    expect(placeOf(null)).toBeNull();
  });
});

describe("errors", () => {
  it("are taken from the contract's body, or from the status alone", () => {
    const found = errorOf(409, '{"code":"Exists","message":"There it is","field":"to"}');
    expect(found).toMatchObject({ code: "Exists", field: "to", status: 409 });
    expect(errorOf(502, "<html>Bad gateway</html>").code).toBe("Unreachable");
    expect(errorOf(0, "").code).toBe("Offline");
  });

  it("always say what happened and what to do, in sentences", () => {
    for (const code of ["Forbidden", "QuotaExceeded", "Offline", "Unreachable", "NeverHeardOf"]) {
      const { what, todo } = explain(new ApiError(418, code, ""));
      expect(what).toMatch(/^[A-Z].*\.$/);
      expect(todo).toMatch(/^[A-Z].*\.$/);
    }
    expect(explain(new ApiError(403, "Forbidden", "uid 7 owns it, mode 0600")).what).toBe("Uid 7 owns it, mode 0600.");
  });

  it("pass by themselves or do not", () => {
    expect(mayPass(new ApiError(502, "Unreachable", ""))).toBe(true);
    expect(mayPass(new ApiError(507, "QuotaExceeded", ""))).toBe(false);
    expect(mayPass(new Error("a bug"))).toBe(false);
  });
});

describe("routes", () => {
  it("are read as they were written, bytes of a path included", () => {
    const routes: Route[] = [
      { page: "workspaces" },
      { page: "filesystems", ws: "vision" },
      { page: "storage", ws: "vision" },
      { page: "mount", ws: "vision", fs: "default", from: "a%20b/%FF" },
      { page: "files", ws: "vision", fs: "default", path: "a%2Fb/%FF%00x" },
      { page: "files", ws: "vision", fs: "default", path: "" },
      { page: "trash", ws: "vision", fs: "default" },
      { page: "imports", ws: "vision", fs: "default" },
    ];
    for (const route of routes) expect(parseRoute(href(route))).toEqual(route);
  });

  it("lead nowhere when somebody made them up", () => {
    expect(parseRoute("#/ws/../fs/x/files").page).toBe("unknown");
    expect(parseRoute("#/ws/a/fs/%2e%2e/files").page).toBe("unknown");
    expect(parseRoute("#javascript:alert(1)").page).toBe("unknown");
  });
});

describe("streams", () => {
  const stream = (...chunks: string[]) =>
    new Blob(chunks).stream().pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        // One byte at a time: lines and characters come in pieces.
        transform(chunk, out) {
          for (const byte of chunk) out.enqueue(new Uint8Array([byte]));
        },
      }),
    );

  it("of JSON lines come whole, however they were cut", async () => {
    const found: unknown[] = [];
    for await (const line of lines(stream('{"a":"ä"}\n\n{"b":2}\n', '{"done":true}'))) found.push(line);
    expect(found).toEqual([{ a: "ä" }, { b: 2 }, { done: true }]);
  });

  it("that end within a line are an error", async () => {
    const read = async () => {
      for await (const line of lines(stream('{"a":1}\n{"b"'))) void line;
    };
    await expect(read()).rejects.toThrow();
  });

  it("of text may be cut within a character; other bytes are no text", () => {
    const cut = new TextEncoder().encode("aä").subarray(0, 2);
    expect(textOf(cut, false)).toBe("a");
    expect(textOf(cut, true)).toBeNull();
    expect(textOf(new Uint8Array([0x41, 0]), true)).toBeNull();
    expect(textOf(new Uint8Array(), true)).toBe("");
  });
});
