/** Login, workspaces, storage and manifests of the mock gateway. */

import { randomUUID } from "node:crypto";
import { Fail, type Request } from "./http";

export const EDITOR_TOKEN = "editor-token";
export const VIEWER_TOKEN = "viewer-token";

interface Session {
  user: string;
  csrf: string;
  editor: boolean;
}

export class Sessions {
  private readonly sessions = new Map<string, Session>();

  login(token: string): { id: string; session: Session } {
    if (token !== EDITOR_TOKEN && token !== VIEWER_TOKEN) {
      throw new Fail("Unauthenticated", "The API server does not accept this token; it may have expired.", "token");
    }
    const editor = token === EDITOR_TOKEN;
    const id = randomUUID();
    const session = { user: editor ? "ada" : "vera", csrf: randomUUID(), editor };
    this.sessions.set(id, session);
    return { id, session };
  }

  /** The session of a request; what changes something must carry its csrf word too. */
  of(request: Request): Session {
    const session = this.sessions.get(cookie(request));
    if (!session) throw new Fail("Unauthenticated", "");
    const safe = request.method === "GET" || request.method === "HEAD";
    if (!safe && request.incoming.headers["x-wfs-csrf"] !== session.csrf) {
      throw new Fail("Forbidden", "The request does not come from these pages.");
    }
    return session;
  }

  logout(request: Request): void {
    this.sessions.delete(cookie(request));
  }

  endAll(): void {
    this.sessions.clear();
  }
}

export function sessionView(session: Session) {
  return { user: session.user, groups: ["team-vision"], csrf: session.csrf, version: "0.9.0-mock" };
}

function cookie(request: Request): string {
  return /(?:^|; )__Host-wfs=([^;]+)/.exec(request.incoming.headers.cookie ?? "")?.[1] ?? "";
}

const GIB = 1024 ** 3;

export function fileSystems(editor: boolean, used: number) {
  const rights = { read: true, write: editor, delete: editor };
  const said = { health: "Ready", message: "", files: "Ready", filesMessage: "", usageOf: "FileSystem" };
  const well = { ...said, rights, localCache: false, default: false };
  const size = (gib: number, usedBytes: number) => ({
    capacity: gib * GIB,
    used: usedBytes,
    available: gib * GIB - usedBytes,
  });
  return [
    { ...well, name: "default", uid: "f-1", kind: "managed", nodeGroup: null, ...size(100, used), default: true },
    {
      ...well,
      name: "fast",
      uid: "f-2",
      kind: "nfs",
      nodeGroup: "h100",
      ...size(2048, 1900 * GIB),
      usageOf: "Share",
      localCache: true,
    },
    {
      ...well,
      name: "archive",
      uid: "f-3",
      kind: "nfs",
      nodeGroup: null,
      capacity: null,
      used: null,
      available: null,
      health: "NotReady",
      message: "The server 10.0.0.9 has not answered for 4 minutes.",
      files: "NotReady",
      filesMessage: "No pod of it can be scheduled.",
    },
  ];
}

export const STORAGE = {
  nodeGroups: ["h100", "a100"],
  localStorages: [
    {
      name: "scratch",
      nodeGroup: "h100",
      media: "SSD",
      nodes: 4,
      nodesReady: 4,
      capacity: 4 * 3500 * GIB,
      health: "Ready",
      message: "",
    },
    {
      name: "spool",
      nodeGroup: "a100",
      media: "HDD",
      nodes: 3,
      nodesReady: 2,
      capacity: 3 * 8000 * GIB,
      health: "NotReady",
      message: "On node a100-2 the disk is missing.",
    },
  ],
  caches: [
    {
      name: "imagenet",
      source: "default",
      paths: ["/datasets/imagenet"],
      target: "scratch",
      phase: "Ready",
      progress: 1,
      size: 144 * GIB,
      asOf: new Date(Date.now() - 600_000).toISOString(),
      health: "Ready",
      message: "",
    },
    {
      name: "speech",
      source: "s3://speech-corpus",
      paths: ["/"],
      target: "fast",
      phase: "Filling",
      progress: 0.42,
      size: 31 * GIB,
      asOf: null,
      health: "Ready",
      message: "",
    },
  ],
};

interface Wish {
  kind: string;
  name: string;
  image: string;
  nodeGroup?: string;
  mounts: { fileSystem?: string; localStorage?: string; from?: string; as: string; readOnly?: boolean }[];
}

/** Not the gateway's own manifest, only its shape: enough to see what the page asked for. */
export function manifest(wish: Wish): { yaml: string } {
  if (!/^[a-z0-9-]{1,63}$/.test(wish.name)) {
    throw new Fail("BadRequest", "Lower-case letters, digits and dashes only.", "name");
  }
  if (!wish.image) throw new Fail("BadRequest", "Name the image to run.", "image");
  wish.mounts.forEach((mount, at) => {
    if (!mount.as.startsWith("/")) {
      throw new Fail("BadRequest", "An absolute path is needed, such as /data.", `mounts[${at}].as`);
    }
  });
  const kind = { endpoint: "Deployment", devpod: "StatefulSet", job: "Job" }[wish.kind];
  const mounts = wish.mounts.map((mount) => {
    const subPath = mount.from ? `\n            subPath: ${mount.from}` : "";
    const readOnly = mount.readOnly ? "\n            readOnly: true" : "";
    return `          - name: ${mount.fileSystem ?? mount.localStorage}\n            mountPath: ${mount.as}${subPath}${readOnly}`;
  });
  const group = wish.nodeGroup ? `      nodeSelector:\n        workspacefs.io/node-group: ${wish.nodeGroup}\n` : "";
  const head = `kind: ${kind}\nmetadata:\n  name: ${wish.name}\nspec:\n  template:\n    spec:\n${group}`;
  return {
    yaml: `${head}      containers:\n      - image: ${wish.image}\n        volumeMounts:\n${mounts.join("\n")}\n`,
  };
}
