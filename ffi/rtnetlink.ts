/**
 * What all of rtnetlink shares: message types, address families, and addresses as text for errors.
 *
 * Links, addresses, routes, rules and events have a file each (`rtnetlink_link.ts` and so on), made
 * of functions over a `NetlinkSocket`; all of them act in the network namespace of that socket. An
 * address is a Uint8Array of 4 or 16 bytes in network order, a prefix such an address and `bits`.
 *
 * Everything that changes something throws a `NetlinkError` with errno when the kernel refuses it.
 */
import { invariant } from "../src/base/invariant.ts";

/** Message types of include/uapi/linux/rtnetlink.h. */
export const RouteMessage = {
  RTM_NEWLINK: 16,
  RTM_DELLINK: 17,
  RTM_GETLINK: 18,
  RTM_SETLINK: 19,
  RTM_NEWADDR: 20,
  RTM_DELADDR: 21,
  RTM_GETADDR: 22,
  RTM_NEWROUTE: 24,
  RTM_DELROUTE: 25,
  RTM_GETROUTE: 26,
  RTM_NEWRULE: 32,
  RTM_DELRULE: 33,
  RTM_GETRULE: 34,
} as const;

/** Address families of include/linux/socket.h, as far as rtnetlink is asked for them. */
export const AddressFamily = { AF_UNSPEC: 0, AF_INET: 2, AF_INET6: 10 } as const;

/** IPv4 or IPv6. */
export type IpFamily = typeof AddressFamily.AF_INET | typeof AddressFamily.AF_INET6;

/** The family of an address, by its length of 4 or 16 bytes. */
export function familyOf(address: Uint8Array): IpFamily {
  invariant(address.length === 4 || address.length === 16, "an address has 4 or 16 bytes");
  return address.length === 4 ? AddressFamily.AF_INET : AddressFamily.AF_INET6;
}

/** The all-zero address of a family: the destination of a default route. */
export function anyAddress(family: IpFamily): Uint8Array<ArrayBuffer> {
  return new Uint8Array(family === AddressFamily.AF_INET ? 4 : 16);
}

/** `address/bits` as errors and logs show it; IPv6 as in RFC 5952. */
export function formatPrefix(address: Uint8Array, bits: number): string {
  return `${formatAddress(address)}/${bits}`;
}

/** An address as errors and logs show it; IPv6 as in RFC 5952. */
export function formatAddress(address: Uint8Array): string {
  if (familyOf(address) === AddressFamily.AF_INET) return address.join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(address[i] << 8 | address[i + 1]);
  const zeros = longestZeroRun(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (zeros.length < 2) return text(groups);
  return `${text(groups.slice(0, zeros.from))}::${text(groups.slice(zeros.from + zeros.length))}`;
}

function longestZeroRun(groups: readonly number[]): { from: number; length: number } {
  let best = { from: 0, length: 0 };
  for (let from = 0; from < groups.length; from++) {
    let length = 0;
    while (from + length < groups.length && groups[from + length] === 0) length++;
    if (length > best.length) best = { from, length };
  }
  return best;
}
