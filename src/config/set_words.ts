/**
 * The words of `set`, in the grammar of `wg set`:
 *
 * ```text
 * [listen-port PORT] [fwmark MARK] [private-key FILE]
 * [peer KEY [remove] [preshared-key FILE] [endpoint HOST:PORT] [persistent-keepalive SECONDS]
 *           [allowed-ips [+|-]PREFIX[,[+|-]PREFIX]...] ]...
 * ```
 *
 * Keys come from files only: a command line is open to every user of the machine. Words in, what they
 * ask for out; files are read and names looked up by the caller.
 */
import { parseDecimal, parsePrefix } from "../control/address_text.ts";
import type { InterfaceIndex } from "../control/address_text.ts";
import { parseKeyBase64 } from "../control/key_text.ts";
import type { AllowedIpChange, SocketAddress } from "../wireguard/configuration.ts";
import { type Diagnostic, Diagnostics, quote } from "./diagnostic.ts";
import { suggestion } from "./nearest.ts";
import type { NamedEndpoint } from "./types.ts";
import { ConfigValue, readEndpoint, readFwMark, readKeepalive } from "./value.ts";

/** What the words ask of one peer. */
export interface PeerWords {
  readonly publicKey: Uint8Array;
  remove?: boolean;
  /** The file with the key; an empty one clears it. */
  presharedKeyFile?: string;
  endpoint?: SocketAddress | NamedEndpoint;
  keepaliveSeconds?: number;
  /** Whether the prefixes replace those that the peer has: none of them has a sign. */
  replaceAllowedIps?: boolean;
  allowedIps: AllowedIpChange[];
}

/** What the words ask of a device. */
export interface SetWords {
  listenPort?: number;
  fwmark?: number;
  privateKeyFile?: string;
  readonly peers: PeerWords[];
}

/** Words that cannot be meant; the message tells nothing that may be a key. */
export class SetWordsError extends Error {
  override name = "SetWordsError";
}

const DEVICE_WORDS = ["listen-port", "fwmark", "private-key", "peer"];
const PEER_WORDS = [
  "peer",
  "remove",
  "preshared-key",
  "endpoint",
  "persistent-keepalive",
  "allowed-ips",
];

/** Reads the words behind the interface. Throws `SetWordsError`. */
export function parseSetWords(
  words: readonly string[],
  interfaceIndex?: InterfaceIndex,
): SetWords {
  const wanted: SetWords = { peers: [] };
  for (let at = 0; at < words.length;) {
    const word = words[at++];
    const peer = wanted.peers.at(-1);
    if (word === "remove" && peer !== undefined) {
      peer.remove = true;
      continue;
    }
    const known = peer === undefined ? DEVICE_WORDS : PEER_WORDS;
    if (!known.includes(word) || word === "remove") {
      throw new SetWordsError(`unknown word ${quote(word)}${misplaced(word, known)}`);
    }
    if (at === words.length) throw new SetWordsError(`${word} wants a value behind it`);
    const value = words[at++];
    if (word === "peer") wanted.peers.push({ publicKey: readPublicKey(value), allowedIps: [] });
    else if (peer === undefined) setDevice(wanted, word, value);
    else setPeer(peer, word, value, interfaceIndex);
  }
  return wanted;
}

function misplaced(word: string, known: readonly string[]): string {
  if (DEVICE_WORDS.includes(word)) return "; it stands before the first peer";
  if (PEER_WORDS.includes(word)) return "; it stands behind `peer KEY`";
  return suggestion(word, known) || `; expected one of ${known.join(", ")}`;
}

function setDevice(wanted: SetWords, word: string, value: string): void {
  switch (word) {
    case "listen-port":
      wanted.listenPort = parseDecimal(value, 65_535);
      if (wanted.listenPort < 0) {
        throw new SetWordsError(`listen-port: expected 0 to 65535, found ${quote(value)}`);
      }
      return;
    case "fwmark":
      wanted.fwmark = checked(word, value, readFwMark);
      return;
    case "private-key":
      wanted.privateKeyFile = value;
  }
}

function setPeer(
  peer: PeerWords,
  word: string,
  value: string,
  interfaceIndex: InterfaceIndex | undefined,
): void {
  switch (word) {
    case "preshared-key":
      peer.presharedKeyFile = value;
      return;
    case "endpoint":
      peer.endpoint = checked(word, value, (text) => readEndpoint(text, interfaceIndex));
      return;
    case "persistent-keepalive":
      peer.keepaliveSeconds = checked(word, value, readKeepalive);
      return;
    case "allowed-ips":
      setAllowedIps(peer, value);
  }
}

/** Prefixes replace what the peer has, unless one of them has a sign: then each adds or removes. */
function setAllowedIps(peer: PeerWords, value: string): void {
  const items = value === "" ? [] : value.split(",").map((item) => item.trim());
  peer.replaceAllowedIps = !items.some((item) => /^[+-]/.test(item));
  peer.allowedIps = items.map((item) => {
    const prefix = parsePrefix(item.replace(/^[+-]/, ""));
    if (prefix !== null) return { ...prefix, remove: item[0] === "-" };
    throw new SetWordsError(
      `allowed-ips: expected prefixes such as 10.0.0.0/24, found ${quote(item)}`,
    );
  });
}

function readPublicKey(value: string): Uint8Array {
  const key = parseKeyBase64(value);
  if (key !== null) return key;
  throw new SetWordsError("peer: expected a public key of 44 characters of base64");
}

/** Reads a word as a config file's value is read. */
function checked<T>(
  word: string,
  text: string,
  read: (value: ConfigValue) => T | undefined,
): T {
  const diagnostics = new Diagnostics("");
  const result = read(new ConfigValue(text, word, 1, 1, diagnostics));
  if (result !== undefined) return result;
  throw new SetWordsError(diagnostics.list().map(({ message }: Diagnostic) => message).join("; "));
}
