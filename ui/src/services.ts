/** What every page may need, made once in main.tsx and handed down: no module keeps state of its own. */

import { type QueryClient, useQuery } from "@tanstack/react-query";
import { createContext, useContext, useMemo, useSyncExternalStore } from "react";
import { Files } from "./api/files";
import type { Gateway } from "./api/gateway";
import type { FileSystem, Rights } from "./api/types";
import type { UploadMemory } from "./upload/memory";
import type { Upload, UploadQueue } from "./upload/queue";

export interface Services {
  gateway: Gateway;
  queue: UploadQueue;
  memory: UploadMemory;
  client: QueryClient;
}

export const ServicesContext = createContext<Services | null>(null);

export function useServices(): Services {
  const services = useContext(ServicesContext);
  if (!services) throw new Error("a page outside of ServicesContext");
  return services;
}

/** Nothing of one user is shown to the next, nor uploaded in their name. */
export function forgetUser({ client, queue }: Services): void {
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  queue.cancelAll();
  queue.clearEnded();
}

export function useFiles(ws: string, fs: string): Files {
  const { gateway } = useServices();
  return useMemo(() => new Files(gateway, ws, fs), [gateway, ws, fs]);
}

export function useUploads(): readonly Upload[] {
  const { queue } = useServices();
  return useSyncExternalStore(queue.subscribe, queue.snapshot);
}

export function useFileSystems(ws: string) {
  const { gateway } = useServices();
  return useQuery({
    queryKey: ["filesystems", ws],
    queryFn: () => gateway.fileSystems(ws),
    refetchInterval: 15_000,
  });
}

/** One file system as the gateway lists it; undefined while it is not known. */
export function useFileSystem(ws: string, fs: string): FileSystem | undefined {
  return useFileSystems(ws).data?.find((one) => one.name === fs);
}

/** Until the rights are known everything is offered: the server refuses what may not be, in words. */
export function useRights(ws: string, fs: string): Rights {
  return useFileSystem(ws, fs)?.rights ?? { read: true, write: true, delete: true };
}
