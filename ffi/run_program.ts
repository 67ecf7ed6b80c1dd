/** Running a program to its end without blocking the event loop: hooks, resolvers, helpers. */
import { Errno } from "../src/base/errno.ts";
import { systemClock } from "./clock.ts";
import { closeFd, openPipe, readFd, setNonBlocking, writeFd } from "./descriptor.ts";
import { fixedBytes } from "./memory.ts";
import {
  type ExitStatus,
  killProcess,
  pollExit,
  SIGKILL,
  SIGTERM,
  spawnProcess,
} from "./process.ts";

/** What to run, and its bounds. */
export interface RunOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: readonly string[];
  /** What its standard input holds; nothing by default. */
  readonly input?: string;
  /** After this it gets SIGTERM, with all of its process group, and SIGKILL after `graceMs`. */
  readonly timeoutMs: number;
  readonly graceMs?: number;
  /** Of each stream; what exceeds it is read and dropped. */
  readonly outputBytesMax?: number;
}

/** What came of it. */
export interface RunResult extends ExitStatus {
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const POLL_MS_MIN = 1;
const POLL_MS_MAX = 20;

/** One output stream, collected up to a bound. */
class Collector {
  readonly #chunk = fixedBytes(65_536);
  readonly #kept: Uint8Array[] = [];
  #left: number;
  #ended = false;

  constructor(readonly fd: number, bytesMax: number) {
    this.#left = bytesMax;
    setNonBlocking(fd, true);
  }

  /** Takes what is there. */
  drain(): void {
    while (!this.#ended) {
      const n = readFd(this.fd, this.#chunk);
      if (n === 0) this.#ended = true;
      if (n <= 0) return;
      const taken = Math.min(n, this.#left);
      if (taken > 0) this.#kept.push(this.#chunk.slice(0, taken));
      this.#left -= taken;
    }
  }

  text(): string {
    const decoder = new TextDecoder();
    return this.#kept.map((bytes) => decoder.decode(bytes, { stream: true })).join("") +
      decoder.decode();
  }
}

/** The standard input of a program: written as fast as it is read. */
class Feeder {
  /** The end that the program reads. */
  readonly readEnd: number;
  #writeEnd: number;
  #bytes: Uint8Array<ArrayBuffer>;

  constructor(text: string) {
    const { readEnd, writeEnd } = openPipe();
    this.readEnd = readEnd;
    this.#writeEnd = writeEnd;
    this.#bytes = new TextEncoder().encode(text);
    setNonBlocking(writeEnd, true);
  }

  /** Writes what there is room for; at its end, or when nobody reads any more, it is closed. */
  feed(): void {
    while (this.#bytes.length > 0) {
      const n = writeFd(this.#writeEnd, this.#bytes);
      if (n === -Errno.EAGAIN) return;
      this.#bytes = n < 0 ? this.#bytes.subarray(this.#bytes.length) : this.#bytes.subarray(n);
    }
    this.close();
  }

  close(): void {
    if (this.#writeEnd >= 0) closeFd(this.#writeEnd);
    this.#writeEnd = -1;
  }
}

/**
 * Runs a program in a session of its own, its standard input empty unless `input` is given, and
 * waits for its end or kills it. Throws SystemCallError when it cannot be started.
 */
export async function runProgram(options: RunOptions): Promise<RunResult> {
  const feeder = new Feeder(options.input ?? "");
  const stdout = openPipe();
  const stderr = openPipe();
  try {
    let pid: number;
    try {
      pid = spawnProcess({
        ...options,
        newSession: true,
        descriptors: [[feeder.readEnd, 0], [stdout.writeEnd, 1], [stderr.writeEnd, 2]],
      });
    } finally {
      for (const fd of [feeder.readEnd, stdout.writeEnd, stderr.writeEnd]) closeFd(fd);
    }
    const bytesMax = options.outputBytesMax ?? 65_536;
    const streams = [stdout, stderr].map((pipe) => new Collector(pipe.readEnd, bytesMax));
    const { status, timedOut } = await waitForEnd(pid, options, () => {
      feeder.feed();
      for (const stream of streams) stream.drain();
    });
    return { ...status, timedOut, stdout: streams[0].text(), stderr: streams[1].text() };
  } finally {
    feeder.close();
    closeFd(stdout.readEnd);
    closeFd(stderr.readEnd);
  }
}

async function waitForEnd(
  pid: number,
  options: RunOptions,
  drain: () => void,
): Promise<{ status: ExitStatus; timedOut: boolean }> {
  const termMs = systemClock.nowMs() + options.timeoutMs;
  const killMs = termMs + (options.graceMs ?? 1000);
  let timedOut = false, killed = false;
  for (let pauseMs = POLL_MS_MIN;; pauseMs = Math.min(2 * pauseMs, POLL_MS_MAX)) {
    drain();
    const status = pollExit(pid);
    if (status !== undefined) {
      drain();
      return { status, timedOut };
    }
    const nowMs = systemClock.nowMs();
    if (!timedOut && nowMs >= termMs) {
      timedOut = true;
      killProcess(-pid, SIGTERM);
    }
    if (!killed && nowMs >= killMs) {
      killed = true;
      killProcess(-pid, SIGKILL);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
