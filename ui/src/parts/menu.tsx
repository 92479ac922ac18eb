/** A button that opens a short list of things to do; arrows, Home, End and Escape as in any menu. */

import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Icon, type IconName } from "./icons";

export interface MenuItem {
  label: string;
  icon: IconName;
  run: () => void;
}

interface Props {
  label: ReactNode;
  icon: IconName;
  items: MenuItem[];
  primary?: boolean;
}

export function Menu({ label, icon, items, primary }: Props) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);
  const close = () => {
    setOpen(false);
    box.current?.querySelector("button")?.focus();
  };
  return (
    <div className="menu" ref={box}>
      <button
        type="button"
        className={primary ? "primary" : ""}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      >
        <Icon name={icon} />
        {label}
        <Icon name="chevron" />
      </button>
      {open && (
        <div role="menu" id={id} tabIndex={-1} onKeyDown={(event) => keys(event, close, () => setOpen(false))}>
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              tabIndex={-1}
              onClick={() => {
                close();
                item.run();
              }}
            >
              <Icon name={item.icon} />
              {item.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function keys(event: KeyboardEvent<HTMLElement>, close: () => void, leave: () => void): void {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=menuitem]")];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const to: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
  if (event.key === "Tab") return leave();
  if (event.key !== "Escape" && to[event.key] === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Escape") return close();
  items[((to[event.key] ?? 0) + items.length) % items.length]?.focus();
}
