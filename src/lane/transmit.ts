/**
 * Sealed batches to the UDP socket: one send per batch, and what to do when the kernel refuses it.
 *
 * - EAGAIN, ENOBUFS: the batch waits, in order, and the lane stops reading the TUN meanwhile.
 * - EIO: the device cannot segment; runs are sent one datagram at a time from now on.
 * - EMSGSIZE, EINVAL on a run: this path cannot carry datagrams of that size as a run; they go one by
 *   one (the kernel then fragments), for this peer and size until `RETRY_COALESCING_MS` have passed.
 * - ENETUNREACH, EINVAL, EADDRNOTAVAIL, ENODEV with a sticky source: the source address is gone;
 *   it is forgotten and the datagram sent again.
 * - anything else: the datagrams are dropped and counted; nothing ends the loop.
 */
import { DropReason } from "../base/drop_reason.ts";
import { Errno } from "../base/errno.ts";
import {
  ENDPOINT_BYTES,
  ENDPOINT_SOCKADDR_LENGTH,
  ENDPOINT_SOURCE,
  endpointsEqual,
} from "../tables/endpoint.ts";
import { type BatchTable, BatchWord } from "./batch.ts";
import { LaneCounter } from "./counters.ts";
import type { LaneContext } from "./lane_context.ts";
import type { UdpPort } from "./ports.ts";
import type { SendBatches } from "./send_batches.ts";

const RETRY_COALESCING_MS = 600_000;
const NO_BUFFER_RETRIES_MAX = 100;

const Verdict = { Again: 0, Wait: 1, GiveUp: 2 } as const;
type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** The way of one lane's sealed batches into the socket. */
export class Transmitter {
  readonly #context: LaneContext;
  readonly #batches: BatchTable;
  readonly #waiting: Int32Array;
  #waitingCount = 0;
  readonly #endpointAt: number;
  /** The version of the record that stands there. */
  #endpointVersion = 0;
  #runsWork: boolean;
  /** Per peer: the smallest message length that cannot be sent as a run, 0 for none; and until when. */
  readonly #singleFromBytes: Int32Array;
  readonly #singleUntilMs: Float64Array;

  /** `endpointAt` is a scratch place for one endpoint record; `owner` gets batches back. */
  constructor(
    context: LaneContext,
    public port: UdpPort,
    endpointAt: number,
    canSendRuns: boolean,
    readonly owner: SendBatches,
    readonly onRunsOff: () => void,
  ) {
    this.#context = context;
    this.#batches = context.channels.batches;
    this.#waiting = new Int32Array(this.#batches.plan.sealCount);
    this.#endpointAt = endpointAt;
    this.#runsWork = canSendRuns;
    this.#singleFromBytes = new Int32Array(context.peers.capacity);
    this.#singleUntilMs = new Float64Array(context.peers.capacity);
  }

  /** Whether sealed batches wait for the socket. */
  get isBlocked(): boolean {
    return this.#waitingCount > 0;
  }

