/** Running a program to its end without blocking the event loop: hooks, resolvers, helpers. */
import { systemClock } from "./clock.ts";
import { closeFd, O_CLOEXEC, O_RDONLY, openPipe, readFd, setNonBlocking } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { checked, libc } from "./libc.ts";
import { cString, fixedBytes } from "./memory.ts";
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

/**
 * Runs a program in a session of its own with an empty standard input, and waits for its end or
 * kills it. Throws SystemCallError when it cannot be started.
 */
export async function runProgram(options: RunOptions): Promise<RunResult> {
  const input = orThrow(
    checked(libc().open(cString("/dev/null"), O_RDONLY | O_CLOEXEC, 0)),
    'open("/dev/null")',
  );
  const stdout = openPipe();
  const stderr = openPipe();
  try {
    let pid: number;
    try {
      pid = spawnProcess({
        ...options,
        newSession: true,
        descriptors: [[input, 0], [stdout.writeEnd, 1], [stderr.writeEnd, 2]],
      });
    } finally {
      for (const fd of [input, stdout.writeEnd, stderr.writeEnd]) closeFd(fd);
    }
    const bytesMax = options.outputBytesMax ?? 65_536;
    const streams = [stdout, stderr].map((pipe) => new Collector(pipe.readEnd, bytesMax));
    const { status, timedOut } = await waitForEnd(pid, options, () => {
      for (const stream of streams) stream.drain();
    });
    return { ...status, timedOut, stdout: streams[0].text(), stderr: streams[1].text() };
  } finally {
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
