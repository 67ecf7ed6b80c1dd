/** Whether a node gets an interface of the kernel, or a userspace stack in its place. */
import { readTextFile } from "../../ffi/files.ts";
import { closeFd, O_CLOEXEC, O_RDWR } from "../../ffi/descriptor.ts";
import { describeErrno } from "../../ffi/error.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { cString } from "../../ffi/memory.ts";
import type { Mode } from "../config/mode.ts";

/** What was chosen, and why. */
export interface NodeMode {
  readonly isRootless: boolean;
  /** As the end of a sentence; empty where the user has chosen. */
  readonly reason: string;
}

const TUN_DEVICE = "/dev/net/tun";
/** CAP_NET_ADMIN of linux/capability.h. */
const NET_ADMIN_BIT = 12n;
const STATUS_BYTES_MAX = 65_536;

/** Decides on the mode; `auto` takes an interface where this process may make one. */
export function chooseMode(wanted: Mode): NodeMode {
  if (wanted !== "auto") return { isRootless: wanted === "rootless", reason: "" };
  const reason = interfaceObstacle();
  return { isRootless: reason !== null, reason: reason ?? "" };
}

/** Why this process cannot make an interface; null when it can. */
function interfaceObstacle(): string | null {
  if (!hasNetAdmin()) return "this user lacks CAP_NET_ADMIN";
  const fd = checked(libc().open(cString(TUN_DEVICE), O_RDWR | O_CLOEXEC, 0));
  if (fd < 0) return `${TUN_DEVICE} cannot be opened (${describeErrno(-fd)})`;
  closeFd(fd);
  return null;
}

function hasNetAdmin(): boolean {
  const status = readTextFile("/proc/self/status", STATUS_BYTES_MAX);
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0";
  return (BigInt(`0x${effective}`) >> NET_ADMIN_BIT & 1n) === 1n;
}
