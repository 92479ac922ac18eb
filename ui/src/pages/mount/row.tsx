/** One mount: which file system, which folder of it, and where the workload sees it. */

import type { FileSystem, LocalStorage } from "../../api/types";
import { Field, Select } from "../../parts/field";
import { Icon } from "../../parts/icons";
import { isDisk, type MountRow } from "./form";

interface Props {
  number: number;
  row: MountRow;
  fileSystems: FileSystem[];
  disks: LocalStorage[];
  nodeGroup: string;
  only: boolean;
  errorAt: (field: string) => string | null;
  change: (change: Partial<MountRow>) => void;
  remove: () => void;
}

export function MountRowFields({ number, row, fileSystems, disks, nodeGroup, only, errorAt, change, remove }: Props) {
  const chosen = fileSystems.find((one) => `fs:${one.name}` === row.source);
  const dedicated = chosen?.nodeGroup && chosen.nodeGroup !== nodeGroup ? chosen.nodeGroup : null;
  return (
    <fieldset className="card mount-row">
      <legend>Mount {number}</legend>
      <Select
        label="File System"
        value={row.source}
        onValue={(source) => change({ source })}
        error={errorAt("fileSystem") ?? errorAt("localStorage")}
        hint={dedicated && `Only nodes of the group ${dedicated} can mount it: choose that node group.`}
      >
        {fileSystems.map((one) => (
          <option key={one.name} value={`fs:${one.name}`}>
            {one.name}
          </option>
        ))}
        {disks.map((disk) => (
          <option key={disk.name} value={`disk:${disk.name}`}>
            {disk.name} (local {disk.media} of {disk.nodeGroup})
          </option>
        ))}
      </Select>
      {!isDisk(row) && (
        <Field
          label="Mount From"
          placeholder="/datasets"
          hint="A folder in the file system; all of it if left out."
          autoComplete="off"
          value={row.from}
          error={errorAt("from")}
          onValue={(from) => change({ from })}
        />
      )}
      <Field
        label="Mount As"
        required
        placeholder="/data"
        hint="The path inside the container."
        autoComplete="off"
        value={row.as}
        error={errorAt("as")}
        onValue={(as) => change({ as })}
      />
      <div className="row">
        <label className="tick">
          <input
            type="checkbox"
            checked={row.readOnly}
            onChange={(event) => change({ readOnly: event.target.checked })}
          />
          Read only
        </label>
        {!only && (
          <button type="button" className="quiet" onClick={remove}>
            <Icon name="close" />
            Remove<span className="unseen"> mount {number}</span>
          </button>
        )}
      </div>
    </fieldset>
  );
}
