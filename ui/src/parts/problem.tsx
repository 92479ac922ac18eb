/** What went wrong and what to do, what is still loading, and what is simply not there. */

import type { ReactNode } from "react";
import { explain } from "../api/errors";

export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const { what, todo } = explain(error);
  return (
    <div className="problem" role="alert">
      <p>
        <strong>{what}</strong>
      </p>
      <p>{todo}</p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p className="loading" role="status">
      {what} …
    </p>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}
