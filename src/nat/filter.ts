/**
 * The filter: an ordered list of `Allow` and `Deny` rules, the first that matches decides, and a packet
 * that none matches is allowed. It is asked once per super-packet, before routing on the way out and
 * after coalescing on the way in; packets of the userspace stack do not pass it on their way out.
 *
 * A rule's prefix is that of the other end: the source of what comes in, the destination of what goes
 * out; its own prefix is that of this end, or of what is reached through it. Its ports are destination ports in both directions. It has no memory of flows: answers must be
 * allowed by a rule, or by the default.
 *
 * A later fragment shows no ports. It matches an `Allow` rule with ports, and no `Deny` rule with
 * ports: its first fragment has been judged, and without that one it is of no use to anybody.
 *
 * Main writes the list (`FilterTable`), lanes read it (`FilterView`) through a published block:
 *
 * ```
 * block  i32 number of rules, 60 bytes zero, rules
 * rule   u8 action, u8 directions, u8 IP version (0: both), u8 protocol (255: any)
 *        u8 bits, u8 0, u16 first port, u16 last port, u16 0, 16 bytes address,
 *        u8 IP version of the own prefix (0: any), u8 its bits, u16 0, 16 bytes address
 * ```
 */
import type { Slab } from "../memory/slab.ts";
import type { SuperPacket } from "../offload/super_packet.ts";
import type { AddressPrefix } from "../tables/allowed_ips_node.ts";
import type { RetireEpochs } from "../tables/allowed_ips_pool.ts";
import { publishedAt, PublishedBlock, publishedBytes } from "../tables/published_block.ts";

/** What a rule does with a packet. */
export const FilterAction = { Allow: 0, Deny: 1 } as const;
/** One of the values of `FilterAction`. */
export type FilterAction = (typeof FilterAction)[keyof typeof FilterAction];

/** The way a packet goes, as bits: a rule may be for both. */
export const FilterDirection = { In: 1, Out: 2 } as const;

/** One rule; what is absent matches everything. */
export interface FilterRule {
  readonly action: FilterAction;
  /** Bits of `FilterDirection`. */
  readonly directions: number;
  /** The other end; bits behind the prefix are ignored. */
  readonly prefix?: AddressPrefix;
  /** This end: the destination of what comes in, the source of what goes out. */
  readonly ownPrefix?: AddressPrefix;
  /** An IP protocol number. */
  readonly protocol?: number;
  /** Destination ports, both included; matches TCP and UDP only. */
  readonly ports?: { readonly first: number; readonly last: number };
}

/** Rules that a table holds. */
export const FILTER_RULES_MAX = 1023;

const RULE_BYTES = 48;
const FIRST_RULE = 64;
const BLOCK_BYTES = FIRST_RULE + (FILTER_RULES_MAX + 1) * RULE_BYTES;
const ANY_PROTOCOL = 255;
const PORT_MAX = 65_535;

// Places of the fields of a rule.
const DIRECTIONS = 1;
const VERSION = 2;
const PROTOCOL = 3;
const BITS = 4;
const PORT_FIRST = 6;
const PORT_LAST = 8;
const ADDRESS = 12;
const OWN_VERSION = 28;
const OWN_BITS = 29;
const OWN_ADDRESS = 32;

/** Bytes of slab for a filter, at a multiple of 64. */
export const FILTER_BYTES: number = publishedBytes(BLOCK_BYTES);

/** Main's handle on the list. */
export class FilterTable {
  readonly #slab: Slab;
  readonly #published: PublishedBlock;

  constructor(slab: Slab, at: number, epochs: RetireEpochs) {
    this.#slab = slab;
    this.#published = new PublishedBlock(slab, at, BLOCK_BYTES, epochs);
  }

