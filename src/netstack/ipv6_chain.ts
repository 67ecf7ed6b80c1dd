/**
 * The extension headers of an inbound IPv6 packet (RFC 8200 section 4), walked once and with limits:
 * at most `IPV6_EXTENSIONS_MAX` headers and 16 options in each (RFC 8504 section 5.3). Everything
 * that an option or a header may demand beyond being skipped is refused; jumbograms are such an
 * option.
 */
import { Icmpv6ParameterProblem } from "../wire/icmp.ts";
import { IpProtocol } from "../wire/ip.ts";
import {
  IPV6_DESTINATION,
  IPV6_EXTENSIONS_MAX,
  IPV6_FRAGMENT_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  ipv6NextHeader,
} from "../wire/ipv6.ts";

const OPTIONS_MAX = 16;
const OPTION_PAD1 = 0;
const OPTION_PADN = 1;
/** Of a routing header, the place of the segments left; the type stands before it. */
const ROUTING_TYPE = 2;
const ROUTING_SEGMENTS_LEFT = 3;

/** What a walk has found; the stack has one instance. All places are counted from the IPv6 header. */
export class Ipv6Chain {
  /** Where the upper-layer header begins; of a later fragment, where its data begins. */
  offset = 0;
  /** The upper-layer protocol. */
  protocol = 0;
  /** Where the byte stands that names the protocol. */
  protocolOffset = 0;
  /** Where the fragment header of a real fragment stands, 0 for none. */
  fragmentOffset = 0;
  /** Where the byte stands that names the fragment header. */
  fragmentNameOffset = 0;
  /** After a refusal: the code of the "parameter problem" to send, -1 for none, and its pointer. */
  problemCode = -1;
  problemPointer = 0;

  /** Walks the packet of `bytes` bytes at `at`; false when it is refused. */
  walk(view: DataView, at: number, bytes: number): boolean {
    this.fragmentOffset = 0;
    this.problemCode = -1;
    let name = IPV6_NEXT_HEADER;
    let offset = IPV6_HEADER_BYTES;
    let next = ipv6NextHeader(view, at);
    for (let count = 0; isWalked(next); count++) {
      if (count === IPV6_EXTENSIONS_MAX) return false;
      if (offset + 8 > bytes) return false;
      let length = 8 + view.getUint8(at + offset + 1) * 8;
      if (next === IpProtocol.Fragment) {
        length = IPV6_FRAGMENT_HEADER_BYTES;
        const field = view.getUint16(at + offset + 2);
        // RFC 6946: offset 0 without "more" is a whole packet that only wears the header.
        if ((field & 0xfff9) !== 0) {
          if (this.fragmentOffset !== 0) return false;
          this.fragmentOffset = offset;
          this.fragmentNameOffset = name;
          if ((field & 0xfff8) !== 0) return this.#finish(view, at, offset, offset + length);
        }
      } else if (offset + length > bytes) {
        return false;
      } else if (next === IpProtocol.Routing) {
        if (!this.#passRouting(view, at, offset)) return false;
      } else {
        // RFC 8200 section 4.1: hop-by-hop options stand right behind the IPv6 header.
        const isMisplaced = next === IpProtocol.HopByHop && name !== IPV6_NEXT_HEADER;
        if (isMisplaced) return this.#refuse(Icmpv6ParameterProblem.UnrecognizedNextHeader, name);
        if (!this.#passOptions(view, at, offset, length)) return false;
      }
      name = offset;
      next = view.getUint8(at + offset);
      offset += length;
    }
    if (offset > bytes) return false;
    return this.#finish(view, at, name, offset);
  }

  #finish(view: DataView, at: number, name: number, offset: number): boolean {
    this.protocolOffset = name;
    this.protocol = view.getUint8(at + name);
    this.offset = offset;
    return true;
  }

  #refuse(code: number, pointer: number): boolean {
    this.problemCode = code;
    this.problemPointer = pointer;
    return false;
  }

  /** RFC 5095: no routing type is obeyed; one with no segments left is as good as none. */
  #passRouting(view: DataView, at: number, offset: number): boolean {
    if (view.getUint8(at + offset + ROUTING_SEGMENTS_LEFT) === 0) return true;
    return this.#refuse(Icmpv6ParameterProblem.ErroneousField, offset + ROUTING_TYPE);
  }

  /** Skips the options of a header; false when one asks for more than that. */
  #passOptions(view: DataView, at: number, offset: number, length: number): boolean {
    const end = offset + length;
    let count = 0;
    for (let place = offset + 2; place < end;) {
      const type = view.getUint8(at + place);
      if (++count > OPTIONS_MAX) return false;
      if (type === OPTION_PAD1) {
        place++;
        continue;
      }
      if (place + 2 > end) return false;
      const next = place + 2 + view.getUint8(at + place + 1);
      if (next > end) return false;
      // Two bits of the type say what to do with an option that is not understood.
      const action = type >>> 6;
      if (type !== OPTION_PADN && action !== 0) {
        const isMulticast = view.getUint8(at + IPV6_DESTINATION) === 0xff;
        if (action === 1 || (action === 3 && isMulticast)) return false;
        return this.#refuse(Icmpv6ParameterProblem.UnrecognizedOption, place);
      }
      place = next;
    }
    return true;
  }
}

function isWalked(next: number): boolean {
  return next === IpProtocol.HopByHop || next === IpProtocol.Routing ||
    next === IpProtocol.Fragment || next === IpProtocol.DestinationOptions;
}
