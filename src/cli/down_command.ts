/**
 * `longhaul down NAME|FILE`: ends the program that runs an interface and waits until it is gone; then
 * undoes what is left, if that program was killed.
 *
 * A tunnel of `up` that has something to undo is asked by SIGTERM, so that its hooks still find a
 * control socket. Every other program is ended as one ends wireguard-go, by removing its socket.
 */
import { closeFd, pollFd, POLLIN, sleepBlocking } from "../../ffi/descriptor.ts";
import { systemClock } from "../../ffi/clock.ts";
import { getEnvironment } from "../../ffi/environment.ts";
import { exists, removeFile } from "../../ffi/files.ts";
import { killProcess, openProcess, SIGTERM } from "../../ffi/process.ts";
import { isUnixLive, unixListenerProcess } from "../../ffi/unix_socket.ts";
import { interfaceExists } from "../daemon/interface_setup.ts";
import { parseLogLevel, setUpLog } from "../daemon/log_setup.ts";
import { uapiPath } from "../daemon/paths.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { clearLeftovers } from "../daemon/tunnel_changes.ts";
import { findRecord } from "../daemon/up_record.ts";
import type { CommandSpec } from "./command_spec.ts";
import { findConfig } from "./config_file.ts";

const TIMEOUT_MS = 10_000;
/** What PreDown and PostDown may take. */
const HOOKS_TIMEOUT_MS = 120_000;
const POLL_MS = 20;

export const downCommand: CommandSpec = {
  name: "down",
  summary: "end what runs an interface, and undo what it has changed",
  words: "NAME|FILE",
  count: { min: 1, max: 1, rule: "down takes the name of an interface or its config file" },
  flags: [],
  examples: [["down wg0", "end what runs as wg0, or clean up after it was killed"]],
  run: ({ words }) => runDown(words[0]),
};

/** Runs the command; resolves with the exit code. Rejects with `SetupError`: nothing to end. */
async function runDown(argument: string): Promise<number> {
  const { interfaceName } = findConfig(argument);
  const path = uapiPath(interfaceName);
  const hasSocket = exists(path);
  const isLive = hasSocket && isUnixLive(path);
  const ended = endProgram(interfaceName, path, isLive);
  if (hasSocket && !isLive) removeFile(path);
  const leftOver = await clearUp(interfaceName, ended);
  if (!ended && !leftOver) throw new SetupError(nothingRuns(interfaceName, hasSocket));
  return 0;
}

/** Ends the program and waits for it; false when there is none. */
function endProgram(interfaceName: string, path: string, isLive: boolean): boolean {
  const found = findRecord(interfaceName);
  const owner = found?.isLive ? found.content.processId : undefined;
  if (!isLive && owner === undefined) return false;
  const pid = owner ?? unixListenerProcess(path);
  const processFd = pid === undefined ? -1 : openProcess(pid);
  try {
    if (owner === undefined || killProcess(owner, SIGTERM) < 0) removeFile(path);
    const timeoutMs = owner === undefined ? TIMEOUT_MS : HOOKS_TIMEOUT_MS;
    if (waitForEnd(interfaceName, processFd, timeoutMs)) return true;
    const who = pid === undefined ? "" : ` (process ${pid})`;
    throw new SetupError(
      `The program${who} of ${interfaceName} was told to end, ` +
        `but has not done so within ${timeoutMs / 1000} s`,
    );
  } finally {
    if (processFd >= 0) closeFd(processFd);
  }
}

/** Undoes what a killed program has left behind; whether there was anything. */
async function clearUp(interfaceName: string, ended: boolean): Promise<boolean> {
  const found = findRecord(interfaceName);
  if (found === null) return false;
  if (!found.isHere && !found.isLive) {
    throw new SetupError(
      `${ended ? "" : `Nothing runs as ${interfaceName}, but `}an earlier one was killed and has ` +
        "left rules or name servers behind in another network namespace: run this command there",
    );
  }
  const level = parseLogLevel(getEnvironment("LOG_LEVEL") || "info");
  return await clearLeftovers(interfaceName, setUpLog(interfaceName, level));
}

function nothingRuns(name: string, hadSocket: boolean): string {
  const stale = hadSocket ? ", and its stale control socket is removed" : "";
  const other = interfaceExists(name)
    ? `. There is an interface ${name} of another kind (ip link delete ${name} would remove it)`
    : "";
  return `Nothing runs as ${name}${stale}${other}`;
}

/** Waits for the end of the process, or, when that cannot be seen, of the interface. */
function waitForEnd(interfaceName: string, processFd: number, timeoutMs: number): boolean {
  if (processFd >= 0) return pollFd(processFd, POLLIN, timeoutMs) > 0;
  const deadlineMs = systemClock.nowMs() + timeoutMs;
  while (interfaceExists(interfaceName)) {
    if (systemClock.nowMs() >= deadlineMs) return false;
    sleepBlocking(POLL_MS);
  }
  return true;
}
