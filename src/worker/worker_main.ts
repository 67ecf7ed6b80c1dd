/** The entry of every worker: waits for its start message and becomes what that says. */
import { runEncryptor } from "./encryptor_worker.ts";
import { runLane } from "./lane_worker.ts";
import type { WorkerMessage, WorkerStart } from "./messages.ts";

interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerStart>) => void) | null;
  postMessage(message: WorkerMessage): void;
}

const scope = self as unknown as WorkerScope;

scope.onmessage = ({ data }) => {
  const post = (message: WorkerMessage) => scope.postMessage(message);
  switch (data.role) {
    case "lane":
      return runLane(data, post);
    case "encryptor":
      return runEncryptor(data, post);
  }
};
