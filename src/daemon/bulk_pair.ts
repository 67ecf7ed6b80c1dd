/**
 * Two nodes without root in this process, with real WireGuard between them over loopback, and bulk
 * transfers from stack to stack through it: what `demo` shows and benches measure.
 */
import { systemClock } from "../../ffi/clock.ts";
import { systemRandom } from "../../ffi/random.ts";
import type { Log } from "../base/log.ts";
import { selectNoiseCrypto } from "../crypto/select.ts";
import type { BulkReport } from "../forward/bulk_report.ts";
import { BulkField, BulkState } from "../forward/bulk_report.ts";
import type { BulkTask } from "../forward/bulk_transfer.ts";
import type { StackConfig } from "../worker/stack_config.ts";
import { startLoopbackNode } from "./loopback_node.ts";
import type { NodeProcess } from "./node_process.ts";
import { SetupError } from "./setup_error.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
/** Inside the tunnel. */
const ADDRESSES = [Uint8Array.of(10, 77, 0, 1), Uint8Array.of(10, 77, 0, 2)] as const;
/** What a tunnel over an Ethernet with IPv6 outside has. */
const MTU = 1420;
const PORT = 5001;
const POLL_MS = 50;
/** How much longer than it should a transfer may take. */
const PATIENCE_MS = 10_000;

/** How the nodes are to work. */
export interface BulkPairOptions {
  /** Whether the stacks hand down segments of 64 KB; false: packets. */
  readonly gso: boolean;
  /** Whether datagrams leave many at a time (UDP_SEGMENT); false: each by itself. */
  readonly udpGso: boolean;
  /** 0: seal and open inside the lane; 1: in a worker of its own. */
  readonly encryptors: number;
  readonly log: Log;
}

/** Which node sends. */
export type Direction = "a to b" | "b to a";

/** What a transfer has come to. */
export interface BulkResult {
  readonly direction: Direction;
  readonly bytes: number;
  readonly seconds: number;
  /** Payload bits, not counting any header. */
  readonly gigabitsPerSecond: number;
  /** Bytes that each UDP send of the sender has carried, acknowledgments not counted. */
  readonly bytesPerSend: number;
  /** Seconds of CPU time of each lane's thread for 10^9 bytes. */
  readonly senderCpuSecondsPerGigabyte: number;
  readonly receiverCpuSecondsPerGigabyte: number;
  /** Whether every byte has arrived, in its place, and nothing else. */
  readonly isExact: boolean;
}

/** How far a transfer has come. */
export interface BulkProgress {
  readonly bytes: number;
  readonly elapsedMs: number;
}

/** The two nodes. */
export class BulkPair {
  readonly #nodes: readonly [NodeProcess, NodeProcess];
  readonly #gso: boolean;
  #failure: string | null;
  #taskId = 0;

  private constructor(nodes: [NodeProcess, NodeProcess], gso: boolean) {
    this.#nodes = nodes;
    this.#gso = gso;
    this.#failure = null;
  }

  /** Starts both nodes and makes them each other's peers. */
  static async start(options: BulkPairOptions): Promise<BulkPair> {
    let pair: BulkPair | null = null;
    const onEnd = (reason: string) => {
      if (pair !== null) pair.#failure ??= reason;
    };
    const start = (number: number) =>
      startLoopbackNode({
        ...options,
        name: `node ${number}`,
        stack: stackConfig(number, options.gso),
        onEnd,
      });
    const first = await start(0);
    const second = await start(1);
    pair = new BulkPair([first, second], options.gso);
    introduce(pair.#nodes);
    return pair;
  }

  /** Sends for `durationMs`. Rejects with `SetupError` when the transfer breaks off. */
  async transfer(
    direction: Direction,
    durationMs: number,
    onProgress: (progress: BulkProgress) => void = () => {},
  ): Promise<BulkResult> {
    const sender = direction === "a to b" ? 0 : 1;
    const receiver = 1 - sender;
    const id = ++this.#taskId;
    const startedMs = systemClock.nowMs();
    const deadlineMs = startedMs + durationMs + PATIENCE_MS;
    const received = this.#begin(receiver, { id, remote: null, port: PORT, durationMs });
    await this.#until(deadlineMs, () => received.get(BulkField.Task) === id);
    const sendsBefore = this.#sends(sender);
    const sent = this.#begin(sender, { id, remote: ADDRESSES[receiver], port: PORT, durationMs });
    await this.#until(deadlineMs, () => {
      const bytes = received.get(BulkField.Bytes);
      const beganMs = sent.get(BulkField.StartedMs);
      const elapsedMs = beganMs === 0 ? 0 : systemClock.nowMs() - beganMs;
      onProgress({ bytes, elapsedMs });
      return isOver(received, id) && isOver(sent, id);
    });
    return result(direction, sent, received, difference(this.#sends(sender), sendsBefore));
  }

  /** Stops both nodes. */
  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }

