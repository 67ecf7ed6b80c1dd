/**
 * Explicit Congestion Notification (RFC 3168): routers mark packets instead of dropping them, the
 * receiver echoes the mark until it is heard, and the sender slows down once for each window.
 */
import { TcpFlag } from "../../wire/tcp.ts";
import { seqAfter } from "./sequence.ts";

/** ECT(0) in the IP header's TOS: this packet's congestion can be told by a mark. */
export const ECT_0 = 2;
/** Both flags, which a SYN has that asks for ECN. */
export const ECN_SETUP = TcpFlag.Ece | TcpFlag.Cwr;

/** State of one connection. */
export class EcnState {
  /** Whether both ends have agreed. */
  isOn = false;
  /** A mark was received and the other end has not said that it slows down. */
  #mustEcho = false;
  /** We have slowed down and not yet said so. */
  #mustTell = false;
  /** SND.NXT when we last slowed down. */
  #point = 0;
  #hasPoint = false;

  /** A data segment has come in. */
  onData(isMarked: boolean, flags: number): void {
    if (!this.isOn) return;
    if ((flags & TcpFlag.Cwr) !== 0) this.#mustEcho = false;
    if (isMarked) this.#mustEcho = true;
  }

  /** The flag that every segment carries while a mark is to be echoed. */
  get echoFlag(): number {
    return this.#mustEcho ? TcpFlag.Ece : 0;
  }

  /** The flag that the next new data carries. */
  takeTellFlag(): number {
    if (!this.#mustTell) return 0;
    this.#mustTell = false;
    return TcpFlag.Cwr;
  }

  /** An acknowledgment up to `ack` came; whether to slow down: at most once for each window. */
  shouldSlowDown(flags: number, ack: number, sndNxt: number): boolean {
    if (!this.isOn || (flags & TcpFlag.Ece) === 0) return false;
    if (this.#hasPoint && !seqAfter(ack, this.#point)) return false;
    this.#hasPoint = true;
    this.#point = sndNxt;
    this.#mustTell = true;
    return true;
  }
}
