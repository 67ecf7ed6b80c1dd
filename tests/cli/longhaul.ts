/** The program as a user calls it: `deno run --allow-ffi main.ts ...`, run or started by a test. */
import { assert } from "@std/assert";
import { inNamespace, run, type RunOptions, type RunResult, waitFor } from "../netns/command.ts";
import type { Net } from "../netns/net.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** The documented command. Nothing else is allowed, and a prompt would be an answer of no. */
export function command(...args: string[]): string[] {
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi", MAIN, ...args];
}

/** Runs a command to its end; it may fail. */
export function longhaul(args: string[], options: RunOptions = {}): Promise<RunResult> {
  return run(command(...args), { mayFail: true, ...options });
}

/** A program in the foreground whose output goes to a file. */
export class Foreground {
  #exit: Deno.CommandStatus | null = null;

  private constructor(
    readonly child: Deno.ChildProcess,
    readonly logPath: string,
  ) {
    child.status.then((status) => this.#exit = status);
  }

  /** Starts `argv` in `namespace`; the net kills what is left of it. */
  static start(
    net: Net,
    namespace: string,
    argv: string[],
    env: Record<string, string> = {},
  ): Foreground {
    const logPath = `${net.folder}/${crypto.randomUUID()}.log`;
    const [program, ...args] = inNamespace(
      ["sh", "-c", 'exec "$@" >"$0" 2>&1 </dev/null', logPath, ...argv],
      namespace,
    );
    const streams = { stdin: "null", stdout: "null", stderr: "null" } as const;
    const child = new Deno.Command(program, { args, env, ...streams }).spawn();
    const started = new Foreground(child, logPath);
    net.defer(async () => {
      started.kill("SIGKILL");
      await child.status;
    });
    return started;
  }

  /** `up FILE`, and waits until it says that the tunnel is up. */
  static async up(
    net: Net,
    namespace: string,
    file: string,
    env: Record<string, string> = {},
    flags: readonly string[] = [],
  ): Promise<Foreground> {
    const started = Foreground.start(net, namespace, command("up", ...flags, file), env);
    await started.says(/ is up, UDP port /);
    return started;
  }

  get log(): string {
    try {
      return Deno.readTextFileSync(this.logPath);
    } catch {
      return "";
    }
  }

  /** Waits until its output matches. */
  async says(pattern: RegExp, timeoutMs = 15_000): Promise<void> {
    try {
      await waitFor(`output matches ${pattern}`, timeoutMs, () => {
        return pattern.test(this.log) || this.#exit !== null;
      });
    } catch (error) {
      throw new Error(this.log, { cause: error });
    }
    assert(pattern.test(this.log), `ended without ${pattern}:\n${this.log}`);
  }

  kill(signal: Deno.Signal): void {
    if (this.#exit === null) this.child.kill(signal);
  }

  /** Waits for the end and returns the exit code. */
  async ended(timeoutMs = 10_000): Promise<number> {
    return (await waitFor(`the program ends\n${this.log}`, timeoutMs, () => this.#exit)).code;
  }
}

/** Writes a config file `NAME.conf` that only its owner can read. */
export function writeConfig(net: Net, name: string, text: string): string {
  const path = `${net.folder}/${name}.conf`;
  Deno.writeTextFileSync(path, text, { mode: 0o600 });
  return path;
}

/** Whether the control socket's file of an interface is there. */
export function hasSocket(name: string): boolean {
  try {
    return Deno.lstatSync(socketPath(name)).isSocket === true;
  } catch {
    return false;
  }
}

export function socketPath(name: string): string {
  return `/var/run/wireguard/${name}.sock`;
}
