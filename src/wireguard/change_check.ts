/** Checks of a configuration change that need nothing but the change itself. */
import { Errno } from "../base/errno.ts";
import {
  ConfigurationError,
  type DeviceChange,
  type PeerChange,
  type Prefix,
  type SocketAddress,
} from "./configuration.ts";
import { KEY_BYTES } from "./constants.ts";

function refuse(message: string): never {
  throw new ConfigurationError(message, Errno.EINVAL);
}

function checkKey(what: string, key: Uint8Array | undefined): void {
  if (key === undefined || key.length === KEY_BYTES) return;
  refuse(`Cannot set the ${what}: it has ${key.length} bytes instead of ${KEY_BYTES}`);
}

function checkInteger(what: string, value: number | undefined, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= max)) return;
  refuse(`Cannot set the ${what} to ${value}: it must be an integer from 0 to ${max}`);
}

function checkAddress(what: string, address: Uint8Array): void {
  if (address.length === 4 || address.length === 16) return;
  refuse(`Cannot set the ${what}: its address has ${address.length} bytes instead of 4 or 16`);
}

function checkEndpoint(endpoint: SocketAddress | undefined): void {
  if (endpoint === undefined) return;
  checkAddress("endpoint", endpoint.address);
  checkInteger("endpoint's port", endpoint.port, 65_535);
  checkInteger("endpoint's scope", endpoint.scopeId, 0xffffffff);
}

function checkPrefix(prefix: Prefix): void {
  checkAddress("allowed IP", prefix.address);
  checkInteger("allowed IP's length", prefix.bits, prefix.address.length * 8);
}

function checkPeer(peer: PeerChange): void {
  checkKey("public key of a peer", peer.publicKey);
  checkKey("preshared key", peer.presharedKey);
  checkEndpoint(peer.endpoint);
  checkInteger("persistent keepalive interval", peer.keepaliveSeconds, 65_535);
  for (const prefix of peer.allowedIps) checkPrefix(prefix);
}

/** Throws `ConfigurationError` when a value is out of range. */
export function checkChange(change: DeviceChange): void {
  checkKey("private key", change.privateKey);
  checkInteger("listen port", change.listenPort, 65_535);
  checkInteger("firewall mark", change.fwmark, 0xffffffff);
  for (const peer of change.peers) checkPeer(peer);
}
