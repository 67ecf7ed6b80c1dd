/** The limit of open files of this process, which is raised as far as it may be. */
import { openFilesMax } from "../../ffi/process.ts";
import { SetupError } from "./setup_error.ts";

/** What the runtime, two nodes and their workers have open, before the first flow. */
const OPEN_FILES_MIN = 64;

/** Throws `SetupError` when a node cannot even start: the runtime would end with a panic. */
export function requireOpenFiles(): void {
  const limit = openFilesMax();
  if (limit >= OPEN_FILES_MIN) return;
  throw new SetupError(
    `This process may have ${limit} files open, and needs ${OPEN_FILES_MIN} and one more for each ` +
      "flow: raise the limit (ulimit -n 4096, or LimitNOFILE= in a systemd unit)",
  );
}
