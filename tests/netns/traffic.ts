/** Test traffic: ping, iperf3 and plain sockets of the kernel, each bounded in time. */
import { assert } from "@std/assert";
import { inNamespace, run, waitFor } from "./command.ts";

export interface PingOptions {
  readonly count?: number;
  /** Bytes behind the ICMP header: the inner packet is 28 (IPv4) or 48 (IPv6) bytes longer. */
  readonly size?: number;
  readonly intervalMs?: number;
  /** How long to wait for the last answer. */
  readonly waitMs?: number;
  /** Forbid fragmentation of the inner packet. */
  readonly whole?: boolean;
  readonly source?: string;
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Round trip times in milliseconds, in order of arrival. */
  readonly rttMs: number[];
}

/** Pings `address` from `namespace`. Never throws for lost packets. */
export function ping(
  namespace: string,
  address: string,
  options: PingOptions = {},
): Promise<PingResult> {
  return watched(sendPings(namespace, address, options));
}

async function sendPings(
  namespace: string,
  address: string,
  options: PingOptions,
): Promise<PingResult> {
  const count = options.count ?? 3;
  const intervalMs = options.intervalMs ?? 20;
  const waitMs = options.waitMs ?? 2000;
  const argv = ["ping", "-n", "-c", `${count}`, "-i", `${intervalMs / 1000}`];
  // Once an answer has come, ping waits only two round trips for the rest unless it has a deadline;
  // with one it goes on sending until it has `count` answers, so sequence numbers are looked at.
  const deadlineSeconds = Math.ceil((2 * count * intervalMs + waitMs) / 1000);
  argv.push("-w", `${deadlineSeconds}`, "-s", `${options.size ?? 56}`);
  if (options.whole) argv.push("-M", "do");
  if (options.source !== undefined) argv.push("-I", options.source);
  const { stdout } = await run([...argv, address], {
    namespace,
    mayFail: true,
    timeoutMs: deadlineSeconds * 1000 + 10_000,
  });
  // Packets too small for a time stamp are answered without a time.
  const answers = [...stdout.matchAll(/bytes from .*icmp_seq=(\d+)(?:.*time=([\d.]+) ms)?/g)]
    .filter((match) => Number(match[1]) <= count);
  return {
    sent: count,
    received: new Set(answers.map((match) => match[1])).size,
    rttMs: answers.filter((match) => match[2] !== undefined).map((match) => Number(match[2])),
  };
}

/** Pings until the first answer comes, for up to `timeoutMs`. */
export async function pingUntilAnswered(
  namespace: string,
  address: string,
  timeoutMs = 8000,
): Promise<void> {
  await waitFor(
    `${address} answers a ping from ${namespace}`,
    timeoutMs,
    async () => (await ping(namespace, address, { count: 1, waitMs: 500 })).received > 0,
  );
}

/** Asserts that every ping is answered. */
export async function assertPing(
  namespace: string,
  address: string,
  options: PingOptions = {},
): Promise<void> {
  const { sent, received } = await ping(namespace, address, options);
  assert(sent > 0 && received === sent, `ping ${address}: ${received} of ${sent} answered`);
}

/** Asserts that no ping is answered within `waitMs`. */
export async function assertNoPing(
  namespace: string,
  address: string,
  waitMs = 600,
): Promise<void> {
  const { received } = await ping(namespace, address, { count: 2, waitMs });
  assert(received === 0, `ping ${address}: ${received} answered, none expected`);
}

export interface IperfOptions {
  /** Namespaces of the two ends, and the server's address. */
  readonly client: string;
  readonly server: string;
  readonly address: string;
  /** How much is sent. Default 64 MB for TCP, 2 MB for UDP. */
  readonly bytes?: number;
  /** Send for so long instead. */
  readonly seconds?: number;
  /** Where the server listens; by default at a port that no other transfer has. */
  readonly port?: number;
  /** More arguments of the client, such as `-R`, `-u`, `-b 200M`, `-M 517`, `-P 8`, `--bidir`. */
  readonly args?: string[];
}

export interface IperfResult {
  /** What the receiving end got. */
  readonly bitsPerSecond: number;
  readonly bytes: number;
  readonly retransmits: number;
  /** UDP only. */
  readonly lostPercent: number;
  /** UDP only. */
  readonly packets: number;
  /** UDP only: of the first stream. */
  readonly outOfOrder: number;
}

