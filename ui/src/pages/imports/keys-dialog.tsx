/** The keys of an import that was interrupted: they were in memory only, so they are gone, and nothing else is. */

import { type FormEvent, useState } from "react";
import { ApiError, explain, inOneLine } from "../../api/errors";
import type { Files } from "../../api/files";
import type { Import } from "../../api/types";
import { Dialog } from "../../parts/dialog";
import { Field, useFirstWrong } from "../../parts/field";
import { useWish } from "../../parts/wish";
import { useServices } from "../../services";

export function KeysDialog({ files, one, onClose }: { files: Files; one: Import; onClose: () => void }) {
  const { client } = useServices();
  const [keys, setKeys] = useState({ accessKeyId: "", secretAccessKey: "" });
  const [problem, setProblem] = useState<{ field: string | null; text: string } | null>(null);
  const wish = useWish();
  const shown = useFirstWrong(problem);
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (keys.accessKeyId.trim() === "") return setProblem({ field: "accessKeyId", text: "Enter the access key id." });
    if (keys.secretAccessKey.trim() === "") {
      return setProblem({ field: "secretAccessKey", text: "Enter the secret access key." });
    }
    const goOn = async () => {
      await files.resumeImport(one.id, keys);
      await client.invalidateQueries({ queryKey: ["imports", files.ws, files.fs] });
    };
    const failed = (error: unknown) => {
      const field = error instanceof ApiError ? error.field : null;
      setProblem({ field, text: field ? explain(error).what : inOneLine(error) });
    };
    void wish.send(goOn, { done: onClose, failed });
  };
  const errorAt = (field: string) => (problem?.field === field ? problem.text : null);
  const elsewhere = problem && problem.field !== "accessKeyId" && problem.field !== "secretAccessKey";
  return (
    <Dialog title="Enter the keys again" onClose={onClose}>
      <form ref={shown} noValidate onSubmit={send}>
        <p>
          The import from <bdi>{one.bucket}</bdi> was interrupted. It goes on where it stopped; complete objects are not
          read again.
        </p>
        <Field
          label="Access key id"
          required
          autoComplete="off"
          value={keys.accessKeyId}
          error={errorAt("accessKeyId")}
          onValue={(accessKeyId) => setKeys({ ...keys, accessKeyId })}
        />
        <Field
          label="Secret access key"
          required
          type="password"
          autoComplete="new-password"
          value={keys.secretAccessKey}
          error={errorAt("secretAccessKey")}
          onValue={(secretAccessKey) => setKeys({ ...keys, secretAccessKey })}
        />
        {elsewhere && (
          <p className="field-error" role="alert">
            {problem.text}
          </p>
        )}
        <div className="buttons end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="primary">
            Go on
          </button>
        </div>
      </form>
    </Dialog>
  );
}