  /**
   * Replaces the list, for all lanes at once. False when that has to wait for lanes: `retry` soon.
   * Throws RangeError for more than `FILTER_RULES_MAX` rules.
   */
  set(rules: readonly FilterRule[]): boolean {
    if (rules.length > FILTER_RULES_MAX) {
      throw new RangeError(`Cannot set the filter: ${rules.length} rules, ${FILTER_RULES_MAX} fit`);
    }
    return this.#published.publish((blockAt) => {
      this.#slab.i32[blockAt >> 2] = rules.length;
      rules.forEach((rule, i) => this.#write(rule, blockAt + FIRST_RULE + i * RULE_BYTES));
    });
  }

  /** Whether a list waits for lanes. */
  get isPending(): boolean {
    return this.#published.isPending;
  }

  /** Publishes what had to wait; true when nothing waits any more. */
  retry(): boolean {
    return this.#published.retry();
  }

  #write(rule: FilterRule, at: number): void {
    const { u8, view } = this.#slab;
    const { prefix, ownPrefix, ports } = rule;
    view.setUint8(at, rule.action);
    view.setUint8(at + DIRECTIONS, rule.directions);
    view.setUint8(at + PROTOCOL, rule.protocol ?? ANY_PROTOCOL);
    view.setUint16(at + PORT_FIRST, ports?.first ?? 0);
    view.setUint16(at + PORT_LAST, ports?.last ?? PORT_MAX);
    if (prefix !== undefined) {
      view.setUint8(at + VERSION, prefix.address.length === 4 ? 4 : 6);
      view.setUint8(at + BITS, prefix.bits);
      u8.set(prefix.address, at + ADDRESS);
    }
    if (ownPrefix === undefined) return;
    view.setUint8(at + OWN_VERSION, ownPrefix.address.length === 4 ? 4 : 6);
    view.setUint8(at + OWN_BITS, ownPrefix.bits);
    u8.set(ownPrefix.address, at + OWN_ADDRESS);
  }
}

/** A lane's handle on the list. */
export class FilterView {
  readonly #slab: Slab;
  readonly #at: number;

  constructor(slab: Slab, at: number) {
    this.#slab = slab;
    this.#at = at;
  }

  /** Whether there is any rule: without one nothing needs to be asked. */
  get isActive(): boolean {
    return this.#slab.i32[publishedAt(this.#slab, this.#at, BLOCK_BYTES) >> 2] !== 0;
  }

  /** Whether the packet may go on in this direction, one of `FilterDirection`. */
  allows(packet: SuperPacket, direction: number): boolean {
    const blockAt = publishedAt(this.#slab, this.#at, BLOCK_BYTES);
    const { view } = this.#slab;
    const count = this.#slab.i32[blockAt >> 2];
    const isIn = direction === FilterDirection.In;
    const remoteAt = isIn ? packet.sourceAt : packet.destinationAt;
    const ownAt = isIn ? packet.destinationAt : packet.sourceAt;
    for (let i = 0; i < count; i++) {
      const rule = blockAt + FIRST_RULE + i * RULE_BYTES;
      const holds = (view.getUint8(rule + DIRECTIONS) & direction) !== 0 &&
        holdsProtocol(view, rule, packet) &&
        holdsAddress(view, rule + VERSION, rule + BITS, rule + ADDRESS, packet, remoteAt) &&
        holdsAddress(
          view,
          rule + OWN_VERSION,
          rule + OWN_BITS,
          rule + OWN_ADDRESS,
          packet,
          ownAt,
        ) &&
        holdsPorts(view, rule, packet);
      if (holds) return view.getUint8(rule) === FilterAction.Allow;
    }
    return true;
  }
}

function holdsProtocol(view: DataView, rule: number, packet: SuperPacket): boolean {
  const protocol = view.getUint8(rule + PROTOCOL);
  return protocol === ANY_PROTOCOL || protocol === packet.protocol;
}

function holdsAddress(
  view: DataView,
  versionAt: number,
  bitsAt: number,
  prefixAt: number,
  packet: SuperPacket,
  addressAt: number,
): boolean {
  const version = view.getUint8(versionAt);
  if (version === 0) return true;
  if (version !== packet.ipVersion) return false;
  let left = view.getUint8(bitsAt);
  for (let i = 0; left > 0; i += 4, left -= 32) {
    const difference = view.getInt32(prefixAt + i) ^ view.getInt32(addressAt + i);
    if ((left >= 32 ? difference : difference >>> (32 - left)) !== 0) return false;
  }
  return true;
}

function holdsPorts(view: DataView, rule: number, packet: SuperPacket): boolean {
  const first = view.getUint16(rule + PORT_FIRST);
  const last = view.getUint16(rule + PORT_LAST);
  if (first === 0 && last === PORT_MAX) return true;
  if (packet.portsAt === 0) {
    return packet.isLaterFragment && view.getUint8(rule) === FilterAction.Allow;
  }
  const port = view.getUint16(packet.portsAt + 2);
  return port >= first && port <= last;
}
