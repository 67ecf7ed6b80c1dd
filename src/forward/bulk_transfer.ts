/**
 * Bulk transfers over a lane's stack, for `demo` and benches: one end sends for some time, the other
 * compares. What happens is told by numbers in the slab.
 */
import type { Slab } from "../memory/slab.ts";
import type { TcpAcceptor, TcpConnection, TcpHandler } from "../netstack/tcp/tcp_socket.ts";
import { TcpEnd } from "../netstack/tcp/tcp_socket.ts";
import type { ChecksumKernel } from "../wire/checksum_kernel.ts";
import { BulkPattern, PATTERN_BYTES } from "./bulk_pattern.ts";
import { BulkField, BulkReport, BulkState } from "./bulk_report.ts";
import { BulkSink } from "./bulk_sink.ts";
import { BulkSource } from "./bulk_source.ts";
import type { TurnTime } from "./tcp_forwarder.ts";

/** One end of a transfer. */
export interface BulkTask {
  /** Tasks are told apart by it: each is done once. */
  readonly id: number;
  /** Where to send to; null to receive. */
  readonly remote: Uint8Array | null;
  readonly port: number;
  /** How long to send. */
  readonly durationMs: number;
}

/** What is needed of the stack's TCP. */
export interface BulkTcp {
  connect(
    remote: Uint8Array,
    port: number,
    handler: TcpHandler,
    nowMs: number,
  ): TcpConnection | null;
  listen(address: Uint8Array | null, port: number, acceptor: TcpAcceptor): { close(): void };
}

/** What a lane's transfers are made of. */
export interface BulkOptions {
  readonly slab: Slab;
  readonly kernel: ChecksumKernel;
  /** Memory that lasts, as the pool gives it: its place, 0 for none. */
  readonly allocate: (bytes: number) => number;
  readonly tcp: BulkTcp;
  readonly time: TurnTime;
  readonly reportAt: number;
  /** CPU time of this thread. */
  readonly cpuSeconds: () => number;
}

/** The transfers of one lane, one at a time. */
export class BulkTransfers {
  readonly #options: BulkOptions;
  readonly #report: BulkReport;
  #pattern: BulkPattern | null = null;
  #taskId = 0;
  #source: BulkSource | null = null;
  #sink: BulkSink | null = null;
  #listener: { close(): void } | null = null;

  constructor(options: BulkOptions) {
    this.#options = options;
    this.#report = new BulkReport(options.slab, options.reportAt);
  }

  /** Begins a task, unless it is the one that was begun last. */
  begin(task: BulkTask): void {
    if (task.id === this.#taskId) return;
    this.#taskId = task.id;
    this.#listener?.close();
    this.#listener = this.#source = this.#sink = null;
    for (const field of Object.values(BulkField)) this.#report.set(field, 0);
    this.#report.set(BulkField.Task, task.id);
    const pattern = this.#needPattern();
    if (pattern === null || !this.#start(task, pattern)) {
      this.#report.set(BulkField.State, BulkState.Failed);
    }
  }

  /** Sends what there is room for, and tells how far it has come; whether there is more to send. */
  turn(): boolean {
    const source = this.#source, sink = this.#sink;
    if (source !== null) {
      source.turn();
      this.#tellSource(source);
      return source.hasMore;
    }
    if (sink !== null) this.#tellSink(sink);
    return false;
  }

  /** Whether another turn has something to do at once. */
  get hasWork(): boolean {
    const source = this.#source, sink = this.#sink;
    if (source !== null) return source.hasMore || source.end !== null;
    return sink !== null && (sink.isWhole || sink.end !== null);
  }

  #start(task: BulkTask, pattern: BulkPattern): boolean {
    const { tcp, time } = this.#options;
    if (task.remote === null) {
      this.#sink = new BulkSink(pattern);
      this.#listener = tcp.listen(null, task.port, this.#sink);
      return true;
    }
    const source = new BulkSource(time, pattern, task.durationMs);
    this.#source = source;
    return tcp.connect(task.remote, task.port, source, time.nowMs) !== null;
  }

  #needPattern(): BulkPattern | null {
    const { slab, kernel, allocate } = this.#options;
    if (this.#pattern !== null) return this.#pattern;
    const at = allocate(PATTERN_BYTES);
    return at === 0 ? null : this.#pattern = new BulkPattern(slab, kernel, at);
  }

  #tellSource(source: BulkSource): void {
    const report = this.#report;
    report.set(BulkField.Bytes, source.sentBytes);
    report.set(BulkField.StartedMs, source.startedMs);
    if (source.end === null) {
      if (source.startedMs > 0) this.#tellState(BulkState.Running);
    } else this.#tellEnd(source.end === TcpEnd.Closed);
  }

  #tellSink(sink: BulkSink): void {
    const report = this.#report;
    report.set(BulkField.Bytes, sink.receivedBytes);
    report.set(BulkField.WrongRuns, sink.wrongRuns);
    if (sink.isWhole) this.#tellEnd(true);
    else if (sink.end !== null) this.#tellEnd(false);
    else if (sink.receivedBytes > 0) this.#tellState(BulkState.Running);
  }

  #tellState(state: number): void {
    if (this.#report.get(BulkField.State) === state) return;
    const { time } = this.#options;
    if (this.#report.get(BulkField.StartedMs) === 0) {
      this.#report.set(BulkField.StartedMs, time.nowMs);
    }
    this.#report.set(BulkField.CpuStartSeconds, this.#options.cpuSeconds());
    this.#report.set(BulkField.State, state);
  }

  #tellEnd(isWhole: boolean): void {
    this.#report.set(BulkField.EndedMs, this.#options.time.nowMs);
    this.#report.set(BulkField.CpuEndSeconds, this.#options.cpuSeconds());
    this.#report.set(BulkField.State, isWhole ? BulkState.Done : BulkState.Failed);
    this.#listener?.close();
    this.#listener = this.#source = this.#sink = null;
  }
}
