/** Programs run by the tests: bounded in time, inside a network namespace when asked for. */

/** How `run` starts a program. */
export interface RunOptions {
  /** Network namespace (as `ip netns` names them) to run in. */
  readonly namespace?: string;
  readonly env?: Record<string, string>;
  /** Text for standard input; without it, standard input is empty. */
  readonly stdin?: string;
  /** The program is killed after this long, and the call throws. Default 15,000. */
  readonly timeoutMs?: number;
  /** Accept a non-zero exit code instead of throwing. */
  readonly mayFail?: boolean;
}

/** What a program left behind. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `argv` to its end. Throws `Error` on a timeout, and on a non-zero exit unless `mayFail`. */
export async function run(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  const command = inNamespace(argv, options.namespace);
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    env: options.env,
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timeoutMs = options.timeoutMs ?? 15_000;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const written = options.stdin === undefined ? undefined : feed(child.stdin, options.stdin);
    const output = await child.output();
    await written;
    const result = {
      code: output.code,
      stdout: new TextDecoder().decode(output.stdout),
      stderr: new TextDecoder().decode(output.stderr),
    };
    if (timedOut) throw new Error(`no end after ${timeoutMs} ms: ${describe(argv, result)}`);
    if (output.code !== 0 && !options.mayFail) {
      throw new Error(`exit code ${output.code}: ${describe(argv, result)}`);
    }
    return result;
  } finally {
    clearTimeout(timer);
  }
}

/** `argv` as it has to be started so that it runs in `namespace`; the process id stays its own. */
export function inNamespace(argv: string[], namespace: string | undefined): string[] {
  return namespace === undefined
    ? argv
    : ["nsenter", `--net=/var/run/netns/${namespace}`, "--", ...argv];
}

/**
 * Polls `condition` until it gives something other than false, null or undefined, and returns that.
 * Throws after `timeoutMs`, naming `what` was waited for and the last error of `condition`, if any.
 * Looks every `intervalMs`.
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  condition: () => T | Promise<T>,
  intervalMs = 20,
): Promise<NonNullable<Exclude<T, false>>> {
  const endMs = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined) {
        return value as NonNullable<Exclude<T, false>>;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > endMs) {
      throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last });
    }
    await pause(intervalMs);
  }
}

/** Waits for `ms`: only where the passing of time itself is what a test is about. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function feed(stdin: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // The program did not want all of it; its exit code tells.
  }
}

function describe(argv: string[], result: RunResult): string {
  const shown = argv.join(" ");
  const stderr = result.stderr.trim().slice(-2000);
  const stdout = result.stdout.trim().slice(-2000);
  return `${shown.slice(0, 400)}\n${stderr}\n${stdout}`;
}
