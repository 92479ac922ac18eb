/** The workspaces whose file systems the user may see. */

import { useQuery } from "@tanstack/react-query";
import { count } from "../lib/format";
import { Icon } from "../parts/icons";
import { Empty, Loading, Problem } from "../parts/problem";
import { useTitle } from "../parts/title";
import { href } from "../route";
import { useServices } from "../services";

export function WorkspacesPage() {
  useTitle("Workspaces");
  const { gateway } = useServices();
  const query = useQuery({ queryKey: ["workspaces"], queryFn: () => gateway.workspaces() });
  return (
    <>
      <h1>Workspaces</h1>
      {query.isPending && <Loading what="Loading the workspaces" />}
      {query.isError && <Problem error={query.error} retry={() => void query.refetch()} />}
      {query.data?.length === 0 && (
        <Empty>
          <p>You may not see the file systems of any workspace.</p>
          <p>
            Ask an administrator to bind you to the role workspacefs-viewer or workspacefs-editor in your workspace.
          </p>
        </Empty>
      )}
      <ul className="cards">
        {query.data?.map((workspace) => (
          <li key={workspace.name}>
            <a className="card link" href={href({ page: "filesystems", ws: workspace.name })}>
              <Icon name="folder" />
              <strong>{workspace.name}</strong>
              <span>{count(workspace.fileSystems, "file system")}</span>
            </a>
          </li>
        ))}
      </ul>
    </>
  );
}
