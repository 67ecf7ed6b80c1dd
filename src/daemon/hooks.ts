/**
 * PreUp, PostUp, PreDown and PostDown: commands of the user's for a shell, one after the other, with
 * this process's environment, input and output. As with wg-quick they are bash's, `errexit` and
 * `pipefail` are set, and `%i` is the interface.
 */
import { isOpen } from "../../ffi/descriptor.ts";
import { killProcess, pollExit, SIGTERM, spawnProcess } from "../../ffi/process.ts";
import type { Ending } from "./ending.ts";
import { maskKeys } from "../config/diagnostic.ts";
import { SetupError } from "./setup_error.ts";
import { findProgram, programEnvironment } from "./system_program.ts";

const POLL_MS_MIN = 1;
const POLL_MS_MAX = 50;

/** What hooks are run for. */
export interface HookContext {
  readonly interfaceName: string;
  /** The key that they stand behind, for messages. */
  readonly key: string;
  /** Its begin ends the hook that runs, and keeps the others from running. */
  readonly ending?: Ending;
}

/**
 * Runs commands in order and shows each, keys hidden, on standard error. Rejects with `SetupError`
 * when one fails, which keeps the rest from running; resolves early when the end begins.
 */
export async function runHooks(
  commands: readonly string[],
  context: HookContext,
): Promise<void> {
  for (const command of commands) {
    if (context.ending?.isBegun) return;
    const text = command.replaceAll("%i", () => context.interfaceName);
    console.error(`[#] ${maskKeys(text)}`);
    const problem = await runShell(text, context.ending);
    if (problem === null) continue;
    throw new SetupError(`${context.key}: \`${maskKeys(text)}\` failed: ${problem}`);
  }
}

/** As `runHooks`, but a failure is told by `report` and the rest runs all the same. */
export async function runAllHooks(
  commands: readonly string[],
  context: HookContext,
  report: (problem: string) => void,
): Promise<void> {
  for (const command of commands) {
    try {
      await runHooks([command], context);
    } catch (error) {
      report(error instanceof Error ? error.message : String(error));
    }
  }
}

/** Runs one command; why it failed, null when it did not or the end has begun. */
async function runShell(command: string, ending?: Ending): Promise<string | null> {
  const bash = findProgram("bash");
  const pid = spawnProcess({
    program: bash ?? findProgram("sh") ?? "sh",
    args: bash === null
      ? ["-e", "-c", command]
      : ["-e", "-o", "pipefail", "-O", "extglob", "-c", command],
    environment: programEnvironment(),
    descriptors: [0, 1, 2].filter(isOpen).map((fd) => [fd, fd] as const),
  });
  let hasEnded = false;
  ending?.begun.then(() => {
    if (!hasEnded) killProcess(pid, SIGTERM);
  });
  for (let pauseMs = POLL_MS_MIN;; pauseMs = Math.min(2 * pauseMs, POLL_MS_MAX)) {
    const status = pollExit(pid);
    if (status !== undefined) {
      hasEnded = true;
      if (ending?.isBegun || (status.code === 0 && status.signal === 0)) return null;
      return status.signal === 0 ? `exit code ${status.code}` : `signal ${status.signal}`;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