  /** Sends a sealed batch, behind those that wait. */
  send(batch: number): void {
    if (this.#waitingCount === 0 && this.#transmit(batch)) return;
    if (this.#waitingCount === 0) this.#context.holdEpoch();
    this.#waiting[this.#waitingCount++] = batch;
  }

  /** Tries the batches that wait; call when the socket may take datagrams again. */
  retry(): void {
    let done = 0;
    while (done < this.#waitingCount && this.#transmit(this.#waiting[done])) done++;
    this.#waitingCount -= done;
    this.#waiting.copyWithin(0, done, done + this.#waitingCount);
    if (this.#waitingCount === 0) this.#context.releaseEpoch();
  }

  /** Sends what is left of a batch and releases it; false when it has to wait. */
  #transmit(batch: number): boolean {
    const batches = this.#batches;
    const peer = batches.word(batch, BatchWord.Peer);
    const count = batches.word(batch, BatchWord.Count);
    this.#endpointVersion = this.#context.peers.readEndpoint(peer, this.#endpointAt);
    for (let sent = batches.word(batch, BatchWord.Sent); sent < count;) {
      const run = this.#runLength(batch, peer, count - sent);
      const result = this.#sendRun(batch, sent, run, count);
      if (result >= 0) {
        sent += run;
      } else {
        const verdict = this.#judge(-result, batch, peer, run);
        if (verdict === Verdict.Wait) return false;
        if (verdict === Verdict.Again) continue;
        this.#context.channels.counters.drop(DropReason.SendFailed, run);
        sent += run;
      }
      batches.setWord(batch, BatchWord.Sent, sent);
    }
    this.#learn(batch, peer);
    this.owner.release(batch);
    return true;
  }

  /** How many of the messages left go into the next send. */
  #runLength(batch: number, peer: number, left: number): number {
    if (left === 1 || !this.#runsWork) return 1;
    const batches = this.#batches;
    if (batches.word(batch, BatchWord.SingleCause) !== 0) return 1;
    const limit = this.#singleFromBytes[peer];
    if (limit === 0 || batches.word(batch, BatchWord.Stride) < limit) return left;
    if (this.#context.nowMs < this.#singleUntilMs[peer]) return 1;
    this.#singleFromBytes[peer] = 0;
    return left;
  }

  #sendRun(batch: number, first: number, run: number, count: number): number {
    const batches = this.#batches;
    const stride = batches.word(batch, BatchWord.Stride);
    const lastBytes = batches.word(batch, BatchWord.LastBytes);
    const endsBatch = first + run === count;
    const bytes = (run - 1) * stride + (endsBatch ? lastBytes : stride);
    const result = this.port.send(
      batches.messagesAt(batch) + first * stride,
      bytes,
      run === 1 ? bytes : stride,
      this.#endpointAt,
      batches.word(batch, BatchWord.Tos),
    );
    if (result < 0) return result;
    const counters = this.#context.channels.counters;
    counters.add(LaneCounter.UdpSends, 1);
    counters.add(LaneCounter.UdpSendMessages, run);
    counters.add(LaneCounter.UdpSendBytes, bytes);
    return result;
  }

  #judge(errno: number, batch: number, peer: number, run: number): Verdict {
    switch (errno) {
      case Errno.EINTR:
        return Verdict.Again;
      case Errno.EAGAIN:
        return Verdict.Wait;
      case Errno.ENOBUFS:
      case Errno.ENOMEM:
        return this.#mayRetry(batch) ? Verdict.Wait : Verdict.GiveUp;
    }
    if (run > 1 && isRunRefused(errno)) {
      this.#batches.setWord(batch, BatchWord.SingleCause, errno);
      if (errno === Errno.EIO) this.#switchRunsOff();
      this.#context.channels.counters.add(LaneCounter.SegmentationFallbacks, 1);
      return Verdict.Again;
    }
    if (isSourceRefused(errno) && this.#forgetSource(peer)) {
      this.#batches.setWord(batch, BatchWord.SingleCause, 0);
      return Verdict.Again;
    }
    return Verdict.GiveUp;
  }

  #switchRunsOff(): void {
    if (!this.#runsWork) return;
    this.#runsWork = false;
    this.onRunsOff();
  }

  #mayRetry(batch: number): boolean {
    const retries = this.#batches.word(batch, BatchWord.Retries) + 1;
    this.#batches.setWord(batch, BatchWord.Retries, retries);
    this.#context.channels.counters.add(LaneCounter.SendRetries, 1);
    return retries <= NO_BUFFER_RETRIES_MAX;
  }

  /** Clears the sticky source in the scratch record and at the peer; false when there was none. */
  #forgetSource(peer: number): boolean {
    const { slab, peers, channels } = this.#context;
    const from = this.#endpointAt + ENDPOINT_SOURCE, to = this.#endpointAt + ENDPOINT_BYTES;
    let hadSource = false;
    for (let at = from; at < to; at++) hadSource ||= slab.u8[at] !== 0;
    if (!hadSource) return false;
    slab.u8.fill(0, from, to);
    peers.tryWriteEndpoint(peer, this.#endpointAt, this.#endpointVersion);
    channels.counters.add(LaneCounter.SourceForgotten, 1);
    return true;
  }

  /** After a batch went out one by one: remembers for how large messages that was needed. */
  #learn(batch: number, peer: number): void {
    if (this.#batches.word(batch, BatchWord.SingleCause) === 0 || !this.#runsWork) return;
    this.#singleFromBytes[peer] = this.#batches.word(batch, BatchWord.Stride);
    this.#singleUntilMs[peer] = this.#context.nowMs + RETRY_COALESCING_MS;
  }

  /** Whether the peer has an endpoint to send to. */
  hasEndpoint(peer: number): boolean {
    const { slab, peers } = this.#context;
    return slab.u32[(peers.endpointAt(peer) + ENDPOINT_SOCKADDR_LENGTH) >> 2] !== 0;
  }

  /** Makes the record at `from` the endpoint of `peer` if it differs from what is known. */
  roamTo(peer: number, from: number): void {
    const { slab, peers } = this.#context;
    if (endpointsEqual(slab, peers.endpointAt(peer), from)) return;
    if (peers.tryWriteEndpoint(peer, from)) this.#singleFromBytes[peer] = 0;
  }
}

function isRunRefused(errno: number): boolean {
  return errno === Errno.EIO || errno === Errno.EMSGSIZE || errno === Errno.EINVAL ||
    errno === Errno.EOPNOTSUPP;
}

function isSourceRefused(errno: number): boolean {
  return errno === Errno.ENETUNREACH || errno === Errno.EINVAL ||
    errno === Errno.EADDRNOTAVAIL || errno === Errno.ENODEV || errno === Errno.EHOSTUNREACH;
}
