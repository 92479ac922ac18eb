import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { mayPass } from "./api/errors";
import { Gateway } from "./api/gateway";
import { App } from "./app";
import { Toasts } from "./parts/toasts";
import { ServicesContext } from "./services";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/header.css";
import "./styles/pages.css";
import "./styles/files.css";
import "./styles/uploads.css";
import { applyTheme, storedTheme } from "./theme";
import { browserMemory } from "./upload/memory";
import { UploadQueue } from "./upload/queue";
import { tusTransport } from "./upload/transport";

applyTheme(storedTheme());

const client = new QueryClient({
  defaultOptions: {
    queries: { retry: (tries, error) => tries < 2 && mayPass(error) && !endsLogin(error), staleTime: 2_000 },
  },
});
const gateway = new Gateway();
const memory = browserMemory(localStorage);
const queue = new UploadQueue(tusTransport(gateway, memory));

gateway.onLoginEnded = () => client.setQueryData(["session"], null);
window.addEventListener("online", () => queue.wake());
window.addEventListener("beforeunload", (event) => {
  // Uploads can be continued, but only by choosing the files again: worth a question.
  if (queue.unfinished()) event.preventDefault();
});

let refreshing = false;
queue.onEnded = () => {
  // A folder of many files would otherwise be read again after each.
  if (refreshing) return;
  refreshing = true;
  setTimeout(() => {
    refreshing = false;
    void client.invalidateQueries({ queryKey: ["list"] });
    void client.invalidateQueries({ queryKey: ["usage"] });
    void client.invalidateQueries({ queryKey: ["unfinished"] });
  }, 700);
};

function endsLogin(error: unknown): boolean {
  return (error as { code?: string }).code === "Unauthenticated";
}

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <ServicesContext value={{ gateway, queue, memory, client }}>
        <Toasts>
          <App />
        </Toasts>
      </ServicesContext>
    </QueryClientProvider>
  </StrictMode>,
);
