/**
 * Going to the background as wireguard-go does: the program starts itself once more, in a session
 * of its own, waits until that copy reports that interface and socket exist, and returns.
 *
 * The copy reports through a pipe: `ok`, or what went wrong.
 */
import {
  closeFd,
  isOpen,
  O_CLOEXEC,
  O_RDWR,
  openPipe,
  readFd,
  writeFd,
} from "../../ffi/descriptor.ts";
import { environmentList, getEnvironment } from "../../ffi/environment.ts";
import { orThrow } from "../../ffi/error.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { cString } from "../../ffi/memory.ts";
import { spawnProcess } from "../../ffi/process.ts";

/** Names the descriptor that the background copy reports to. */
const READY_FD_VARIABLE = "LONGHAUL_READY_FD";
/** Its number, unless a passed descriptor is higher. */
const READY_FD_LOWEST = 9;
const REPLACED = /^(WG_PROCESS_FOREGROUND|LONGHAUL_READY_FD)=/;
const REPORT_BYTES_MAX = 4096;

/** What a copy in the background needs beside the command line. */
export interface BackgroundOptions {
  /** The program's own URL. */
  readonly mainUrl: string;
  readonly args: readonly string[];
  /** Descriptors to pass on under their own numbers. */
  readonly passedFds: readonly number[];
  /** Keeps standard output and error; else they go to /dev/null. */
  readonly keepOutput: boolean;
}

/** Starts the copy and waits for its report; returns null when all is well, else what is wrong. */
export function startInBackground(options: BackgroundOptions): string | null {
  const closed = options.passedFds.find((fd) => !isOpen(fd));
  if (closed !== undefined) return `file descriptor ${closed} was to be passed on, but is not open`;
  const readyFd = Math.max(READY_FD_LOWEST, ...options.passedFds.map((fd) => fd + 1));
  const { readEnd, writeEnd } = openPipe();
  const nullFd = openNull();
  const outputs: [number, number][] = options.keepOutput
    ? [[1, 1], [2, 2]]
    : [[nullFd, 1], [nullFd, 2]];
  spawnProcess({
    program: Deno.execPath(),
    args: ["run", "--no-prompt", "--allow-ffi", options.mainUrl, ...options.args],
    environment: [
      ...environmentList().filter((entry) => !REPLACED.test(entry)),
      "WG_PROCESS_FOREGROUND=1",
      `${READY_FD_VARIABLE}=${readyFd}`,
    ],
    descriptors: [
      [nullFd, 0],
      ...outputs,
      [writeEnd, readyFd],
      ...options.passedFds.map((fd) => [fd, fd] as const),
    ],
    newSession: true,
  });
  closeFd(writeEnd);
  const report = readReport(readEnd);
  closeFd(readEnd);
  return report === "ok" ? null : report || "the program ended before it was ready";
}

/** In the copy: tells the waiting parent that all is well (null), or what is wrong. */
export function reportReady(problem: string | null): void {
  const variable = getEnvironment(READY_FD_VARIABLE);
  if (variable === undefined) return;
  const fd = Number(variable);
  writeFd(fd, new TextEncoder().encode(problem ?? "ok"));
  closeFd(fd);
}

function openNull(): number {
  const fd = libc().open(cString("/dev/null"), O_RDWR | O_CLOEXEC, 0);
  return orThrow(checked(fd), 'open("/dev/null")');
}

function readReport(fd: number): string {
  const bytes = new Uint8Array(REPORT_BYTES_MAX);
  let length = 0;
  while (length < bytes.length) {
    const result = readFd(fd, bytes.subarray(length));
    if (result <= 0) break;
    length += result;
  }
  return new TextDecoder().decode(bytes.subarray(0, length));
}