  /** What is known of a transfer that does not go on. */
  #describeStall(): string {
    const nodes = this.#nodes.map((node) => {
      const { drops, counters } = node.report();
      const report = node.stack!.bulkReport;
      const dropped = drops.map(({ reason, packets }) => `${packets} ${reason}`).join(", ");
      return `${report.get(BulkField.Bytes)} bytes in state ${report.get(BulkField.State)}, ` +
        `${counters.get("UdpSends") ?? 0} sends, ${counters.get("UdpReceives") ?? 0} receives, ` +
        `dropped: ${dropped || "nothing"}`;
    });
    return `The transfer has got stuck; a: ${nodes[0]}; b: ${nodes[1]}`;
  }

  #begin(node: number, bulk: BulkTask): BulkReport {
    const stack = this.#nodes[node].stack!;
    stack.configure({ ...stackConfig(node, this.#gso), bulk });
    return stack.bulkReport;
  }

  #sends(node: number): { sends: number; bytes: number } {
    const { counters } = this.#nodes[node].report();
    return { sends: counters.get("UdpSends") ?? 0, bytes: counters.get("UdpSendBytes") ?? 0 };
  }

  /** Looks again and again, until it is so. */
  async #until(deadlineMs: number, isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.#failure !== null) throw new SetupError(this.#failure);
      if (systemClock.nowMs() > deadlineMs) throw new SetupError(this.#describeStall());
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

function stackConfig(node: number, gso: boolean): StackConfig {
  return { addresses: [{ address: ADDRESSES[node], bits: 24 }], mtu: MTU, gso, services: [] };
}

/** Gives each node a key, and the other's. */
function introduce(nodes: readonly NodeProcess[]): void {
  const { crypto } = selectNoiseCrypto();
  const keys = nodes.map(() => systemRandom.fill(new Uint8Array(32)));
  nodes.forEach((node, i) => node.apply({ privateKey: keys[i], peers: [] }));
  const ports = nodes.map((node) => node.openSockets());
  nodes.forEach((node, i) => {
    const other = 1 - i;
    node.apply({
      peers: [{
        publicKey: crypto.x25519PublicKey(keys[other]),
        endpoint: { address: LOOPBACK, port: ports[other] },
        allowedIps: [{ address: ADDRESSES[other], bits: 32, remove: false }],
      }],
    });
    node.bringUp();
  });
  for (const key of keys) key.fill(0);
}

function isOver(report: BulkReport, id: number): boolean {
  const state = report.get(BulkField.State);
  return report.get(BulkField.Task) === id &&
    (state === BulkState.Done || state === BulkState.Failed);
}

function difference(
  after: { sends: number; bytes: number },
  before: { sends: number; bytes: number },
): { sends: number; bytes: number } {
  return { sends: after.sends - before.sends, bytes: after.bytes - before.bytes };
}

function result(
  direction: Direction,
  sent: BulkReport,
  received: BulkReport,
  sends: { sends: number; bytes: number },
): BulkResult {
  const bytes = received.get(BulkField.Bytes);
  const seconds = (received.get(BulkField.EndedMs) - sent.get(BulkField.StartedMs)) / 1000;
  const cpuPerGigabyte = (report: BulkReport) =>
    (report.get(BulkField.CpuEndSeconds) - report.get(BulkField.CpuStartSeconds)) / (bytes / 1e9);
  const isDone = [sent, received].every((report) => report.get(BulkField.State) === BulkState.Done);
  return {
    direction,
    bytes,
    seconds,
    gigabitsPerSecond: bytes * 8 / 1e9 / seconds,
    bytesPerSend: sends.bytes / Math.max(1, sends.sends),
    senderCpuSecondsPerGigabyte: cpuPerGigabyte(sent),
    receiverCpuSecondsPerGigabyte: cpuPerGigabyte(received),
    isExact: isDone && bytes === sent.get(BulkField.Bytes) &&
      received.get(BulkField.WrongRuns) === 0,
  };
}
