/**
 * Addresses, prefixes and endpoints as text, strictly: what has leading zeros, three parts or
 * trailing characters is refused rather than guessed at. Parsers return null for what is wrong.
 */
import ipaddr from "ipaddr.js";
import type { Prefix, SocketAddress } from "../wireguard/configuration.ts";

/** Finds the index of an interface by its name; 0 when there is none. */
export type InterfaceIndex = (name: string) => number;

/** A decimal number without sign or leading zeros, at most `max`; -1 for anything else. */
export function parseDecimal(text: string, max: number): number {
  if (text.length === 0 || text.length > 10 || (text.length > 1 && text[0] === "0")) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value <= max ? value : -1;
}

function parseV4(text: string): Uint8Array | null {
  const address = new Uint8Array(4);
  let from = 0;
  for (let i = 0; i < 4; i++) {
    const to = i < 3 ? text.indexOf(".", from) : text.length;
    const value = to < 0 ? -1 : parseDecimal(text.slice(from, to), 255);
    if (value < 0) return null;
    address[i] = value;
    from = to + 1;
  }
  return address;
}

function parseV6(text: string): Uint8Array | null {
  let groups = text;
  if (text.includes(".")) {
    // A tail in dotted form stands for the last two groups (RFC 4291, section 2.2).
    const from = text.lastIndexOf(":") + 1;
    const tail = parseV4(text.slice(from));
    if (tail === null) return null;
    const high = tail[0] << 8 | tail[1], low = tail[2] << 8 | tail[3];
    groups = `${text.slice(0, from)}${high.toString(16)}:${low.toString(16)}`;
  }
  if (groups.length > 39 || !/^[0-9a-fA-F:]+$/.test(groups)) return null;
  if (!ipaddr.IPv6.isValid(groups)) return null;
  return Uint8Array.from(ipaddr.IPv6.parse(groups).toByteArray());
}

/** The 4 or 16 bytes of an address without zone. */
export function parseAddress(text: string): Uint8Array | null {
  return text.includes(":") ? parseV6(text) : parseV4(text);
}

/** An address of 4 or 16 bytes; IPv6 as in RFC 5952. */
export function formatAddress(address: Uint8Array): string {
  if (address.length === 4) return `${address[0]}.${address[1]}.${address[2]}.${address[3]}`;
  return new ipaddr.IPv6(Array.from(address)).toRFC5952String();
}

/** `address/bits`, or a bare address for its full length. Host bits are kept. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === null) return null;
  const bitsMax = address.length * 8;
  const bits = slash < 0 ? bitsMax : parseDecimal(text.slice(slash + 1), bitsMax);
  return bits < 0 ? null : { address, bits };
}

/** A prefix as `address/bits`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.bits}`;
}

/**
 * `1.2.3.4:port` or `[v6]:port` with a port from 1 to 65535. A zone (`[fe80::1%eth0]:port`) is a
 * number or a name that `interfaceIndex` knows.
 */
export function parseSocketAddress(
  text: string,
  interfaceIndex: InterfaceIndex = () => 0,
): SocketAddress | null {
  const colon = text.lastIndexOf(":");
  const port = colon < 0 ? -1 : parseDecimal(text.slice(colon + 1), 65535);
  if (port <= 0) return null;
  if (text[0] !== "[") {
    const address = parseV4(text.slice(0, colon));
    return address === null ? null : { address, port };
  }
  if (text[colon - 1] !== "]") return null;
  const host = text.slice(1, colon - 1);
  const percent = host.indexOf("%");
  const address = parseV6(percent < 0 ? host : host.slice(0, percent));
  if (address === null) return null;
  if (percent < 0) return { address, port };
  const zone = host.slice(percent + 1);
  const number = parseDecimal(zone, 2 ** 31 - 1);
  const scopeId = number >= 0 ? number : interfaceIndex(zone);
  return scopeId > 0 ? { address, port, scopeId } : null;
}

/** The text that `parseSocketAddress` reads; a zone as a number. */
export function formatSocketAddress(endpoint: SocketAddress): string {
  const address = formatAddress(endpoint.address);
  if (endpoint.address.length === 4) return `${address}:${endpoint.port}`;
  return `[${address}${endpoint.scopeId ? `%${endpoint.scopeId}` : ""}]:${endpoint.port}`;
}
