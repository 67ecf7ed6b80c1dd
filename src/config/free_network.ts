/**
 * Networks for a tunnel that nothing on this machine uses: a random /24 of 10.0.0.0/8 or, where that
 * is taken as a whole, of 100.64.0.0/10, and a random /64 of fd00::/8 (RFC 4193, section 3.2.2).
 * Random, so that two such tunnels can be joined later.
 */
import type { RandomSource } from "../base/random.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { overlaps } from "./next_address.ts";

const V4_BITS = 24;
const V6_BITS = 64;
const ATTEMPTS_PER_RANGE = 256;

/** Makes a candidate from random bytes. */
type Candidate = (random: Uint8Array) => Uint8Array;

const V4_CANDIDATES: readonly Candidate[] = [
  // Subnets 0 and 1 of a range are what everybody takes by hand.
  (r) => Uint8Array.of(10, r[0], r[1] < 2 ? r[1] + 2 : r[1], 0),
  (r) => Uint8Array.of(100, 64 | (r[0] & 63), r[1], 0),
];

/** The network addresses that are free; null for a family in which none was found. */
export interface FreeNetworks {
  readonly v4: Prefix | null;
  readonly v6: Prefix;
}

/** Finds networks beside `taken`, the addresses and routes of this machine. */
export function freeNetworks(taken: readonly Prefix[], random: RandomSource): FreeNetworks {
  const specific = taken.filter(({ bits }) => bits > 0);
  return { v4: freeV4(specific, random), v6: freeV6(specific, random) };
}

function freeV4(taken: readonly Prefix[], random: RandomSource): Prefix | null {
  for (const candidate of V4_CANDIDATES) {
    for (let i = 0; i < ATTEMPTS_PER_RANGE; i++) {
      const prefix = { address: candidate(random.fill(new Uint8Array(2))), bits: V4_BITS };
      if (!taken.some((other) => overlaps(prefix, other))) return prefix;
    }
  }
  return null;
}

/** Of 2^40 candidates one is free at once, or the range is taken as a whole: then it is shared. */
function freeV6(taken: readonly Prefix[], random: RandomSource): Prefix {
  const whole = { address: new Uint8Array(16), bits: V6_BITS };
  for (let i = 0; i < ATTEMPTS_PER_RANGE; i++) {
    whole.address = new Uint8Array(16);
    whole.address[0] = 0xfd;
    whole.address.set(random.fill(new Uint8Array(5)), 1);
    if (!taken.some((other) => overlaps(whole, other))) break;
  }
  return whole;
}

/** The first host of a network, with the network's length: an address for our own end. */
export function firstHost({ address, bits }: Prefix): Prefix {
  const host = address.slice();
  host[host.length - 1] |= 1;
  return { address: host, bits };
}
