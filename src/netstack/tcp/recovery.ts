/**
 * What is done about loss: fast recovery at the pace of PRR (RFC 9937), recovery after a timeout
 * (RFC 5681, RFC 6298), and the way back when it was a mistake (RFC 3522 by timestamps, RFC 3708 by
 * DSACK).
 */
import type { CongestionControl } from "./congestion.ts";
import { ProportionalRateReduction } from "./prr.ts";
import { seqAfter, seqBefore } from "./sequence.ts";

/** Where a connection is. */
export const Phase = {
  /** Nothing is known to be lost. */
  Open: 0,
  /** Fast recovery. */
  Fast: 1,
  /** After a retransmission timeout. */
  Loss: 2,
} as const;
/** One of the values of `Phase`. */
export type Phase = (typeof Phase)[keyof typeof Phase];

/** State of one connection. */
export class Recovery {
  phase: Phase = Phase.Open;
  /** SND.NXT when the recovery began: it is over when this is acknowledged. */
  point = 0;
  #windowBytes = 0;
  readonly #prr = new ProportionalRateReduction();
  /** The first retransmission of this recovery: its place and its timestamp. */
  #firstSeq = 0;
  #firstStamp = 0;
  #hasRetransmitted = false;
  #lowestSeq = 0;
  /** The threshold when it was over. */
  #ssthreshBytes = 0;
  /** Retransmitted bytes of this recovery that no DSACK has called superfluous. */
  #doubtfulBytes = 0;

  constructor(readonly congestion: CongestionControl) {}

  /** How much may be in flight. */
  get cwndBytes(): number {
    return this.phase === Phase.Fast ? this.#windowBytes : this.congestion.cwndBytes;
  }

  /** Loss was found. `flightBytes`: SND.NXT - SND.UNA less what is sacked. */
  beginFast(sndNxt: number, flightBytes: number, pipeBytes: number, nowMs: number): void {
    this.#begin(Phase.Fast, sndNxt);
    this.congestion.onLoss(flightBytes, nowMs);
    this.#prr.begin(flightBytes);
    this.#windowBytes = pipeBytes;
  }

  /** The retransmission timer has expired. */
  beginLoss(sndNxt: number, flightBytes: number, nowMs: number, isRepeated: boolean): void {
    this.congestion.onTimeout(flightBytes, nowMs, isRepeated);
    // What the mistakes of an earlier recovery have cost is still part of this one.
    if (this.phase !== Phase.Loss) this.#begin(Phase.Loss, sndNxt);
    this.point = sndNxt;
  }

  /** Everything in flight is to be sent again, though nothing speaks for congestion (path MTU). */
  repeat(sndNxt: number): void {
    if (this.phase === Phase.Open) this.#begin(Phase.Loss, sndNxt);
  }

  /** An acknowledgment in fast recovery. */
  onFastAck(deliveredBytes: number, pipeBytes: number, mss: number, isSafe: boolean): void {
    this.#windowBytes = this.#prr.cwndAfterAck(
      deliveredBytes,
      pipeBytes,
      this.congestion.ssthreshBytes,
      mss,
      isSafe,
    );
  }

  /** Something was sent while it goes on. */
  onSent(seq: number, bytes: number, isRetransmission: boolean, stamp: number): void {
    if (this.phase === Phase.Open) return;
    this.#prr.onSent(bytes);
    if (!isRetransmission) return;
    this.#doubtfulBytes += bytes;
    if (!this.#hasRetransmitted || seqBefore(seq, this.#lowestSeq)) this.#lowestSeq = seq;
    if (this.#hasRetransmitted) return;
    this.#hasRetransmitted = true;
    this.#firstSeq = seq;
    this.#firstStamp = stamp;
  }

  /**
   * A DSACK for `start .. end - 1` came; true when all that was sent again had been superfluous. The
   * last one comes a round trip after the recovery: the original had arrived before it.
   */
  onDsack(start: number, end: number): boolean {
    if (!this.#hasRetransmitted || seqBefore(start, this.#lowestSeq)) return false;
    if (seqAfter(end, this.point)) return false;
    if (!this.#isReducedByThis) return false;
    this.#doubtfulBytes -= (end - start) | 0;
    return this.#doubtfulBytes <= 0;
  }

  /**
   * Whether an acknowledgment up to `una` that echoes `echo` proves that the first retransmission was
   * superfluous: it was caused by something sent earlier.
   */
  isSpuriousByEcho(una: number, echo: number): boolean {
    return this.phase !== Phase.Open && this.#hasRetransmitted &&
      seqAfter(una, this.#firstSeq) && seqBefore(echo, this.#firstStamp);
  }

  /**
   * The same for an acknowledgment that another has overtaken, which may have ended the recovery: of
   * a segment within it, whatever came behind.
   */
  isSpuriousByLateEcho(ack: number, echo: number): boolean {
    return this.#hasRetransmitted && this.#isReducedByThis && seqAfter(ack, this.#firstSeq) &&
      !seqAfter(ack, this.point) && seqBefore(echo, this.#firstStamp);
  }

  /** What was reduced for another reason since this recovery is not given back. */
  get #isReducedByThis(): boolean {
    return this.phase !== Phase.Open || this.congestion.ssthreshBytes === this.#ssthreshBytes;
  }

  /** It was a mistake: as before. */
  undo(nowMs: number): void {
    this.congestion.undo(nowMs);
    this.phase = Phase.Open;
    this.#hasRetransmitted = false;
  }

  /** All that was in flight when it began is acknowledged. */
  end(nowMs: number): void {
    this.congestion.onRecovered(nowMs);
    this.phase = Phase.Open;
    this.#ssthreshBytes = this.congestion.ssthreshBytes;
  }

  #begin(phase: Phase, sndNxt: number): void {
    this.phase = phase;
    this.point = sndNxt;
    this.#hasRetransmitted = false;
    this.#doubtfulBytes = 0;
  }
}
