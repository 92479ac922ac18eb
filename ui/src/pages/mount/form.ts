/** The Mount page's form as data: what is chosen, what the gateway is asked, where its complaints belong. */

import type { ManifestRequest, Mount } from "../../api/types";
import { inputFromPath } from "../../lib/paths";

export interface MountRow {
  /** Only to tell rows apart on the page. */
  id: number;
  /** "fs:NAME" or "disk:NAME": both kinds stand in one list. */
  source: string;
  from: string;
  as: string;
  readOnly: boolean;
}

export interface MountForm {
  kind: ManifestRequest["kind"];
  name: string;
  image: string;
  nodeGroup: string;
  rows: MountRow[];
}

export function initialForm(fs: string | null, from: string): MountForm {
  const row = {
    id: 1,
    source: `fs:${fs ?? "default"}`,
    from: from ? inputFromPath(from) : "",
    as: "/data",
    readOnly: false,
  };
  return { kind: "job", name: "", image: "", nodeGroup: "", rows: [row] };
}

export function addRow(form: MountForm, source: string): MountForm {
  const id = Math.max(0, ...form.rows.map((row) => row.id)) + 1;
  return { ...form, rows: [...form.rows, { id, source, from: "", as: "", readOnly: false }] };
}

export function changeRow(form: MountForm, id: number, change: Partial<MountRow>): MountForm {
  return { ...form, rows: form.rows.map((row) => (row.id === id ? { ...row, ...change } : row)) };
}

export function removeRow(form: MountForm, id: number): MountForm {
  return { ...form, rows: form.rows.filter((row) => row.id !== id) };
}

/** Another node group has other disks: rows that mount one of the old group's fall back to the file system. */
export function chooseGroup(form: MountForm, nodeGroup: string, disks: readonly string[], fallback: string): MountForm {
  const offered = new Set(disks.map((name) => `disk:${name}`));
  const rows = form.rows.map((row) => (isDisk(row) && !offered.has(row.source) ? { ...row, source: fallback } : row));
  return { ...form, nodeGroup, rows };
}

export function isDisk(row: MountRow): boolean {
  return row.source.startsWith("disk:");
}

export function manifestRequest(form: MountForm): ManifestRequest {
  const request: ManifestRequest = {
    kind: form.kind,
    name: form.name.trim(),
    image: form.image.trim(),
    mounts: form.rows.map(mountOf),
  };
  if (form.nodeGroup) request.nodeGroup = form.nodeGroup;
  return request;
}

function mountOf(row: MountRow): Mount {
  const name = row.source.slice(row.source.indexOf(":") + 1);
  const mount: Mount = isDisk(row)
    ? { localStorage: name, as: row.as.trim() }
    : { fileSystem: name, as: row.as.trim() };
  const from = row.from.trim();
  // On a local disk a workspace has its whole share, so there is no folder to mount from.
  if (!isDisk(row) && from !== "" && from !== "/") mount.from = from;
  if (row.readOnly) mount.readOnly = true;
  return mount;
}

/** What is empty and must not be, by the gateway's words for the fields: all of it at once, where the gateway names one. */
export function blanks(form: MountForm): string[] {
  const needed: [string, string][] = [
    ["name", form.name],
    ["image", form.image],
    ...form.rows.map(({ as }, at): [string, string] => [`mounts[${at}].as`, as]),
  ];
  return needed.filter(([, value]) => value.trim() === "").map(([field]) => field);
}

/** "mounts[1].as" as the row and its field; a field of the form itself has row null. */
export function placeOf(field: string | null): { row: number | null; field: string } | null {
  if (field === null) return null;
  const match = /^mounts\[(\d+)\]\.(\w+)$/.exec(field);
  return match ? { row: Number(match[1]), field: match[2] as string } : { row: null, field };
}
