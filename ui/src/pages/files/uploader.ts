/** From files that were dropped or chosen to the queue: folders first, then what continues, then the rest. */

import { useCallback } from "react";
import { inOneLine } from "../../api/errors";
import type { Files } from "../../api/files";
import type { UnfinishedUpload } from "../../api/types";
import { count } from "../../lib/format";
import { shownPath } from "../../lib/names";
import { useToast } from "../../parts/toasts";
import { useServices } from "../../services";
import type { Collected } from "../../upload/collect";
import { continues } from "../../upload/memory";

export function useUploader(files: Files): (collected: Collected) => Promise<void> {
  const { queue, memory, client } = useServices();
  const toast = useToast();
  return useCallback(
    async ({ files: chosen, folders }) => {
      for (const folder of folders) {
        try {
          await files.ensureFolder(folder);
        } catch (error) {
          return toast({ bad: true, text: `The folder ${shownPath(folder)} could not be made. ${inOneLine(error)}` });
        }
      }
      if (folders.length > 0) void client.invalidateQueries({ queryKey: ["list", files.ws, files.fs] });
      // Without the list everything simply begins anew.
      const unfinished: UnfinishedUpload[] = await files.unfinished().catch(() => []);
      const busy = new Set(queue.snapshot().map((upload) => upload.serverId));
      const free = unfinished.filter((upload) => !busy.has(upload.id));
      const uploads = chosen.map(({ path, file }) => {
        const before = continues(free, path, file, memory);
        return { ws: files.ws, fs: files.fs, path, file, serverId: before?.id ?? null, sent: before?.offset ?? 0 };
      });
      queue.add(uploads);
      const continued = uploads.filter((upload) => upload.serverId !== null).length;
      if (continued > 0) toast({ text: `${count(continued, "unfinished upload")} continued.` });
    },
    [files, queue, memory, client, toast],
  );
}
