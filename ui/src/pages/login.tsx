/** Login with a token of Kubernetes. */

import { type FormEvent, useState } from "react";
import { ApiError, explain } from "../api/errors";
import { Field } from "../parts/field";
import { ThemeSwitch } from "../parts/header";
import { useTitle } from "../parts/title";
import { forgetUser, useServices } from "../services";

export function LoginPage() {
  useTitle("Log in");
  const services = useServices();
  const { gateway, client, queue } = services;
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    // Copied from a terminal, a token often brings a line break along.
    const word = token.replace(/\s+/g, "");
    if (word === "") return setProblem("Enter a token.");
    setBusy(true);
    try {
      const before = gateway.user;
      const session = await gateway.login(word);
      if (before !== null && before !== session.user) forgetUser(services);
      setToken("");
      // What was refused meanwhile is asked for again, and uploads that waited for a login go on.
      client.setQueryData(["session"], session);
      void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "session" });
      queue.wake();
    } catch (error) {
      setProblem(refused(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className="alone login">
      <form className="card" onSubmit={(event) => void submit(event)}>
        <div className="login-head">
          <h1>
            <img src="./icon.svg" alt="" width="32" height="32" /> workspacefs
          </h1>
          <ThemeSwitch />
        </div>
        <p>Log in with a token of your Kubernetes account. What you may do here is what Kubernetes lets you do.</p>
        <Field
          label="Token"
          type="password"
          required
          autoComplete="off"
          autoFocus
          value={token}
          onValue={setToken}
          error={problem}
          hint={
            <>
              To get one: <code>kubectl create token NAME -n NAMESPACE</code>
            </>
          }
        />
        <button type="submit" className="primary" disabled={busy}>
          {busy ? "Logging in …" : "Log in"}
        </button>
      </form>
    </main>
  );
}

function refused(error: unknown): string {
  if (error instanceof ApiError && error.code === "Unauthenticated") {
    return `${explain(error).what} Make a new one and try again.`;
  }
  const { what, todo } = explain(error);
  return `${what} ${todo}`;
}
