/** The scoreboard of `src/netstack/tcp/scoreboard.ts`, byte by byte. */

/** What a byte that was sent is. */
export type ByteState = "flight" | "lost" | "sacked";

/** Offsets count from the first byte that was ever sent. */
export class ScoreboardReference {
  readonly state: ByteState[] = [];
  una = 0;

  /** Sends bytes for the first time. */
  add(bytes: number): void {
    for (let i = 0; i < bytes; i++) this.state.push("flight");
  }

  /** Returns how many bytes were newly delivered. */
  acknowledge(una: number): number {
    let delivered = 0;
    for (; this.una < una; this.una++) if (this.state[this.una] !== "sacked") delivered++;
    return delivered;
  }

  /** The same, for the bytes `from .. to - 1`. */
  sack(from: number, to: number): number {
    let delivered = 0;
    for (let i = Math.max(from, this.una); i < to; i++) {
      if (this.state[i] !== "sacked") delivered++;
      this.state[i] = "sacked";
    }
    return delivered;
  }

  /** Sets what was not sacked. */
  set(from: number, to: number, state: "flight" | "lost"): void {
    for (let i = Math.max(from, this.una); i < to; i++) {
      if (this.state[i] !== "sacked") this.state[i] = state;
    }
  }

  /** Bytes above `una` in a state. */
  count(state: ByteState): number {
    let count = 0;
    for (let i = this.una; i < this.state.length; i++) if (this.state[i] === state) count++;
    return count;
  }
}
