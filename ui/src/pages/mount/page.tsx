/** Mount: from file systems, folders and paths to a manifest that can be copied. */

import { type FormEvent, useState } from "react";
import { ApiError, explain, inOneLine } from "../../api/errors";
import { Choice, Field, Select, useFirstWrong } from "../../parts/field";
import { Icon } from "../../parts/icons";
import { Loading, Problem } from "../../parts/problem";
import { useTitle } from "../../parts/title";
import { useFileSystems, useServices } from "../../services";
import { useStorage } from "../storage";
import {
  addRow,
  blanks,
  changeRow,
  chooseGroup,
  initialForm,
  type MountForm,
  manifestRequest,
  placeOf,
  removeRow,
} from "./form";
import { Manifest } from "./manifest";
import { MountRowFields } from "./row";

const KINDS = [
  { value: "endpoint", label: "Endpoint", hint: "a service that stays up" },
  { value: "devpod", label: "Dev Pod", hint: "a machine to work on" },
  { value: "job", label: "Job", hint: "runs once" },
] as const;

export function MountPage({ ws, fs, from }: { ws: string; fs: string | null; from: string }) {
  useTitle("Mount");
  const fileSystems = useFileSystems(ws);
  const storage = useStorage(ws);
  if (fileSystems.isPending || storage.isPending) return <Loading what="Loading what can be mounted" />;
  const broken = fileSystems.error ?? storage.error;
  if (broken)
    return <Problem error={broken} retry={() => void Promise.all([fileSystems.refetch(), storage.refetch()])} />;
  const first = fs ?? (fileSystems.data?.find((one) => one.default) ?? fileSystems.data?.[0])?.name ?? null;
  return <MountForms ws={ws} start={initialForm(first, from)} />;
}

function MountForms({ ws, start }: { ws: string; start: MountForm }) {
  const { gateway } = useServices();
  const [form, change] = useState(start);
  const [made, setMade] = useState<{ yaml: string; of: MountForm } | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [empty, setEmpty] = useState<string[]>([]);
  const shown = useFirstWrong(problem ?? empty);
  const place = problem instanceof ApiError ? placeOf(problem.field) : null;
  const errorAt = (row: number | null, field: string) => {
    const name = row === null ? field : `mounts[${row}].${field}`;
    if (empty.includes(name) && blanks(form).includes(name)) return "This is needed.";
    return place?.row === row && place.field === field ? explain(problem).what : null;
  };
  const send = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const missing = blanks(form);
    setEmpty(missing);
    setProblem(null);
    if (missing.length > 0) return setMade(null);
    try {
      const { yaml } = await gateway.manifest(ws, manifestRequest(form));
      setMade({ yaml, of: form });
    } catch (error) {
      setProblem(error);
      setMade(null);
    }
  };
  return (
    <>
      <h1>Mount</h1>
      <p className="lead">Say what a workload is to see where; the manifest to apply comes out.</p>
      <div className="columns">
        <form ref={shown} noValidate onSubmit={(event) => void send(event)}>
          <Workload form={form} change={change} errorAt={(field) => errorAt(null, field)} ws={ws} />
          <Mounts form={form} change={change} errorAt={errorAt} ws={ws} />
          {problem !== null && !place && (
            <p className="field-error" role="alert">
              {inOneLine(problem)}
            </p>
          )}
          <button type="submit" className="primary">
            Show the manifest
          </button>
        </form>
        <Manifest yaml={made?.yaml ?? null} stale={made !== null && made.of !== form} name={form.name} />
      </div>
    </>
  );
}

interface PartProps {
  ws: string;
  form: MountForm;
  change: (form: MountForm) => void;
}

function Workload({ ws, form, change, errorAt }: PartProps & { errorAt: (field: string) => string | null }) {
  const storage = useStorage(ws);
  const fallback = `fs:${useFileSystems(ws).data?.[0]?.name ?? "default"}`;
  const choose = (nodeGroup: string) => {
    const disks = storage.data?.localStorages.filter((disk) => disk.nodeGroup === nodeGroup) ?? [];
    change(
      chooseGroup(
        form,
        nodeGroup,
        disks.map((disk) => disk.name),
        fallback,
      ),
    );
  };
  return (
    <section className="card">
      <Choice legend="Kind" value={form.kind} options={KINDS} onValue={(kind) => change({ ...form, kind })} />
      <Field
        label="Name"
        required
        autoComplete="off"
        placeholder="train-9"
        value={form.name}
        error={errorAt("name")}
        onValue={(name) => change({ ...form, name })}
      />
      <Field
        label="Image"
        required
        autoComplete="off"
        placeholder="example.com/train:1"
        value={form.image}
        error={errorAt("image")}
        onValue={(image) => change({ ...form, image })}
      />
      <Select
        label="Node group"
        value={form.nodeGroup}
        onValue={choose}
        error={errorAt("nodeGroup")}
        hint="With a node group its local disks can be mounted too."
      >
        <option value="">Any node</option>
        {storage.data?.nodeGroups.map((group) => (
          <option key={group} value={group}>
            {group}
          </option>
        ))}
      </Select>
    </section>
  );
}

function Mounts({ ws, form, change, errorAt }: PartProps & { errorAt: (row: number, field: string) => string | null }) {
  const fileSystems = useFileSystems(ws).data ?? [];
  const disks = useStorage(ws).data?.localStorages.filter((disk) => disk.nodeGroup === form.nodeGroup) ?? [];
  return (
    <section aria-labelledby="mounts">
      <h2 id="mounts">Mounts</h2>
      {form.rows.map((row, at) => (
        <MountRowFields
          key={row.id}
          number={at + 1}
          row={row}
          fileSystems={fileSystems}
          disks={form.nodeGroup ? disks : []}
          nodeGroup={form.nodeGroup}
          only={form.rows.length === 1}
          errorAt={(field) => errorAt(at, field)}
          change={(part) => change(changeRow(form, row.id, part))}
          remove={() => change(removeRow(form, row.id))}
        />
      ))}
      <button type="button" onClick={() => change(addRow(form, `fs:${fileSystems[0]?.name ?? "default"}`))}>
        <Icon name="plus" />
        Add a mount
      </button>
    </section>
  );
}
