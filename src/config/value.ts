/**
 * A value of the file at its place, and the readers for the kinds of values there are. A reader
 * returns undefined after it has reported what is wrong.
 */
import {
  parseAddress,
  parseDecimal,
  parsePrefix,
  parseSocketAddress,
} from "../control/address_text.ts";
import type { InterfaceIndex } from "../control/address_text.ts";
import { parseKeyBase64 } from "../control/key_text.ts";
import { isZero } from "../wireguard/bytes.ts";
import type { Prefix, SocketAddress } from "../wireguard/configuration.ts";
import { type Diagnostics, quote } from "./diagnostic.ts";
import type { NamedEndpoint } from "./types.ts";

/** The text of a value, or of one item of a list. */
export class ConfigValue {
  constructor(
    readonly text: string,
    /** The key that it is set for, as we spell it. */
    readonly key: string,
    readonly line: number,
    readonly column: number,
    readonly diagnostics: Diagnostics,
    /** The whole value that an item belongs to. */
    readonly whole = text,
  ) {}

  /** Reports an error at the value and returns undefined. */
  error(message: string): undefined {
    this.diagnostics.error(this.line, this.column, `${this.key}: ${message}`);
    return undefined;
  }

  /** Reports what should stand here. */
  expected(what: string, hint = ""): undefined {
    return this.error(`expected ${what}, found ${quote(this.text, this.whole)}${hint}`);
  }

  warning(message: string): void {
    this.diagnostics.warning(this.line, this.column, `${this.key}: ${message}`);
  }

  /** The items of a comma-separated list; none of an empty value. */
  items(): ConfigValue[] {
    if (this.text === "") return [];
    const items: ConfigValue[] = [];
    let from = 0;
    for (const part of this.text.split(",")) {
      const space = part.length - part.trimStart().length;
      items.push(this.#part(part.trim(), from + space));
      from += part.length + 1;
    }
    return items;
  }

  /** The items of a list whose separators are commas, spaces or both, as wg-quick reads its own. */
  words(): ConfigValue[] {
    return Array.from(
      this.text.matchAll(/[^\s,]+/g),
      (match) => this.#part(match[0], match.index),
    );
  }

  #part(text: string, offset: number): ConfigValue {
    const column = this.column + offset;
    return new ConfigValue(text, this.key, this.line, column, this.diagnostics, this.text);
  }
}

/** A key of 44 base64 characters that is not all zero; its text is never repeated. */
export function readKey(value: ConfigValue): Uint8Array | undefined {
  const key = parseKeyBase64(value.text);
  if (key === null) {
    return value.error(
      `expected 44 characters of base64, found ${value.text.length} characters` +
        (value.text.length === 44 ? " that are not the base64 of a key" : ""),
    );
  }
  return isZero(key) ? value.error("the key is all zero") : key;
}

/** A decimal number within bounds. */
export function readNumber(value: ConfigValue, min: number, max: number): number | undefined {
  const number = parseDecimal(value.text, max);
  return number >= min ? number : value.expected(`a number from ${min} to ${max}`);
}

/** `off`, a decimal number, or a hexadecimal one behind `0x`: a firewall mark. */
export function readFwMark(value: ConfigValue): number | undefined {
  const text = value.text.toLowerCase();
  if (text === "off") return 0;
  if (/^0x[0-9a-f]{1,8}$/.test(text)) return parseInt(text, 16);
  const number = parseDecimal(text, 2 ** 32 - 1);
  return number >= 0
    ? number
    : value.expected("`off`, a 32-bit number or a hexadecimal one as 0x1f");
}

/** `off` or seconds. */
export function readKeepalive(value: ConfigValue): number | undefined {
  if (value.text.toLowerCase() === "off") return 0;
  const seconds = parseDecimal(value.text, 65_535);
  return seconds >= 0 ? seconds : value.expected("`off` or a number of seconds from 0 to 65535");
}

/** An address with or without the length of its prefix. */
export function readPrefix(value: ConfigValue): Prefix | undefined {
  return parsePrefix(value.text) ?? value.expected("an address such as 10.0.0.1/24 or fd00::1/64");
}

/** `host:port` or `[v6]:port`, where the host may be a name. */
export function readEndpoint(
  value: ConfigValue,
  interfaceIndex?: InterfaceIndex,
): SocketAddress | NamedEndpoint | undefined {
  const { text } = value;
  const endpoint = parseSocketAddress(text, interfaceIndex);
  if (endpoint !== null) return endpoint;
  const colon = text.lastIndexOf(":");
  const port = colon < 0 ? -1 : parseDecimal(text.slice(colon + 1), 65_535);
  const host = text.slice(0, Math.max(colon, 0));
  if (/^[0-9a-fA-F]*:[0-9a-fA-F:.]*:/.test(text)) {
    return value.error("an IPv6 address stands in brackets, with a port: [2001:db8::1]:51820");
  }
  if (port <= 0) return value.expected("a host and a port from 1 to 65535, as host.example:51820");
  const zoned = /^\[([0-9a-fA-F:.]+)%([^\]%]+)\]$/.exec(host);
  if (zoned !== null && parseAddress(zoned[1]) !== null) {
    return { host: `${zoned[1]}%${zoned[2]}`, port };
  }
  return isHostName(host)
    ? { host, port }
    : value.expected("an address or a host name before the port");
}

/** A name of labels; one whose last label is a number would be a misspelt address (RFC 1123, 2.1). */
function isHostName(text: string): boolean {
  const labels = text.replace(/\.$/, "").split(".");
  if (text.length > 253 || /^\d+$/.test(labels[labels.length - 1])) return false;
  return labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/.test(label));
}

/** Bytes, or KiB, MiB, GiB behind K, M, G (also `KiB`, `KB`, and so on). */
export function readSize(value: ConfigValue, min: number, max: number): number | undefined {
  const match = /^(\d{1,10})\s*(?:([kmg])(?:i?b)?)?$/i.exec(value.text);
  const unit = 1024 ** (1 + "kmg".indexOf(match?.[2]?.toLowerCase() ?? "-"));
  const bytes = match === null ? -1 : Number(match[1]) * (match[2] === undefined ? 1 : unit);
  if (bytes >= min && bytes <= max) return bytes;
  return value.expected(`a size from ${min} to ${max} bytes, such as 2M`);
}
