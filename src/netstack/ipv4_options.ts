/** The options of an inbound IPv4 header (RFC 791 section 3.1): checked, skipped, never obeyed. */
import { IPV4_HEADER_BYTES } from "../wire/ipv4.ts";

const OPTION_END = 0;
const OPTION_NO_OPERATION = 1;
const OPTION_LOOSE_SOURCE_ROUTE = 131;
const OPTION_STRICT_SOURCE_ROUTE = 137;

/** The options are well-formed and ask for nothing dangerous. */
export const OPTIONS_FINE = 0;
/** They ask for source routing, which RFC 7126 (sections 4.3 and 4.4) says to drop. */
export const OPTIONS_REFUSED = -1;

/**
 * `OPTIONS_FINE`, `OPTIONS_REFUSED`, or the place of the byte that is wrong, counted from the header:
 * the pointer of a "parameter problem". `headerBytes` is the header's length with options.
 */
export function ipv4OptionsFault(view: DataView, at: number, headerBytes: number): number {
  for (let place = IPV4_HEADER_BYTES; place < headerBytes;) {
    const kind = view.getUint8(at + place);
    if (kind === OPTION_END) return OPTIONS_FINE;
    if (kind === OPTION_NO_OPERATION) {
      place++;
      continue;
    }
    if (kind === OPTION_LOOSE_SOURCE_ROUTE || kind === OPTION_STRICT_SOURCE_ROUTE) {
      return OPTIONS_REFUSED;
    }
    if (place + 1 >= headerBytes) return place;
    const length = view.getUint8(at + place + 1);
    if (length < 2 || place + length > headerBytes) return place + 1;
    place += length;
  }
  return OPTIONS_FINE;
}
