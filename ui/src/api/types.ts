/** The JSON of ADR 18, as far as the pages read it. */

export interface Entry {
  name: string;
  path: string;
  type: "file" | "dir" | "symlink" | "other";
  size: number;
  modified: string;
  mode: string;
  uid: number;
  gid: number;
  etag: string;
}

export interface ListPage {
  entries: Entry[];
  next: string | null;
  sorted: boolean;
}

export interface Session {
  user: string;
  groups: string[];
  csrf: string;
  version: string;
}

export interface Workspace {
  name: string;
  fileSystems: number;
}

export interface Rights {
  read: boolean;
  write: boolean;
  delete: boolean;
}

export interface FileSystem {
  name: string;
  uid: string;
  kind: string;
  default: boolean;
  nodeGroup: string | null;
  capacity: number | null;
  used: number | null;
  available: number | null;
  /** Of what these figures are. */
  usageOf: "FileSystem" | "Share";
  health: "Ready" | "NotReady" | "Unknown";
  message: string;
  files: "Ready" | "NotReady";
  /** Why not, in the operator's words; empty where there is nothing to say. */
  filesMessage: string;
  rights: Rights;
  localCache: boolean;
}

export interface LocalStorage {
  name: string;
  nodeGroup: string;
  media: string;
  nodes: number;
  nodesReady: number;
  capacity: number | null;
  health: string;
  message: string;
}

export interface Cache {
  name: string;
  source: string;
  paths: string[];
  target: string;
  phase: string;
  progress: number | null;
  size: number | null;
  asOf: string | null;
  health: string;
  message: string;
}

export interface Storage {
  nodeGroups: string[];
  localStorages: LocalStorage[];
  caches: Cache[];
}

export interface Usage {
  capacity: number | null;
  used: number | null;
  available: number | null;
  inodes: number | null;
  inodesUsed: number | null;
  trash: { bytes: number | null; entries: number | null };
}

export interface TrashEntry {
  id: string;
  path: string;
  name: string;
  type: Entry["type"];
  size: number;
  deletedAt: string;
  expiresAt: string;
  deletedBy: string;
}

export interface UnfinishedUpload {
  id: string;
  path: string;
  size: number;
  offset: number;
  expiresAt: string;
  created: string;
}

export type ImportState = "listing" | "running" | "done" | "failed" | "cancelled" | "interrupted";

export interface Import {
  id: string;
  provider: "s3" | "r2";
  bucket: string;
  prefix: string | null;
  endpoint: string | null;
  destination: string;
  state: ImportState;
  objects: { total: number; done: number; skipped: number; failed: number };
  bytes: { total: number; done: number };
  bySize: number;
  rate: number | null;
  etaSeconds: number | null;
  failures: { key: string; reason: string }[];
  message: string | null;
  field?: string | null;
  startedAt: string;
  endedAt: string | null;
  startedBy: string;
}

export interface ImportRequest {
  provider: "s3" | "r2";
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  region?: string;
  endpoint?: string;
  prefix?: string;
  destination: string;
}

export interface Mount {
  fileSystem?: string;
  localStorage?: string;
  from?: string;
  as: string;
  readOnly?: boolean;
}

export interface ManifestRequest {
  kind: "endpoint" | "devpod" | "job";
  name: string;
  image: string;
  nodeGroup?: string;
  mounts: Mount[];
}
