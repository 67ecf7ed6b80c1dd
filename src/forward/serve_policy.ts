/**
 * Which destinations peers may reach through this node: the prefixes of `Serve`. The longest one that
 * holds an address decides, and some addresses are special: loopback, link-local ones (the metadata
 * services of clouds among them), IPv4 in the disguise of IPv6, what is reserved. A special address is
 * served only by a prefix that lies within its block: `0.0.0.0/0` does not serve 169.254.169.254,
 * `169.254.169.254/32` does.
 */
import { DestinationVerdict } from "../netstack/ip_input.ts";
import type { DestinationPolicy } from "../netstack/ip_input.ts";
import type { AddressPrefix } from "../tables/allowed_ips_node.ts";

/** Prefixes of one family, the longest first: words of the addresses, and lengths. */
interface PrefixList {
  readonly words: readonly number[];
  readonly bits: readonly number[];
}

/** IANA's special-purpose registries, as far as forwarding there is never meant by a wider prefix. */
const SPECIAL_V4: readonly AddressPrefix[] = [
  { address: Uint8Array.of(0, 0, 0, 0), bits: 8 },
  { address: Uint8Array.of(127, 0, 0, 0), bits: 8 },
  { address: Uint8Array.of(169, 254, 0, 0), bits: 16 },
  { address: Uint8Array.of(224, 0, 0, 0), bits: 3 },
];
const SPECIAL_V6: readonly AddressPrefix[] = [
  // `::`, `::1`, and IPv4 addresses in the last 32 bits: ::a.b.c.d, ::ffff:a.b.c.d.
  { address: new Uint8Array(16), bits: 80 },
  { address: withFirst(0xfe, 0x80), bits: 10 },
  { address: withFirst(0xff, 0x00), bits: 8 },
];

function withFirst(...bytes: number[]): Uint8Array {
  const address = new Uint8Array(16);
  address.set(bytes);
  return address;
}

const special4 = listOf(SPECIAL_V4, 4);
const special6 = listOf(SPECIAL_V6, 16);

/** See the module's text. */
export class ServePolicy implements DestinationPolicy {
  readonly #v4: PrefixList;
  readonly #v6: PrefixList;

  constructor(served: readonly AddressPrefix[]) {
    this.#v4 = listOf(served, 4);
    this.#v6 = listOf(served, 16);
  }

  /** Whether nothing is served. */
  get isEmpty(): boolean {
    return this.#v4.bits.length + this.#v6.bits.length === 0;
  }

  judge(view: DataView, at: number, ipVersion: number): DestinationVerdict {
    const servedBits = this.servedBits(view, at, ipVersion);
    if (servedBits < 0) return DestinationVerdict.Foreign;
    const specialBits = ipVersion === 4
      ? longest4(special4, view.getInt32(at))
      : longest6(special6, view, at);
    return specialBits > servedBits ? DestinationVerdict.Prohibited : DestinationVerdict.Forward;
  }

  /** Length of the longest served prefix that holds the address at `at`; -1 for none. */
  servedBits(view: DataView, at: number, ipVersion: number): number {
    return ipVersion === 4 ? longest4(this.#v4, view.getInt32(at)) : longest6(this.#v6, view, at);
  }
}

function listOf(prefixes: readonly AddressPrefix[], addressBytes: number): PrefixList {
  const list = prefixes.filter(({ address }) => address.length === addressBytes)
    .toSorted((a, b) => b.bits - a.bits);
  const words = list.flatMap(({ address }) => {
    const view = new DataView(address.buffer, address.byteOffset, address.length);
    return Array.from({ length: addressBytes / 4 }, (_, i) => view.getInt32(4 * i));
  });
  return { words, bits: list.map(({ bits }) => bits) };
}

function longest4({ words, bits }: PrefixList, address: number): number {
  for (let i = 0; i < bits.length; i++) {
    if (agrees(words[i] ^ address, bits[i])) return bits[i];
  }
  return -1;
}

function longest6({ words, bits }: PrefixList, view: DataView, at: number): number {
  for (let i = 0; i < bits.length; i++) {
    let word = 0;
    while (
      word < 4 && agrees(words[4 * i + word] ^ view.getInt32(at + 4 * word), bits[i] - 32 * word)
    ) {
      word++;
    }
    if (word === 4) return bits[i];
  }
  return -1;
}

/** Whether words with this difference agree in their first `bits` bits, of which there may be any number. */
function agrees(difference: number, bits: number): boolean {
  return bits <= 0 || (bits >= 32 ? difference : difference >>> (32 - bits)) === 0;
}
