/** Short notes of what was done, with a way to undo it. A screen reader says them; they stay until read or closed. */

import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from "react";
import { Icon } from "./icons";

export interface Toast {
  text: ReactNode;
  bad?: boolean;
  action?: { label: string; run: () => void };
}

interface Shown extends Toast {
  id: number;
}

const STAY_MS = 8_000;
/** What can be undone stays longer: who reads slowly must be able to. */
const STAY_WITH_ACTION_MS = 30_000;
const SHOWN_MAX = 4;

const ToastContext = createContext<(toast: Toast) => void>(() => {});

export function useToast(): (toast: Toast) => void {
  return useContext(ToastContext);
}

export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Shown[]>([]);
  const last = useRef(0);
  const close = useCallback((id: number) => setToasts((shown) => shown.filter((toast) => toast.id !== id)), []);
  const show = useCallback(
    (toast: Toast) => {
      last.current += 1;
      const id = last.current;
      setToasts((shown) => [...shown.slice(1 - SHOWN_MAX), { ...toast, id }]);
      // What went wrong stays until somebody has seen it.
      if (!toast.bad) setTimeout(() => close(id), toast.action ? STAY_WITH_ACTION_MS : STAY_MS);
    },
    [close],
  );
  const list = useMemo(
    () => toasts.map((toast) => <Note key={toast.id} toast={toast} close={close} />),
    [toasts, close],
  );
  return (
    <ToastContext value={show}>
      {children}
      <section className="toasts" aria-live="polite" aria-label="Notes">
        {list}
      </section>
    </ToastContext>
  );
}

function Note({ toast, close }: { toast: Shown; close: (id: number) => void }) {
  return (
    <div className={toast.bad ? "toast bad" : "toast"}>
      <div>{toast.text}</div>
      {toast.action && (
        <button
          type="button"
          onClick={() => {
            close(toast.id);
            toast.action?.run();
          }}
        >
          <Icon name="undo" />
          {toast.action.label}
        </button>
      )}
      <button type="button" className="quiet" aria-label="Close note" onClick={() => close(toast.id)}>
        <Icon name="close" />
      </button>
    </div>
  );
}
