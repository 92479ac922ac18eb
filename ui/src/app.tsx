/** Who is logged in, which page is shown, and the frame around it. */

import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useSyncExternalStore } from "react";
import type { Session } from "./api/types";
import { FilesPage } from "./pages/files/page";
import { FileSystemsPage } from "./pages/filesystems";
import { ImportsPage } from "./pages/imports/page";
import { LoginPage } from "./pages/login";
import { MountPage } from "./pages/mount/page";
import { StoragePage } from "./pages/storage";
import { TrashPage } from "./pages/trash";
import { WorkspacesPage } from "./pages/workspaces";
import { Boundary } from "./parts/boundary";
import { Header } from "./parts/header";
import { Known } from "./parts/known";
import { Loading, Problem } from "./parts/problem";
import { UploadPanel } from "./parts/upload-panel";
import { parseRoute, type Route } from "./route";
import { useServices } from "./services";

export function App() {
  const { gateway } = useServices();
  const route = useRoute();
  const session = useQuery({
    queryKey: ["session"],
    queryFn: ({ signal }) => gateway.session(signal),
    staleTime: Number.POSITIVE_INFINITY,
    // A login in another window has changed the cookie of this one too, and with it the csrf word.
    refetchOnWindowFocus: "always",
  });
  if (session.isPending) return <Loading what="Looking whether you are logged in" />;
  // Only if nobody is known yet: a page in use outlasts a gateway that is away for a moment.
  if (session.data === undefined) {
    return (
      <main className="alone">
        <Problem error={session.error} retry={() => void session.refetch()} />
      </main>
    );
  }
  // The address stays as it is, so that after the login the same page is shown again.
  if (session.data === null) return <LoginPage />;
  return <Frame route={route} session={session.data} />;
}

function Frame({ route, session }: { route: Route; session: Session }) {
  const main = useRef<HTMLElement>(null);
  const place = `${route.page} ${"ws" in route ? route.ws : ""} ${"fs" in route ? route.fs : ""}`;
  const first = useRef(true);
  // A page that changes without a load says nothing to a screen reader unless the focus goes to it, and stands where the one before
  // did.
  // biome-ignore lint/correctness/useExhaustiveDependencies: to be run when the place changes
  useEffect(() => {
    if (!first.current) {
      main.current?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    first.current = false;
  }, [place]);
  return (
    <>
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        Skip to the page's content
      </button>
      <Header route={route} session={session} />
      <main ref={main} tabIndex={-1} className={`page page-${route.page}`}>
        <Boundary place={place}>{ofKnown(route)}</Boundary>
      </main>
      <UploadPanel />
    </>
  );
}

function ofKnown(route: Route): ReactNode {
  const page = pageOf(route);
  if (!("ws" in route)) return page;
  return (
    <Known ws={route.ws} fs={"fs" in route ? route.fs : null}>
      {page}
    </Known>
  );
}

function pageOf(route: Route): ReactNode {
  switch (route.page) {
    case "workspaces":
      return <WorkspacesPage />;
    case "filesystems":
      return <FileSystemsPage ws={route.ws} />;
    case "storage":
      return <StoragePage ws={route.ws} />;
    case "mount":
      return <MountPage key={`${route.ws} ${route.fs} ${route.from}`} ws={route.ws} fs={route.fs} from={route.from} />;
    case "files":
      return <FilesPage key={`${route.ws}/${route.fs}`} ws={route.ws} fs={route.fs} path={route.path} />;
    case "trash":
      return <TrashPage ws={route.ws} fs={route.fs} />;
    case "imports":
      return <ImportsPage ws={route.ws} fs={route.fs} />;
    case "unknown":
      return (
        <section className="card">
          <h1>No such page</h1>
          <p>
            This address leads nowhere. <a href="#/">Go to your workspaces.</a>
          </p>
        </section>
      );
  }
}

function useRoute(): Route {
  const hash = useSyncExternalStore(subscribeToHash, () => window.location.hash);
  return parseRoute(hash);
}

function subscribeToHash(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}
