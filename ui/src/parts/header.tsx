/** The bar above every page: where one is, where one can go, who one is. */

import { useState } from "react";
import type { Session } from "../api/types";
import { href, type Route } from "../route";
import { forgetUser, useServices } from "../services";
import { applyTheme, nextTheme, storedTheme } from "../theme";
import { Icon } from "./icons";

export function Header({ route, session }: { route: Route; session: Session }) {
  const ws = "ws" in route ? route.ws : null;
  return (
    <header className="top">
      <a className="brand" href="#/">
        <img src="./icon.svg" alt="" width="24" height="24" />
        workspacefs
      </a>
      {ws && (
        <nav aria-label={`Workspace ${ws}`}>
          <strong className="where" title={ws}>
            {ws}
          </strong>
          <Tab
            label="File systems"
            to={{ page: "filesystems", ws }}
            on={"fs" in route && route.page !== "mount"}
            route={route}
          />
          <Tab label="Mount" to={{ page: "mount", ws, fs: null, from: "" }} route={route} />
          <Tab label="Caches and disks" to={{ page: "storage", ws }} route={route} />
        </nav>
      )}
      <div className="me">
        <ThemeSwitch />
        <User session={session} />
      </div>
    </header>
  );
}

function Tab({ label, to, route, on = false }: { label: string; to: Route; route: Route; on?: boolean }) {
  const here = on || route.page === to.page;
  return (
    <a href={href(to)} aria-current={here ? "page" : undefined}>
      {label}
    </a>
  );
}

export function ThemeSwitch() {
  const [theme, setTheme] = useState(storedTheme);
  const words = { system: "as the system", dark: "dark", light: "light" };
  return (
    <button
      type="button"
      className="quiet"
      aria-label={`Colours: ${words[theme]}. Change`}
      title={`Colours: ${words[theme]}`}
      onClick={() => {
        const next = nextTheme(theme);
        applyTheme(next);
        setTheme(next);
      }}
    >
      <Icon name="sun" />
    </button>
  );
}

function User({ session }: { session: Session }) {
  const services = useServices();
  const leave = async () => {
    // Before the logout, so that the server can be told what to throw away.
    services.queue.cancelAll();
    await services.gateway.logout().catch(() => {});
    services.client.setQueryData(["session"], null);
    forgetUser(services);
  };
  return (
    <>
      <span className="user" title={[session.user, ...session.groups].join(", ")}>
        {session.user}
      </span>
      <button type="button" className="quiet" onClick={() => void leave()}>
        Log out
      </button>
    </>
  );
}
