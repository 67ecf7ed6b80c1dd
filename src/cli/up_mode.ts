/**
 * Whether `up` makes an interface of the kernel or puts a userspace stack in its place, and what to
 * do where the user wants an interface and none can be made. Told before anything is made: no keys,
 * no files, no interface.
 */
import { closeFd, O_CLOEXEC, O_RDWR } from "../../ffi/descriptor.ts";
import { describeErrno } from "../../ffi/error.ts";
import { readTextFile } from "../../ffi/files.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { cString } from "../../ffi/memory.ts";
import { isMode, type Mode, MODES } from "../config/mode.ts";
import { SetupError } from "../daemon/setup_error.ts";
import type { FlagSpec } from "./command_spec.ts";
import { UsageError } from "./environment.ts";
import { programCommand } from "./program_command.ts";

const TUN_DEVICE = "/dev/net/tun";
/** CAP_NET_ADMIN of linux/capability.h. */
const NET_ADMIN_BIT = 12n;
const STATUS_BYTES_MAX = 65_536;

export const MODE_FLAG: FlagSpec = {
  name: "mode",
  value: "MODE",
  choices: MODES,
  help: "auto, tun, rootless or hybrid, in place of the file's",
};

/** What was chosen, and why. */
export interface NodeMode {
  readonly isRootless: boolean;
  /** Whether there is an interface and a userspace stack beside it. */
  readonly isHybrid: boolean;
  /** Why no interface can be made; empty where the user has chosen. */
  readonly reason: string;
}

/**
 * Decides on the mode that the flag, else the file, wants; `auto` takes an interface where this
 * process may make one. Throws `UsageError` for a mode that does not exist, `SetupError` where an
 * interface is wanted and cannot be made, with what helps. A node that serves prefixes gets a stack
 * beside its interface.
 */
export function chooseMode(
  flag: string | undefined,
  ofFile: Mode,
  mainUrl: string,
  servesPrefixes = false,
): NodeMode {
  if (flag !== undefined && !isMode(flag)) {
    throw new UsageError(`--mode takes one of ${MODES.join(", ")}, not "${flag}"`);
  }
  const wanted = flag ?? ofFile;
  if (wanted === "rootless") return { isRootless: true, isHybrid: false, reason: "" };
  const obstacle = interfaceObstacle();
  if (obstacle === null) {
    const isHybrid = wanted === "hybrid" || (wanted === "auto" && servesPrefixes);
    return { isRootless: false, isHybrid, reason: "" };
  }
  if (wanted !== "auto") throw new SetupError(adviceFor(obstacle, mainUrl));
  return { isRootless: true, isHybrid: false, reason: obstacle };
}

/** Why this process cannot make an interface; null when it can. */
function interfaceObstacle(): string | null {
  if (!hasNetAdmin()) return "this user lacks CAP_NET_ADMIN";
  const fd = checked(libc().open(cString(TUN_DEVICE), O_RDWR | O_CLOEXEC, 0));
  if (fd < 0) {
    return `${TUN_DEVICE} cannot be opened: ${describeErrno(-fd)} (modprobe tun; in a container, ` +
      "pass the device in)";
  }
  closeFd(fd);
  return null;
}

function hasNetAdmin(): boolean {
  const status = readTextFile("/proc/self/status", STATUS_BYTES_MAX);
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0";
  return (BigInt(`0x${effective}`) >> NET_ADMIN_BIT & 1n) === 1n;
}

function adviceFor(obstacle: string, mainUrl: string): string {
  const program = programCommand(mainUrl).replace(/^sudo /, "");
  return [
    `An interface cannot be made: ${obstacle}`,
    `  as root         sudo ${program} up`,
    `  as a service    sudo ${program} service install NAME (systemd gives it this one right)`,
    "  without rights  up --mode rootless: a userspace stack instead of an interface",
    "setcap does not help: a script has no rights of its own, and rights given to deno would be",
    "given to every program that it runs",
  ].join("\n");
}
