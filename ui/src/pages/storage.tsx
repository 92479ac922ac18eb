/** Caches and local disks with their state. Only to be read: they are made and changed by administrators. */

import { useQuery } from "@tanstack/react-query";
import type { Cache, LocalStorage } from "../api/types";
import { bytes, count, time } from "../lib/format";
import { Health } from "../parts/health";
import { Empty, Loading, Problem } from "../parts/problem";
import { useTitle } from "../parts/title";
import { useServices } from "../services";

export function useStorage(ws: string) {
  const { gateway } = useServices();
  return useQuery({ queryKey: ["storage", ws], queryFn: () => gateway.storage(ws), refetchInterval: 15_000 });
}

export function StoragePage({ ws }: { ws: string }) {
  useTitle(`Caches and disks of ${ws}`);
  const query = useStorage(ws);
  return (
    <>
      <h1>Caches and local disks</h1>
      {query.isPending && <Loading what="Loading caches and disks" />}
      {query.isError && <Problem error={query.error} retry={() => void query.refetch()} />}
      {query.data && (
        <>
          <Caches caches={query.data.caches} />
          <Disks disks={query.data.localStorages} />
        </>
      )}
    </>
  );
}

function Caches({ caches }: { caches: Cache[] }) {
  return (
    <section aria-labelledby="caches">
      <h2 id="caches">Caches</h2>
      <p className="lead">Copies of chosen folders, kept near the nodes that read them.</p>
      {caches.length === 0 && <Empty>This workspace has no caches.</Empty>}
      <ul className="cards">
        {caches.map((cache) => (
          <li key={cache.name} className="card">
            <h3>{cache.name}</h3>
            <dl>
              <Fact term="Source" value={`${cache.source}: ${cache.paths.join(", ")}`} />
              <Fact term="Kept on" value={cache.target} />
              <Fact term="Phase" value={cache.phase} />
              <Fact term="Size" value={cache.size === null ? "" : bytes(cache.size)} />
              <Fact term="As of" value={time(cache.asOf)} />
            </dl>
            {cache.progress !== null && cache.progress < 1 && (
              <progress aria-label={`${cache.name} is being filled`} max={1} value={cache.progress} />
            )}
            <Health health={cache.health} message={cache.message} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Disks({ disks }: { disks: LocalStorage[] }) {
  return (
    <section aria-labelledby="disks">
      <h2 id="disks">Local disks</h2>
      <p className="lead">
        Disks of the nodes of a node group. What is written there stays on that node, so it cannot be reached from these
        pages.
      </p>
      {disks.length === 0 && <Empty>No local disks are open to this workspace.</Empty>}
      <ul className="cards">
        {disks.map((disk) => (
          <li key={disk.name} className="card">
            <h3>{disk.name}</h3>
            <dl>
              <Fact term="Node group" value={disk.nodeGroup} />
              <Fact term="Medium" value={disk.media} />
              <Fact term="Capacity" value={bytes(disk.capacity)} />
              <Fact term="Nodes" value={`${disk.nodesReady} of ${count(disk.nodes, "node")} ready`} />
            </dl>
            <Health health={disk.health} message={disk.message} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Fact({ term, value }: { term: string; value: string }) {
  if (value === "") return null;
  return (
    <div>
      <dt>{term}</dt>
      <dd>{value}</dd>
    </div>
  );
}
