/** One running WireGuard program with its interface, started, configured, watched and stopped. */
import { assert } from "@std/assert";
import { inNamespace, pause, run, waitFor } from "./command.ts";
import { deviceExists, type Net } from "./net.ts";
import { configText, type InterfaceStatus, parseDump, type PeerConfig, wg } from "./wg.ts";

/** The program under test. LONGHAUL_PROGRAM puts another one in its place, to prove the tests. */
export const LONGHAUL = Deno.env.get("LONGHAUL_PROGRAM") ??
  new URL("../../scripts/longhaul", import.meta.url).pathname;

// The launcher must not ask npm for a Deno: there is no way out of a test's namespace.
if (!Deno.env.has("LONGHAUL_DENO")) Deno.env.set("LONGHAUL_DENO", Deno.execPath());

/** Longhaul with its encryptor in the lane, beside it, or with several of them, or with two lanes. */
const VARIANTS = {
  "longhaul": { lanes: "1", encryptors: "0" },
  "longhaul with an encryptor": { lanes: "1", encryptors: "1" },
  "longhaul with three encryptors": { lanes: "1", encryptors: "3" },
  "longhaul with two lanes": { lanes: "2", encryptors: "0" },
} as const;

/** The programs that a test can start. */
export type Kind = keyof typeof VARIANTS | "wireguard-go" | "boringtun";

/** True when the program under test is Longhaul itself, not another one put in its place. */
export const IS_LONGHAUL = !/wireguard-go|boringtun/.test(LONGHAUL);

export interface StartOptions {
  /** Name of the interface; by default a fresh one. */
  readonly name?: string;
  readonly env?: Record<string, string>;
  /** Another command that starts a program of that kind; it knows the interface's name already. */
  readonly argv?: readonly string[];
  /** How often to look whether it is ready, for who measures how long that takes. */
  readonly lookEveryMs?: number;
}

/** Counters of one interface since it was made. */
export interface DeviceCounters {
  readonly receivedPackets: number;
  readonly sentPackets: number;
  /** Packets that the node did not read in time. */
  readonly sentDropped: number;
}

export class NodeProcess {
  readonly kind: Kind;
  readonly name: string;
  readonly pid: number;
  readonly #net: Net;
  readonly #child: Deno.ChildProcess;
  readonly #logPath: string;
  #exit: Deno.CommandStatus | null = null;