let nextPort = 5201;

/** Marks a promise so that its failure is no error of its own before somebody awaits it. */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Runs one iperf3 transfer. TCP is pinned to cubic, so that runs on other hosts compare. */
export function iperf3(options: IperfOptions): Promise<IperfResult> {
  return watched(transfer(options));
}

async function transfer(options: IperfOptions): Promise<IperfResult> {
  const port = options.port ?? nextPort++;
  const serverArgv = inNamespace(["iperf3", "-s", "-1", "-p", `${port}`], options.server);
  const server = new Deno.Command(serverArgv[0], {
    args: serverArgv.slice(1),
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await waitFor("iperf3 listens", 5000, () => listens(server.pid, port));
    const args = options.args ?? [];
    const udp = args.includes("-u");
    const protocol = udp ? [] : ["-C", "cubic"];
    const length = options.seconds !== undefined
      ? ["-t", `${options.seconds}`]
      : ["-n", `${options.bytes ?? (udp ? 2e6 : 64e6)}`];
    const argv = ["iperf3", "-c", options.address, "-p", `${port}`, ...length, "-J"];
    const { stdout } = await run([...argv, "--connect-timeout", "3000", ...protocol, ...args], {
      namespace: options.client,
      mayFail: true,
      timeoutMs: ((options.seconds ?? 5) + 15) * 1000,
    });
    return readReport(stdout);
  } finally {
    try {
      server.kill("SIGKILL");
    } catch {
      // It has served its one client.
    }
    await server.status;
  }
}

/** Asserts that a transfer moved something, and at `leastMbit` Mbit/s at least (0.1 by default). */
export function assertIperf(options: IperfOptions, leastMbit = 0.1): Promise<IperfResult> {
  return watched(
    iperf3(options).then((result) => {
      const what = (options.args ?? []).join(" ");
      const mbit = result.bitsPerSecond / 1e6;
      assert(mbit > leastMbit, `iperf3 ${what}: ${mbit} Mbit/s`);
      return result;
    }),
  );
}

/** True when some process in the namespace of `pid` listens on that TCP port. */
export function listens(pid: number, port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const file of ["tcp", "tcp6"]) {
    try {
      for (const line of Deno.readTextFileSync(`/proc/${pid}/net/${file}`).split("\n").slice(1)) {
        const fields = line.trim().split(/\s+/);
        if (fields[1]?.endsWith(wanted) && fields[3] === "0A") return true;
      }
    } catch {
      // No IPv6 there, or the process is gone.
    }
  }
  return false;
}

/** A program in the background of a test, with its output kept; ended by `stop`. */
export class Background {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<Deno.CommandOutput>;

  constructor(namespace: string, argv: string[]) {
    const command = inNamespace(argv, namespace);
    this.#child = new Deno.Command(command[0], {
      args: command.slice(1),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#output = this.#child.output();
  }

  /** The process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Waits for the end and returns standard output. */
  async output(): Promise<string> {
    return new TextDecoder().decode((await this.#output).stdout);
  }

  /** Ends the program as Ctrl-C would and returns standard output. */
  stop(): Promise<string> {
    try {
      this.#child.kill("SIGINT");
    } catch {
      // It has ended by itself.
    }
    return this.output();
  }
}

interface IperfSum {
  bits_per_second?: number;
  bytes?: number;
  retransmits?: number;
  lost_percent?: number;
  packets?: number;
  out_of_order?: number;
}

function readReport(text: string): IperfResult {
  if (text === "") throw new Error("iperf3 ended without a report");
  const report = JSON.parse(text) as {
    error?: string;
    end?: Record<string, IperfSum | undefined> & { streams?: { udp?: IperfSum }[] };
  };
  if (report.error !== undefined) throw new Error(`iperf3: ${report.error}`);
  const end = report.end ?? {};
  const received = end.sum_received ?? end.sum ?? {};
  const backward = end.sum_received_bidir_reverse ?? {};
  return {
    bitsPerSecond: (received.bits_per_second ?? 0) + (backward.bits_per_second ?? 0),
    bytes: (received.bytes ?? 0) + (backward.bytes ?? 0),
    retransmits: end.sum_sent?.retransmits ?? 0,
    lostPercent: end.sum?.lost_percent ?? 0,
    packets: end.sum?.packets ?? 0,
    outOfOrder: end.streams?.[0]?.udp?.out_of_order ?? 0,
  };
}
