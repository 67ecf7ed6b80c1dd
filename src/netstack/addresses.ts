/**
 * The addresses of the stack, and which addresses of a packet can be true at all (RFC 1122 section
 * 3.2.1.3, RFC 4291 section 2.5): questions that are asked of every packet, so they take places.
 */
import type { AddressPrefix } from "../tables/allowed_ips_node.ts";
import { sameBytes } from "./same_bytes.ts";

/** The list may be exchanged at any time; flows that exist keep their addresses. */
export class AddressList {
  #all: readonly AddressPrefix[] = [];
  /** IPv4 addresses and the broadcast addresses of their networks, as signed words. */
  #v4: number[] = [];
  #broadcast: number[] = [];
  /** IPv6 addresses, four signed words each. */
  #v6: number[] = [];

  constructor(addresses: readonly AddressPrefix[] = []) {
    this.set(addresses);
  }

  /** Exchanges the whole list. */
  set(addresses: readonly AddressPrefix[]): void {
    this.#all = addresses.map(({ address, bits }) => ({ address: address.slice(), bits }));
    this.#v4 = [];
    this.#broadcast = [];
    this.#v6 = [];
    for (const { address, bits } of this.#all) {
      const view = new DataView(address.buffer);
      if (address.length === 16) {
        for (let i = 0; i < 16; i += 4) this.#v6.push(view.getInt32(i));
        continue;
      }
      const word = view.getInt32(0);
      this.#v4.push(word);
      // RFC 3021: a network of one or two addresses has no broadcast address.
      if (bits < 31) this.#broadcast.push(word | (bits === 0 ? -1 : -1 >>> bits));
    }
  }

  /** Puts an address behind the others, unless it is there. */
  add(prefix: AddressPrefix): void {
    if (!this.#all.some(({ address }) => sameBytes(address, prefix.address))) {
      this.set([...this.#all, prefix]);
    }
  }

  /** Takes an address away; whether it was there. */
  remove(address: Uint8Array): boolean {
    const left = this.#all.filter((other) => !sameBytes(other.address, address));
    const isFound = left.length < this.#all.length;
    if (isFound) this.set(left);
    return isFound;
  }

  /** All of them, in order. */
  get list(): readonly AddressPrefix[] {
    return this.#all;
  }

  /** Whether the address at `at` is one of ours. */
  has(view: DataView, at: number, version: number): boolean {
    return version === 4 ? this.#v4.includes(view.getInt32(at)) : this.#has6(view, at);
  }

  #has6(view: DataView, at: number): boolean {
    const words = this.#v6;
    for (let i = 0; i < words.length; i += 4) {
      if (
        words[i + 3] === view.getInt32(at + 12) && words[i + 2] === view.getInt32(at + 8) &&
        words[i + 1] === view.getInt32(at + 4) && words[i] === view.getInt32(at)
      ) return true;
    }
    return false;
  }

  /** Whether the IPv4 address at `at` is the broadcast address of one of our networks. */
  isBroadcast(view: DataView, at: number): boolean {
    return this.#broadcast.includes(view.getInt32(at));
  }

  /**
   * Our address for packets to `remote`: the one whose network holds it, the longest prefix first,
   * else the first of that family; null when there is none.
   */
  sourceFor(remote: Uint8Array): Uint8Array | null {
    let best: AddressPrefix | null = null;
    let bestBits = -1;
    for (const prefix of this.#all) {
      if (prefix.address.length !== remote.length) continue;
      const bits = holds(prefix, remote) ? prefix.bits : 0;
      if (bits > bestBits) [best, bestBits] = [prefix, bits];
    }
    return best === null ? null : best.address;
  }

  /** Our first address of a family, or null. */
  first(version: number): Uint8Array | null {
    const length = version === 4 ? 4 : 16;
    return this.#all.find(({ address }) => address.length === length)?.address ?? null;
  }
}

function holds({ address, bits }: AddressPrefix, other: Uint8Array): boolean {
  for (let i = 0; i < address.length && 8 * i < bits; i++) {
    const covered = Math.min(8, bits - 8 * i);
    if (((address[i] ^ other[i]) >> (8 - covered)) !== 0) return false;
  }
  return true;
}

/**
 * Whether the address at `at` can be that of one host somewhere: not unspecified ("this network"),
 * loopback, multicast, reserved or broadcast, and in IPv6 not an IPv4 address in disguise.
 */
export function isUnicast(view: DataView, at: number, version: number): boolean {
  if (version === 4) {
    const first = view.getUint8(at);
    return first !== 0 && first !== 127 && first < 224;
  }
  if (view.getUint8(at) === 0xff) return false;
  if (view.getInt32(at) !== 0 || view.getInt32(at + 4) !== 0) return true;
  // `::`, `::1`, ::a.b.c.d (deprecated) and ::ffff:a.b.c.d (RFC 4291 section 2.5.5).
  const third = view.getInt32(at + 8);
  return third !== 0 && third !== 0xffff;
}

/** Whether the address at `at` is that of a group, or IPv4's broadcast to everybody on the link. */
export function isMulticast(view: DataView, at: number, version: number): boolean {
  const first = view.getUint8(at);
  if (version === 6) return first === 0xff;
  return (first >= 224 && first < 240) || view.getInt32(at) === -1;
}

/** Whether the address at `at` is valid on one link only; such packets are not forwarded. */
export function isLinkLocal(view: DataView, at: number, version: number): boolean {
  const first = view.getUint16(at);
  return version === 4 ? first === 0xa9fe : (first & 0xffc0) === 0xfe80;
}
