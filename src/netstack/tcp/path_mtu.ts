/**
 * The path's MTU as ICMP tells it (RFC 1191, RFC 8201), for one connection. Whether such a message is
 * believed is asked before.
 */
import type { Sender } from "./sender.ts";

/** RFC 1191 section 6.3: "at least 10 minutes" after an ICMP error the larger MTU is tried again. */
const LIFE_MS = 600_000;

/** What the path carries. Times in ms. */
export class PathMtu {
  /** When the larger MTU is tried again, or Infinity. */
  atMs = Infinity;
  /** The MTU before ICMP made it smaller; 0 while it has not. */
  #fullBytes = 0;

  constructor(readonly sender: Sender) {}

  /** A packet was too big for a link that carries `mtu`; true when segments become smaller by that. */
  onTooBig(mtu: number, nowMs: number): boolean {
    const { path } = this.sender.writer;
    if (mtu < path.mtu) {
      if (this.#fullBytes === 0) this.#fullBytes = path.mtu;
      path.mtu = mtu;
      this.atMs = nowMs + LIFE_MS;
    }
    return this.#updateMss();
  }

  /** The deadline has come: the path may have become wider; it says so if it has not. */
  onTimer(): void {
    this.atMs = Infinity;
    this.sender.writer.path.mtu = this.#fullBytes;
    this.#updateMss();
  }

  #updateMss(): boolean {
    const { writer, congestion } = this.sender;
    const isOther = writer.updateMss();
    if (isOther) congestion.setMss(writer.mss);
    return isOther;
  }
}
