/**
 * Starting workers. With read permission the source module is used; without it (`deno run
 * --allow-ffi`) a worker can only start from a text that is already in the module graph: the bundle
 * that `scripts/bundle.ts` makes, which a few words behind a blob URL take and run.
 */
import type { WorkerMessage } from "./messages.ts";
import { mayReadSources } from "./sources.ts";
import bundle from "./worker.bundle.js" with { type: "text" };

/** What happens to a worker. */
export interface WorkerHandlers {
  readonly onMessage: (message: WorkerMessage) => void;
  /** The worker threw; it is dead. */
  readonly onError: (message: string) => void;
}

/**
 * Makes a worker; `name` is its thread's name. It loads its code, and becomes what the `WorkerStart`
 * says that is posted to it.
 */
export function spawnWorker(name: string, handlers: WorkerHandlers): Worker {
  const isBundled = !mayReadSources(import.meta.url);
  const url = isBundled ? bootUrl() : new URL("./worker_main.ts", import.meta.url).href;
  const worker = new Worker(url, { type: "module", name });
  worker.onmessage = (event: MessageEvent<WorkerMessage>) => handlers.onMessage(event.data);
  worker.onerror = (event) => {
    event.preventDefault();
    handlers.onError(event.message);
  };
  worker.onmessageerror = () => handlers.onError("a message could not be read");
  if (isBundled) worker.postMessage(bundle);
  return worker;
}

/**
 * What a bundled worker starts from: it takes the bundle by its first message. As a module of its own
 * the bundle would be parsed twice, once by Deno in search of imports, which takes 40 ms; as a function
 * it would be copied for the words around it.
 */
const BOOT = "onmessage = ({ data }) => (0, eval)(data)";

let blobUrl: string | undefined;

function bootUrl(): string {
  blobUrl ??= URL.createObjectURL(new Blob([BOOT], { type: "text/javascript" }));
  return blobUrl;
}
