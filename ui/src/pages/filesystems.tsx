/** The file systems of a workspace: kind, size, used, health. */

import type { FileSystem } from "../api/types";
import { bytes, percent } from "../lib/format";
import { ofWhat, trouble } from "../lib/words";
import { Health } from "../parts/health";
import { Icon } from "../parts/icons";
import { Empty, Loading, Problem } from "../parts/problem";
import { useTitle } from "../parts/title";
import { href } from "../route";
import { useFileSystems } from "../services";

export function FileSystemsPage({ ws }: { ws: string }) {
  useTitle(`File systems of ${ws}`);
  const query = useFileSystems(ws);
  return (
    <>
      <h1>File systems</h1>
      {query.isPending && <Loading what="Loading the file systems" />}
      {query.isError && <Problem error={query.error} retry={() => void query.refetch()} />}
      {query.data?.length === 0 && (
        <Empty>
          <p>This workspace has no file system yet. An administrator can add one with a FileSystem object.</p>
        </Empty>
      )}
      {query.data && query.data.length > 0 && (
        <div className="table-box">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Kind</th>
                <th scope="col">Size</th>
                <th scope="col">Used</th>
                <th scope="col">Health</th>
                <th scope="col">
                  <span className="unseen">Mount</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {query.data.map((fs) => (
                <Row key={fs.uid} ws={ws} fs={fs} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

export function Row({ ws, fs }: { ws: string; fs: FileSystem }) {
  const whole = ofWhat(fs);
  return (
    <tr>
      <th scope="row">
        <a className="strong" href={href({ page: "files", ws, fs: fs.name, path: "" })}>
          <Icon name="disk" />
          {fs.name}
        </a>
        {fs.default && <span className="tag">default</span>}
        {!fs.rights.write && <span className="tag">read only for you</span>}
      </th>
      <td data-label="Kind">
        {fs.kind}
        {fs.nodeGroup && <small>only node group {fs.nodeGroup}</small>}
        {fs.localCache && <small>cached on the nodes</small>}
      </td>
      <td data-label="Size">
        {bytes(fs.capacity)}
        {whole && <small>{whole}</small>}
      </td>
      <td data-label="Used">
        <Used fs={fs} />
        {whole && <small>{whole}</small>}
      </td>
      <td data-label="Health">
        <Health health={fs.health} message={trouble(fs)} />
      </td>
      <td>
        <a href={href({ page: "mount", ws, fs: fs.name, from: "" })}>
          Mount<span className="unseen"> {fs.name}</span>
        </a>
      </td>
    </tr>
  );
}

function Used({ fs }: { fs: FileSystem }) {
  const part = fs.used === null ? null : percent(fs.used, fs.capacity);
  return (
    <>
      {bytes(fs.used)}
      {part !== null && (
        <meter
          aria-label={`${part} percent of ${fs.name} used`}
          min={0}
          max={100}
          low={80}
          high={92}
          optimum={0}
          value={part}
        />
      )}
    </>
  );
}