  private constructor(
    net: Net,
    kind: Kind,
    name: string,
    child: Deno.ChildProcess,
    logPath: string,
  ) {
    this.#net = net;
    this.kind = kind;
    this.name = name;
    this.pid = child.pid;
    this.#child = child;
    this.#logPath = logPath;
    child.status.then((status) => this.#exit = status);
  }

  /**
   * Starts a node in the foreground in `namespace`, and returns once its interface exists and its
   * control socket answers. The net stops it.
   */
  static async start(
    net: Net,
    kind: Kind,
    namespace: string,
    options: StartOptions = {},
  ): Promise<NodeProcess> {
    const name = options.name ?? net.interfaceName();
    const logPath = `${net.folder}/${name}.log`;
    const { argv, env } = programFor(kind, name);
    const child = new Deno.Command("nsenter", {
      args: inNamespace(
        ["sh", "-c", 'exec "$@" >>"$0" 2>&1 </dev/null', logPath, ...options.argv ?? argv],
        namespace,
      ).slice(1),
      env: { ...env, ...options.env },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const node = new NodeProcess(net, kind, name, child, logPath);
    net.defer(() => node.stop());
    await waitFor(`${kind} ${name} starts`, 20_000, async () => {
      if (node.exit !== null) return true;
      return deviceExists(name, node.pid) && await answers(name);
    }, options.lookEveryMs);
    assert(node.exit === null, `${kind} ended at its start:\n${node.log()}`);
    return node;
  }

  /** How the process ended, or null while it runs. */
  get exit(): Deno.CommandStatus | null {
    return this.#exit;
  }

  /** Everything that the program has printed so far; at most its last 8,000 characters. */
  log(): string {
    try {
      return Deno.readTextFileSync(this.#logPath).slice(-8000);
    } catch {
      return "";
    }
  }

  /** Sends a signal. */
  kill(signal: Deno.Signal): void {
    if (this.#exit === null) this.#child.kill(signal);
  }

  /** Waits until the process has ended by itself; throws after `timeoutMs`. */
  async ended(timeoutMs: number): Promise<Deno.CommandStatus> {
    return await waitFor(`${this.kind} ${this.name} ends`, timeoutMs, () => this.#exit);
  }

  /** Ends the process: SIGTERM, and SIGKILL when it is still there after three seconds. */
  async stop(): Promise<void> {
    this.kill("SIGCONT");
    this.kill("SIGTERM");
    const killer = setTimeout(() => this.kill("SIGKILL"), 3000);
    await this.#child.status;
    clearTimeout(killer);
  }

  /** `wg set IF args...` */
  async set(...args: string[]): Promise<void> {
    await wg(["set", this.name, ...args]);
  }

  /** `wg setconf`, `addconf` or `syncconf` with the given text. */
  async load(
    how: "setconf" | "addconf" | "syncconf",
    text: string,
    timeoutMs = 20_000,
  ): Promise<void> {
    const path = `${this.#net.folder}/${this.name}.conf`;
    await Deno.writeTextFile(path, text);
    await wg([how, this.name, path], { timeoutMs });
  }

  /** Loads a whole configuration by one `wg setconf`. */
  configure(
    device: { privateKey?: string; listenPort?: number; fwmark?: number },
    peers: readonly PeerConfig[],
  ): Promise<void> {
    return this.load("setconf", configText(device, peers));
  }

  /** What `wg show IF dump` says now. */
  async show(timeoutMs = 20_000): Promise<InterfaceStatus> {
    return parseDump((await wg(["show", this.name, "dump"], { timeoutMs })).stdout);
  }

  /** A file with `secret` in it, as `wg set` wants keys; an empty one clears the key. */
  async secretFile(secret: string): Promise<string> {
    const path = `${this.#net.folder}/secret-${crypto.randomUUID()}`;
    await Deno.writeTextFile(path, secret, { mode: 0o600 });
    return path;
  }

  /** Waits until the process has nothing to do: what it rehearses after its start is over. */
  async rests(): Promise<void> {
    await waitFor(`${this.name} rests`, 20_000, async () => {
      const before = this.cpuSeconds();
      await pause(250);
      return this.cpuSeconds() - before < 0.05;
    });
  }

  /** CPU seconds, user and system, of the process and its children so far. */
  cpuSeconds(): number {
    return processTree(this.pid).reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  }

  /** Resident memory of the process and its children, in bytes. */
  residentBytes(): number {
    return processTree(this.pid).reduce((sum, pid) => sum + memoryOf(pid, "VmRSS"), 0);
  }

  /**
   * What the kernel has counted on the interface, while it is in the node's own namespace: packets
   * that the node wrote are received, those that it read are sent.
   */
  deviceCounters(): DeviceCounters {
    const lines = Deno.readTextFileSync(`/proc/${this.pid}/net/dev`).split("\n");
    const line = lines.find((text) => text.trimStart().startsWith(this.name + ":")) ?? "";
    const fields = line.slice(line.indexOf(":") + 1).trim().split(/\s+/).map(Number);
    return { receivedPackets: fields[1], sentPackets: fields[9], sentDropped: fields[11] };
  }

  /** Stops the whole program for `ms`, as a stalled stage would. */
  async freeze(ms: number): Promise<void> {
    this.kill("SIGSTOP");
    await pause(ms);
    this.kill("SIGCONT");
  }
}

/** `pid` and all its descendants. */
export function processTree(pid: number): number[] {
  const found = [pid];
  for (let at = 0; at < found.length; at++) {
    try {
      for (const task of Deno.readDirSync(`/proc/${found[at]}/task`)) {
        const path = `/proc/${found[at]}/task/${task.name}/children`;
        found.push(...Deno.readTextFileSync(path).split(" ").filter(Boolean).map(Number));
      }
    } catch {
      // Ended meanwhile.
    }
  }
  return found;
}

/** True when the control socket of interface `name` accepts connections. */
export async function answers(name: string): Promise<boolean> {
  try {
    const path = `/var/run/wireguard/${name}.sock`;
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch {
    return false;
  }
}

/** How to start a program of that kind in the foreground. */
function programFor(
  kind: Kind,
  name: string,
): { argv: string[]; env: Record<string, string> } {
  switch (kind) {
    case "wireguard-go":
      return { argv: ["wireguard-go", "-f", name], env: { LOG_LEVEL: "verbose" } };
    case "boringtun":
      return {
        argv: ["boringtun-cli", "-f", "--disable-drop-privileges", name],
        env: { WG_LOG_LEVEL: "error" },
      };
    default:
      return {
        argv: [LONGHAUL, "-f", name],
        env: {
          LOG_LEVEL: "verbose",
          LONGHAUL_LANES: VARIANTS[kind].lanes,
          LONGHAUL_ENCRYPTORS: VARIANTS[kind].encryptors,
        },
      };
  }
}

/** The CPU seconds of one process, all its threads included. */
export function cpuSecondsOf(pid: number): number {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

/** A memory figure of /proc/PID/status in bytes: `VmRSS` is now, `VmHWM` the peak. */
export function memoryOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return Number(new RegExp(`^${field}:\\s*(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** True when a device of that name is in `namespace`. */
export async function deviceIn(namespace: string, name: string): Promise<boolean> {
  return (await run(["ip", "-n", namespace, "link", "show", name], { mayFail: true })).code === 0;
}
