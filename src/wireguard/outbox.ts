/** What a device wants done: datagrams to send, and commands for the lanes. */
import type { EndpointBytes } from "../tables/endpoint.ts";

/** A handshake datagram to send; the sender marks it with the DSCP of handshakes. */
export interface Transmit {
  readonly bytes: Uint8Array;
  readonly to: EndpointBytes;
  /** The slot of the peer it is for, -1 for a cookie reply. */
  readonly peer: number;
}

/** `PeerCommand` bits for the lane of a peer. */
export interface LaneOrder {
  readonly peer: number;
  readonly bits: number;
}

/** A first-in, first-out queue over an array. */
class Queue<T> {
  #items: T[] = [];
  #head = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
      return undefined;
    }
    return this.#items[this.#head++];
  }
}

/** Collects datagrams in order, and commands with all bits of a peer in one. */
export class Outbox {
  readonly #transmits = new Queue<Transmit>();
  readonly #commandBits: Int32Array;
  readonly #commandPeers = new Queue<number>();

  constructor(peerCapacity: number) {
    this.#commandBits = new Int32Array(peerCapacity);
  }

  /** Adds a datagram. */
  transmit(transmit: Transmit): void {
    this.#transmits.push(transmit);
  }

  /** Adds bits to a peer's command. */
  command(peer: number, bits: number): void {
    if (this.#commandBits[peer] === 0) this.#commandPeers.push(peer);
    this.#commandBits[peer] |= bits;
  }

  /** Replaces what is waiting for the lane of a peer. */
  replaceCommand(peer: number, bits: number): void {
    this.command(peer, bits);
    this.#commandBits[peer] = bits;
  }

  /** Whether something waits for the lane of a peer. */
  hasCommand(peer: number): boolean {
    return this.#commandBits[peer] !== 0;
  }

  /** The next datagram, null when there is none. */
  pollTransmit(): Transmit | null {
    return this.#transmits.shift() ?? null;
  }

  /** The next command, null when there is none. */
  pollCommand(): LaneOrder | null {
    const peer = this.#commandPeers.shift();
    if (peer === undefined) return null;
    const bits = this.#commandBits[peer];
    this.#commandBits[peer] = 0;
    return { peer, bits };
  }
}
