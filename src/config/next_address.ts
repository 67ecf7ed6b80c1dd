/** The next addresses that no peer has, in the networks of an interface. */
import type { Prefix } from "../wireguard/configuration.ts";

/** A network or a part of it as numbers, both ends included. */
interface Span {
  readonly from: bigint;
  readonly to: bigint;
}

/**
 * One host address in each network, as a prefix of full length: the first number, the same in all of
 * them, that lies in none of `taken`. The first and the last address of an IPv4 network are left out,
 * and the first one of IPv6, which is the routers' (RFC 4291, section 2.6.1). Null when a network is
 * full.
 *
 * Networks without room (a bare address, /32 or /128) are the caller's to leave out.
 */
export function nextAddresses(
  networks: readonly Prefix[],
  taken: readonly Prefix[],
): Prefix[] | null {
  const searches = networks.map((network) => new Search(network, taken));
  for (let number = 1n;;) {
    let next = number;
    for (const search of searches) {
      if (number > search.lastNumber) return null;
      next = max(next, search.freeFrom(number));
    }
    if (next === number) return searches.map((search) => search.host(number));
    number = next;
  }
}

/** A network that is gone through upwards; numbers count from its first address. */
class Search {
  readonly #span: Span;
  readonly #byteLength: number;
  /** What is taken, without overlaps, in order. */
  readonly #taken: Span[] = [];
  #at = 0;
  /** The last number that a host can have. */
  readonly lastNumber: bigint;

  constructor(network: Prefix, taken: readonly Prefix[]) {
    const byteLength = network.address.length;
    this.#span = spanOf(network);
    this.#byteLength = byteLength;
    const size = this.#span.to - this.#span.from;
    // The last address of an IPv4 network is its broadcast.
    this.lastNumber = byteLength === 4 && network.bits < 31 ? size - 1n : size;
    const spans = taken.filter(({ address }) => address.length === byteLength).map(spanOf)
      .sort(inOrder);
    for (const span of spans) {
      // Prefixes contain each other or are apart.
      const before = this.#taken.at(-1);
      if (before === undefined || span.from > before.to) this.#taken.push(span);
    }
  }

  /** The first free number from `number` on, maybe behind the end; `number` must only grow. */
  freeFrom(number: bigint): bigint {
    let candidate = this.#span.from + number;
    for (; this.#at < this.#taken.length; this.#at++) {
      const { from, to } = this.#taken[this.#at];
      if (to < candidate) continue;
      if (from > candidate) break;
      candidate = to + 1n;
    }
    return candidate - this.#span.from;
  }

  /** The host with that number, as a prefix of full length. */
  host(number: bigint): Prefix {
    const address = toBytes(this.#span.from + number, this.#byteLength);
    return { address, bits: this.#byteLength * 8 };
  }
}

/** The whole network that an address with its length lies in. */
export function networkOf({ address, bits }: Prefix): Prefix {
  const { from } = spanOf({ address, bits });
  return { address: toBytes(from, address.length), bits };
}

/** Whether two prefixes have an address in common. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  if (a.address.length !== b.address.length) return false;
  const [one, two] = [spanOf(a), spanOf(b)];
  return one.from <= two.to && two.from <= one.to;
}

function spanOf({ address, bits }: Prefix): Span {
  const hostBits = BigInt(address.length * 8 - bits);
  const from = toNumber(address) >> hostBits << hostBits;
  return { from, to: from + (1n << hostBits) - 1n };
}

function toNumber(address: Uint8Array): bigint {
  return address.reduce((number, byte) => number << 8n | BigInt(byte), 0n);
}

function toBytes(number: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = length - 1, rest = number; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 255n);
  return bytes;
}

/** The lower first; of those that begin together the larger one. */
function inOrder(a: Span, b: Span): number {
  const difference = a.from === b.from ? b.to - a.to : a.from - b.from;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
