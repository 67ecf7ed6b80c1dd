/**
 * The body of `set=1`: lines `key=value` become one `DeviceChange`, which is applied as a whole when
 * the body has ended, so a bad line changes nothing. Protocol: "Cross-platform Interface" of
 * WireGuard, configuration protocol.
 *
 * Values of keys are read from the bytes of the line: no secret becomes a string.
 */
import { Errno } from "../base/errno.ts";
import {
  type AllowedIpChange,
  ConfigurationError,
  type DeviceChange,
  type PeerChange,
} from "../wireguard/configuration.ts";
import {
  type InterfaceIndex,
  parseDecimal,
  parsePrefix,
  parseSocketAddress,
} from "./address_text.ts";
import { parseKeyHex } from "./key_text.ts";

const EQUALS = 0x3d;
const MAX_16_BITS = 65_535;
const MAX_32_BITS = 2 ** 32 - 1;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type PeerDraft = Mutable<Omit<PeerChange, "allowedIps">> & { allowedIps: AllowedIpChange[] };
type DeviceDraft = Mutable<Omit<DeviceChange, "peers">> & { peers: PeerDraft[] };

/** How much one `set` may ask for. */
export interface SetLimits {
  readonly peersMax: number;
  readonly allowedIpsMax: number;
}

const ascii = new TextDecoder("latin1");

/** Collects the lines of one `set`. After an error has been thrown only a new object is of use. */
export class SetParser {
  readonly #limits: SetLimits;
  readonly #interfaceIndex: InterfaceIndex;
  readonly #device: DeviceDraft = { peers: [] };
  #peer: PeerDraft | null = null;
  #allowedIpCount = 0;

  constructor(limits: SetLimits, interfaceIndex: InterfaceIndex) {
    this.#limits = limits;
    this.#interfaceIndex = interfaceIndex;
  }

  /**
   * Takes the line in the bytes `from .. to - 1`, without its end. Throws `ConfigurationError`:
   * EPROTO for what is not `key=value`, EINVAL for a key or value that does not exist.
   */
  line(bytes: Uint8Array, from: number, to: number): void {
    const equals = bytes.indexOf(EQUALS, from);
    if (equals < 0 || equals >= to) {
      throw new ConfigurationError("a line without `=`", Errno.EPROTO);
    }
    const key = ascii.decode(bytes.subarray(from, equals));
    const valueFrom = equals + 1;
    if (key === "public_key") {
      this.#beginPeer(readKey(key, bytes, valueFrom, to));
    } else if (this.#peer === null) {
      this.#deviceLine(this.#device, key, bytes, valueFrom, to);
    } else {
      this.#peerLine(this.#peer, key, bytes, valueFrom, to);
    }
  }

  /** The change that the lines make up. */
  finish(): DeviceChange {
    return this.#device;
  }

  #beginPeer(publicKey: Uint8Array): void {
    if (this.#device.peers.length >= this.#limits.peersMax) throw tooMany("peers");
    this.#peer = { publicKey, allowedIps: [] };
    this.#device.peers.push(this.#peer);
  }

  #deviceLine(
    device: DeviceDraft,
    key: string,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void {
    switch (key) {
      case "private_key":
        device.privateKey = readKey(key, bytes, from, to);
        return;
      case "listen_port":
        device.listenPort = readNumber(key, readText(bytes, from, to), MAX_16_BITS);
        return;
      case "fwmark":
        device.fwmark = readNumber(key, readText(bytes, from, to), MAX_32_BITS);
        return;
      case "replace_peers":
        device.replacePeers = readTrue(key, readText(bytes, from, to));
        return;
      default:
        throw new ConfigurationError("an unknown key of the device", Errno.EINVAL);
    }
  }

  #peerLine(peer: PeerDraft, key: string, bytes: Uint8Array, from: number, to: number): void {
    if (key === "preshared_key") {
      peer.presharedKey = readKey(key, bytes, from, to);
      return;
    }
    const value = readText(bytes, from, to);
    switch (key) {
      case "allowed_ip":
        this.#allowedIp(peer, value);
        return;
      case "endpoint":
        peer.endpoint = parseSocketAddress(value, this.#interfaceIndex) ?? invalid(key);
        return;
      case "persistent_keepalive_interval":
        peer.keepaliveSeconds = readNumber(key, value, MAX_16_BITS);
        return;
      case "update_only":
        peer.updateOnly = readTrue(key, value);
        return;
      case "remove":
        peer.remove = readTrue(key, value);
        return;
      case "replace_allowed_ips":
        peer.replaceAllowedIps = readTrue(key, value);
        // What was given before in the same body is forgotten as well.
        peer.allowedIps.length = 0;
        return;
      case "protocol_version":
        if (value !== "1") invalid(key);
        return;
      default:
        throw new ConfigurationError("an unknown key of a peer", Errno.EINVAL);
    }
  }

  #allowedIp(peer: PeerDraft, value: string): void {
    if (++this.#allowedIpCount > this.#limits.allowedIpsMax) throw tooMany("allowed IPs");
    const remove = value[0] === "-";
    const prefix = parsePrefix(remove ? value.slice(1) : value) ?? invalid("allowed_ip");
    peer.allowedIps.push({ address: prefix.address, bits: prefix.bits, remove });
  }
}

function invalid(key: string): never {
  throw new ConfigurationError(`a bad value of ${key}`, Errno.EINVAL);
}

function tooMany(what: string): ConfigurationError {
  return new ConfigurationError(`too many ${what}`, Errno.EINVAL);
}

function readText(bytes: Uint8Array, from: number, to: number): string {
  return ascii.decode(bytes.subarray(from, to));
}

function readKey(key: string, bytes: Uint8Array, from: number, to: number): Uint8Array {
  return parseKeyHex(bytes, from, to) ?? invalid(key);
}

function readNumber(key: string, text: string, max: number): number {
  const value = parseDecimal(text, max);
  return value < 0 ? invalid(key) : value;
}

function readTrue(key: string, text: string): true {
  return text === "true" ? true : invalid(key);
}
