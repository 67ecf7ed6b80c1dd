/** The program `load` (in `go/load`): datagrams at a rate, HTTP connections, requests, idle ones. */
import { run, waitFor } from "../../../tests/netns/command.ts";
import type { Net } from "../../../tests/netns/net.ts";
import { Background } from "../../../tests/netns/traffic.ts";
import { Foreground } from "../../../tests/cli/longhaul.ts";
import type { RateTrial } from "../loss_search.ts";
import { buildGo } from "./install.ts";

const PATIENCE_MS = 15_000;
const UDP_PORT = 9000;

let built: Promise<string> | undefined;

/** The path of the program; built once. */
export function loadProgram(): Promise<string> {
  return built ??= buildGo("load");
}

/** Where datagrams come from and go to. */
export interface DatagramEnds {
  readonly sender: string;
  readonly receiver: string;
  /** The receiver's. */
  readonly address: string;
}

/** Sends `bytes` of UDP payload so many times per second, for `seconds`. */
export async function tryRate(
  ends: DatagramEnds,
  bytes: number,
  perSecond: number,
  seconds: number,
): Promise<RateTrial> {
  const program = await loadProgram();
  const receiver = new Background(ends.receiver, [program, "udp-receive", `${UDP_PORT}`]);
  await waitFor("the receiver is bound", PATIENCE_MS, () => bound(receiver.pid));
  const words = [`${ends.address}:${UDP_PORT}`, bytes, Math.round(perSecond), seconds].map(String);
  const sender = await run([program, "udp-send", ...words], { namespace: ends.sender });
  const sent = JSON.parse(sender.stdout) as { sent: number; seconds: number };
  const text = await receiver.output();
  const { received } = JSON.parse(text.split("\n")[1]) as { received: number };
  return {
    sentPerSecond: sent.sent / sent.seconds,
    receivedPerSecond: received / sent.seconds,
    lostShare: 1 - received / sent.sent,
  };
}

function bound(pid: number): boolean {
  const wanted = `:${UDP_PORT.toString(16).toUpperCase().padStart(4, "0")} `;
  return Deno.readTextFileSync(`/proc/${pid}/net/udp`).includes(wanted);
}

/** What a client of connections or requests has found. */
export interface RequestOutcome {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
}

/** Serves HTTP on the loopback of `namespace` until the net ends. */
export async function serveHttp(net: Net, namespace: string, port: number): Promise<void> {
  await startReady(net, namespace, "serve", `${port}`);
}

/** Keeps `atATime` connections, or requests on kept connections, under way for `seconds`. */
export async function requestLoad(
  kind: "connections" | "requests",
  namespace: string,
  target: string,
  atATime: number,
  seconds: number,
): Promise<RequestOutcome> {
  const argv = [await loadProgram(), kind, target, `${atATime}`, `${seconds}`];
  const timeoutMs = seconds * 1000 + PATIENCE_MS;
  return JSON.parse((await run(argv, { namespace, timeoutMs })).stdout);
}

/** Holds `count` idle connections until it is killed. */
export function holdIdle(
  net: Net,
  namespace: string,
  target: string,
  count: number,
): Promise<Foreground> {
  return startReady(net, namespace, "idle", target, `${count}`);
}

async function startReady(net: Net, namespace: string, ...words: string[]): Promise<Foreground> {
  const started = Foreground.start(net, namespace, [await loadProgram(), ...words]);
  await started.says(/ready/, PATIENCE_MS);
  return started;
}
