/**
 * Proportional Rate Reduction (RFC 9937): how much may be sent during fast recovery, so that the
 * window comes down to ssthresh evenly, by what is delivered, and the connection never falls silent.
 */

/** One recovery after the other; all amounts in bytes. */
export class ProportionalRateReduction {
  #recoverFsBytes = 1;
  #deliveredBytes = 0;
  #outBytes = 0;

  /**
   * Recovery begins. `recoverFsBytes`: what was in flight before it (SND.NXT - SND.UNA, less what
   * had been SACKed earlier).
   */
  begin(recoverFsBytes: number): void {
    this.#recoverFsBytes = Math.max(1, recoverFsBytes);
    this.#deliveredBytes = 0;
    this.#outBytes = 0;
  }

  /** Data was sent, new or again. */
  onSent(bytes: number): void {
    this.#outBytes += bytes;
  }

  /**
   * What cwnd is after an acknowledgment during recovery that delivered `deliveredBytes` and left
   * `inFlightBytes`. `isSafe`: SND.UNA went forward and no further loss was found.
   */
  cwndAfterAck(
    deliveredBytes: number,
    inFlightBytes: number,
    ssthreshBytes: number,
    mssBytes: number,
    isSafe: boolean,
  ): number {
    this.#deliveredBytes += deliveredBytes;
    let sendBytes: number;
    if (inFlightBytes > ssthreshBytes) {
      const allowed = Math.ceil(this.#deliveredBytes * ssthreshBytes / this.#recoverFsBytes);
      sendBytes = allowed - this.#outBytes;
    } else {
      sendBytes = Math.max(this.#deliveredBytes - this.#outBytes, deliveredBytes);
      // The RFC adds a segment for each ACK, which is slow start where an ACK tells of a segment; one
      // that tells of 64 KB counts for as many.
      if (isSafe) sendBytes += Math.max(mssBytes, deliveredBytes);
      sendBytes = Math.min(ssthreshBytes - inFlightBytes, sendBytes);
    }
    // The first retransmission is never held back.
    if (this.#outBytes === 0) sendBytes = Math.max(sendBytes, mssBytes);
    return inFlightBytes + Math.max(sendBytes, 0);
  }
}
