/** Numbered packets over simulated nodes: who sent which, what arrived, in which order. */
import { SeededRandom } from "../../src/base/random.ts";
import type { CryptoStage } from "../../src/lane/encryptor.ts";
import type { Datagram } from "./memory_ports.ts";
import type { Fate, SimNode } from "./node_pair.ts";
import { udpPacket4 } from "./packets.ts";

const NUMBER_AT = 10 + 28;

/** The prefix of one address given as a number. */
export function hostPrefix(address: number): { address: Uint8Array; bits: number } {
  return {
    address: Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address),
    bits: 32,
  };
}

/** A flow of packets with rising numbers from one inner address to another. */
export class Flow {
  sent = 0;

  constructor(readonly from: SimNode, readonly source: number, readonly destination: number) {}

  /** Puts the next packets into the sender's TUN. */
  send(count = 1): void {
    for (let i = 0; i < count; i++) {
      const payload = new Uint8Array(8);
      new DataView(payload.buffer).setUint32(0, this.sent++);
      this.from.tun.fromHost.push(udpPacket4(this.source, this.destination, payload));
    }
  }

  /** The numbers of this flow's packets that came out of the TUN of `node`, in order. */
  arrivedAt(node: SimNode): number[] {
    const numbers: number[] = [];
    for (const item of node.tun.toHost) {
      const view = new DataView(item.buffer, item.byteOffset);
      const isOurs = item.length >= NUMBER_AT + 8 && view.getUint32(22) === this.source &&
        view.getUint32(26) === this.destination && view.getUint8(19) === 17;
      if (isOurs) numbers.push(view.getUint32(NUMBER_AT));
    }
    return numbers;
  }
}

/** A network that loses, repeats and reorders datagrams, by one seed. */
export function lossyFate(
  seed: number,
  options: { lost?: number; repeated?: number; delayed?: number },
): Fate {
  const random = new SeededRandom(seed);
  const held: Datagram[] = [];
  const happens = (share = 0) => random.below(1000) < share * 1000;
  return (datagram) => {
    if (happens(options.lost)) return [];
    if (happens(options.delayed)) {
      held.push(datagram);
      return [];
    }
    const late = held.length > 0 && random.below(4) === 0 ? held.splice(0) : [];
    return [datagram, ...(happens(options.repeated) ? [datagram] : []), ...late];
  };
}

/** A stage that completes each batch only when `delayMs` of virtual time have passed. */
export class DelayedStage implements CryptoStage {
  readonly #due: number[] = [];
  #submitted = 0;

  constructor(
    readonly inner: CryptoStage,
    readonly nowMs: () => number,
    readonly delayMs: number,
  ) {}

  submit(batch: number): void {
    this.inner.submit(batch);
    this.#due.push(this.nowMs() + this.delayMs);
    this.#submitted++;
  }

  takeCompleted(): number {
    if (!this.hasCompleted()) return -1;
    this.#due.shift();
    return this.inner.takeCompleted();
  }

  hasCompleted(): boolean {
    return this.#due.length > 0 && this.#due[0] <= this.nowMs();
  }

  forgetKeys(): void {
    this.inner.forgetKeys();
  }

  isStuck(): boolean {
    return this.inner.isStuck();
  }

  /** Batches so far. */
  get submitted(): number {
    return this.#submitted;
  }
}
