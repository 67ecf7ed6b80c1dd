/** Many prefixes, and which of them an address lies in. */
import { prefixKey } from "../config/peers.ts";
import type { Prefix } from "../wireguard/configuration.ts";

/** Finds by hashing, once for each length that there is. */
export class PrefixIndex {
  readonly #prefixes = new Map<string, Prefix>();
  /** The lengths there are, longest first, by the bytes of an address. */
  readonly #lengths = new Map<number, number[]>();

  constructor(prefixes: Iterable<Prefix>) {
    const lengths = new Map<number, Set<number>>([[4, new Set()], [16, new Set()]]);
    for (const prefix of prefixes) {
      this.#prefixes.set(prefixKey(prefix), prefix);
      lengths.get(prefix.address.length)?.add(prefix.bits);
    }
    for (const [bytes, set] of lengths) this.#lengths.set(bytes, [...set].sort((a, b) => b - a));
  }

  /** The prefixes that an address lies in, longest first. */
  containing(address: Uint8Array): Prefix[] {
    const lengths = this.#lengths.get(address.length) ?? [];
    return lengths.flatMap((bits) => this.#prefixes.get(prefixKey({ address, bits })) ?? []);
  }
}
