/** The imports of a file system: those that run, with their progress, and what became of the others. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Import } from "../../api/types";
import { FsTabs } from "../../parts/fs-tabs";
import { Icon } from "../../parts/icons";
import { Empty, Loading, Problem } from "../../parts/problem";
import { useTitle } from "../../parts/title";
import { useFiles, useRights, useServices } from "../../services";
import { ImportCard } from "./card";
import { CloudDialog } from "./cloud-dialog";
import { KeysDialog } from "./keys-dialog";

const RUNNING_MS = 1_000;
const RESTING_MS = 15_000;

type Opened = { kind: "new" } | { kind: "again" | "keys"; what: Import } | null;

export function ImportsPage({ ws, fs }: { ws: string; fs: string }) {
  useTitle(`Imports of ${fs}`);
  const files = useFiles(ws, fs);
  const rights = useRights(ws, fs);
  const { client } = useServices();
  const [opened, setOpened] = useState<Opened>(null);
  const query = useQuery({
    queryKey: ["imports", ws, fs],
    queryFn: () => files.imports(),
    refetchInterval: ({ state }) => (state.data?.some(runs) ? RUNNING_MS : RESTING_MS),
  });
  const running = query.data?.filter(runs).length ?? 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: what has ended has brought files
  useEffect(() => void client.invalidateQueries({ queryKey: ["list", ws, fs] }), [running]);
  const imports = [...(query.data ?? [])].sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
  const close = () => setOpened(null);
  return (
    <>
      <FsTabs ws={ws} fs={fs} here="imports" />
      <div className="bar">
        <h1>Imports into {fs}</h1>
        {rights.write && (
          <button type="button" className="primary" onClick={() => setOpened({ kind: "new" })}>
            <Icon name="cloud" />
            Import from the cloud
          </button>
        )}
      </div>
      {query.isPending && <Loading what="Loading the imports" />}
      {query.isError && <Problem error={query.error} retry={() => void query.refetch()} />}
      {query.isSuccess && imports.length === 0 && <Empty>Nothing has been imported into this file system yet.</Empty>}
      <ul className="cards wide-cards" aria-label="Imports">
        {imports.map((one) => (
          <ImportCard
            key={one.id}
            files={files}
            one={one}
            rights={rights}
            again={() => setOpened({ kind: "again", what: one })}
            keys={() => setOpened({ kind: "keys", what: one })}
          />
        ))}
      </ul>
      {opened?.kind === "new" && <CloudDialog files={files} destination="" onClose={close} />}
      {opened?.kind === "again" && <CloudDialog files={files} destination="" again={opened.what} onClose={close} />}
      {opened?.kind === "keys" && <KeysDialog files={files} one={opened.what} onClose={close} />}
    </>
  );
}

export function runs(one: Import): boolean {
  return one.state === "listing" || one.state === "running";
}
