/** Runs a piece of a test in a network namespace of its own. */
import { closeFd, O_CLOEXEC, O_RDONLY } from "../../ffi/descriptor.ts";
import { orThrow } from "../../ffi/error.ts";
import { setInterfaceUp } from "../../ffi/interface.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { cString } from "../../ffi/memory.ts";

const CLONE_NEWNET = 0x40000000;

/**
 * Moves this thread into a fresh namespace with `lo` up, runs `action`, and moves it back.
 * `action` is synchronous.
 */
export function inFreshNamespace(action: () => void): void {
  const home = openNamespaceOfThread();
  try {
    orThrow(checked(libc().unshare(CLONE_NEWNET)), "unshare");
    try {
      setInterfaceUp("lo", true);
      action();
    } finally {
      orThrow(checked(libc().setns(home, CLONE_NEWNET)), "setns");
    }
  } finally {
    closeFd(home);
  }
}

/** A descriptor of the namespace that this thread is in. */
export function openNamespaceOfThread(): number {
  const path = "/proc/thread-self/ns/net";
  return orThrow(checked(libc().open(cString(path), O_RDONLY | O_CLOEXEC, 0)), `open("${path}")`);
}

/** Runs `action` in the namespace of that descriptor. */
export function inNamespace(fd: number, action: () => void): void {
  const home = openNamespaceOfThread();
  try {
    orThrow(checked(libc().setns(fd, CLONE_NEWNET)), "setns");
    try {
      action();
    } finally {
      orThrow(checked(libc().setns(home, CLONE_NEWNET)), "setns");
    }
  } finally {
    closeFd(home);
  }
}

/** Runs `ip` with these arguments in the namespace that this thread is in. */
export function ip(...args: string[]): string {
  const output = new Deno.Command("ip", { args }).outputSync();
  if (!output.success) {
    throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(output.stderr)}`);
  }
  return new TextDecoder().decode(output.stdout);
}
