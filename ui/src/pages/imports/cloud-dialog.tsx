/** Upload File → From Cloud: from a bucket of AWS S3 or Cloudflare R2 into a folder. */

import { type FormEvent, useState } from "react";
import { ApiError, explain, inOneLine } from "../../api/errors";
import type { Files } from "../../api/files";
import type { Import } from "../../api/types";
import { inputFromPath } from "../../lib/paths";
import { Dialog } from "../../parts/dialog";
import { Choice, Field, useFirstWrong } from "../../parts/field";
import { useToast } from "../../parts/toasts";
import { useWish } from "../../parts/wish";
import { href } from "../../route";
import { useServices } from "../../services";
import { type Form, fieldOf, type Problems, problemsOf, requestOf } from "./form";

interface Props {
  files: Files;
  destination: string;
  /** An import that failed, to be tried again with what was corrected. */
  again?: Import;
  onClose: () => void;
}

const PROVIDERS = [
  { value: "s3", label: "AWS S3", hint: "or a server that speaks it" },
  { value: "r2", label: "Cloudflare R2" },
] as const;

export function CloudDialog({ files, destination, again, onClose }: Props) {
  const [form, setForm] = useState<Form>(() => formOf(destination, again));
  const [problems, setProblems] = useState<Problems>(() => problemsOfImport(again));
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const start = useStart(files);
  const wish = useWish();
  const shown = useFirstWrong(problems);
  const send = (event: FormEvent) => {
    event.preventDefault();
    const wrong = problemsOf(form);
    setProblems(wrong);
    setProblem(null);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    const failed = (error: unknown) => {
      const field = error instanceof ApiError ? fieldOf(error.field) : null;
      if (field) setProblems({ [field]: explain(error).what });
      else setProblem(inOneLine(error));
      setBusy(false);
    };
    void wish.send(() => start(form), { done: onClose, failed });
  };
  return (
    <Dialog title="Import from the cloud" onClose={onClose}>
      <form ref={shown} noValidate onSubmit={send}>
        <Choice
          legend="From"
          value={form.provider}
          options={PROVIDERS}
          onValue={(provider) => setForm({ ...form, provider })}
        />
        <CloudFields form={form} problems={problems} set={(change) => setForm({ ...form, ...change })} />
        {problem && (
          <p className="field-error" role="alert">
            {problem}
          </p>
        )}
        <p className="hint">The keys are kept in memory while the import runs, and are never stored.</p>
        <div className="buttons end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={busy}>
            {busy ? "Starting …" : "Start the import"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface FieldsProps {
  form: Form;
  problems: Problems;
  set: (change: Partial<Form>) => void;
}

function CloudFields({ form, problems, set }: FieldsProps) {
  const of = (field: keyof Form) => ({
    value: form[field],
    error: problems[field],
    autoComplete: "off",
    onValue: (value: string) => set({ [field]: value }),
  });
  const r2 = form.provider === "r2";
  return (
    <>
      {r2 && (
        <Field label="Endpoint" required placeholder="https://ACCOUNT.r2.cloudflarestorage.com" {...of("endpoint")} />
      )}
      <Field label="Bucket" required {...of("bucket")} />
      <Field label="Access key id" required {...of("accessKeyId")} />
      <Field
        label="Secret access key"
        required
        type="password"
        {...of("secretAccessKey")}
        autoComplete="new-password"
      />
      <Field
        label="Destination"
        required
        hint="The folder to import into; it is made if need be."
        {...of("destination")}
      />
      <details open={Boolean(problems.region || problems.prefix || (!r2 && problems.endpoint))}>
        <summary>More</summary>
        <Field label="Prefix" hint="Only objects whose keys begin so." placeholder="datasets/2026/" {...of("prefix")} />
        {!r2 && (
          <Field label="Region" hint="Found by itself if left out." placeholder="eu-central-1" {...of("region")} />
        )}
        {!r2 && (
          <Field
            label="Endpoint"
            hint="Only for a server other than AWS."
            placeholder="https://s3.example.com"
            {...of("endpoint")}
          />
        )}
      </details>
    </>
  );
}

function formOf(destination: string, again: Import | undefined): Form {
  return {
    provider: again?.provider ?? "s3",
    bucket: again?.bucket ?? "",
    accessKeyId: "",
    secretAccessKey: "",
    region: "",
    endpoint: again?.endpoint ?? "",
    prefix: again?.prefix ?? "",
    destination: inputFromPath(again?.destination ?? destination),
  };
}

function problemsOfImport(again: Import | undefined): Problems {
  const field = fieldOf(again?.field);
  return field && again?.message ? { [field]: again.message } : {};
}

function useStart(files: Files): (form: Form) => Promise<void> {
  const { client } = useServices();
  const toast = useToast();
  return async (form) => {
    await files.startImport(requestOf(form));
    void client.invalidateQueries({ queryKey: ["imports", files.ws, files.fs] });
    const to = href({ page: "imports", ws: files.ws, fs: files.fs });
    toast({
      text: (
        <>
          The import has begun. <a href={to}>See how it goes</a>
        </>
      ),
    });
  };
}
