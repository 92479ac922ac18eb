// Serves dist with the mock gateway, to look at the pages without a cluster. Vite loads the TypeScript.
import { runnerImport } from "vite";

const { module } = await runnerImport(new URL("../mock/server.ts", import.meta.url).pathname);
const mock = await module.startMock({ port: Number(process.env.PORT ?? 8484) });
console.log(`${mock.url}  token: ${module.EDITOR_TOKEN}`);
