/**
 * `longhaul down NAME|FILE`: ends the program that runs an interface, as one ends wireguard-go, by
 * removing its control socket, and waits until it is gone.
 */
import { closeFd, pollFd, POLLIN, sleepBlocking } from "../../ffi/descriptor.ts";
import { systemClock } from "../../ffi/clock.ts";
import { exists, removeFile } from "../../ffi/files.ts";
import { openProcess } from "../../ffi/process.ts";
import { isUnixLive, unixListenerProcess } from "../../ffi/unix_socket.ts";
import { interfaceExists } from "../daemon/interface_setup.ts";
import { uapiPath } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import type { CommandSpec } from "./command_spec.ts";
import { findConfig } from "./config_file.ts";

const TIMEOUT_MS = 10_000;
const POLL_MS = 20;

export const downCommand: CommandSpec = {
  name: "down",
  summary: "end the program that runs an interface",
  words: "NAME|FILE",
  count: { min: 1, max: 1, rule: "down takes the name of an interface or its config file" },
  flags: [],
  examples: [["down wg0", "end what runs as wg0"]],
  run: ({ words }) => runDown(words[0]),
};

/** Runs the command; returns the exit code. Throws `SetupError` when there is nothing to end. */
function runDown(argument: string): number {
  const { interfaceName } = findConfig(argument);
  const path = uapiPath(interfaceName);
  const isThere = exists(path);
  if (!isThere || !isUnixLive(path)) {
    if (isThere) removeFile(path);
    throw new SetupError(nothingRuns(interfaceName, isThere));
  }
  const pid = unixListenerProcess(path);
  const processFd = pid === undefined ? -1 : openProcess(pid);
  try {
    removeFile(path);
    if (!waitForEnd(interfaceName, processFd)) {
      const who = pid === undefined ? "" : ` (process ${pid})`;
      throw new SetupError(
        `The control socket of ${interfaceName} is removed, ` +
          `but the program${who} has not ended within ${TIMEOUT_MS / 1000} s`,
      );
    }
  } finally {
    if (processFd >= 0) closeFd(processFd);
  }
  return 0;
}

function nothingRuns(name: string, hadSocket: boolean): string {
  const stale = hadSocket ? ", and its stale control socket is removed" : "";
  const other = interfaceExists(name)
    ? `. There is an interface ${name} of another kind (ip link delete ${name} would remove it)`
    : "";
  return `Nothing runs as ${name}${stale}${other}`;
}

/** Waits for the end of the process, or, when that cannot be seen, of the interface. */
function waitForEnd(interfaceName: string, processFd: number): boolean {
  if (processFd >= 0) return pollFd(processFd, POLLIN, TIMEOUT_MS) > 0;
  const deadlineMs = systemClock.nowMs() + TIMEOUT_MS;
  while (interfaceExists(interfaceName)) {
    if (systemClock.nowMs() >= deadlineMs) return false;
    sleepBlocking(POLL_MS);
  }
  return true;
}
