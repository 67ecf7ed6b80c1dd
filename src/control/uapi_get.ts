/**
 * The answer to `get=1`, made in chunks of bounded size while the client reads: a device with
 * 130,560 allowed IPs has some 4 MB of it. Fields and their order are those of "Cross-platform
 * Interface" of WireGuard.
 */
import type { DeviceStatus, PeerStatus } from "../wireguard/configuration.ts";
import { isZero } from "../wireguard/bytes.ts";
import { formatPrefix, formatSocketAddress } from "./address_text.ts";
import { KEY_BYTES, writeKeyHex } from "./key_text.ts";

const CHUNK_BYTES = 65_536;
/** More than the longest line takes. */
const LINE_BYTES_MAX = 256;

const encoder = new TextEncoder();

/** A key as its bytes, everything else as what its text is made of. */
type FieldValue = Uint8Array | string | number | bigint;
type Field = readonly [name: string, value: FieldValue];

/** Bytes of text under construction; keys are written straight into them, never as strings. */
class TextChunk {
  readonly #bytes = new Uint8Array(CHUNK_BYTES);
  #length = 0;

  get isFull(): boolean {
    return this.#length + LINE_BYTES_MAX > CHUNK_BYTES;
  }

  /** A view of what has been written. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  line(name: string, value: FieldValue): void {
    if (!(value instanceof Uint8Array)) {
      this.#text(`${name}=${value}\n`);
      return;
    }
    this.#text(`${name}=`);
    writeKeyHex(value, this.#bytes, this.#length);
    this.#length += KEY_BYTES * 2;
    this.#text("\n");
  }

  #text(text: string): void {
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
  }
}

/**
 * The lines that tell of a device, without the final `errno`. Each chunk is a new array that belongs
 * to the caller, who wipes it once it is sent: the first holds the private key.
 */
export function* statusChunks(status: DeviceStatus): Generator<Uint8Array, void> {
  let chunk = new TextChunk();
  for (const [name, value] of statusFields(status)) {
    if (chunk.isFull) {
      yield chunk.bytes();
      chunk = new TextChunk();
    }
    chunk.line(name, value);
  }
  yield chunk.bytes();
}

function* statusFields(status: DeviceStatus): Generator<Field, void> {
  const { privateKey, listenPort, fwmark } = status;
  if (privateKey !== null && !isZero(privateKey)) yield ["private_key", privateKey];
  if (listenPort !== 0) yield ["listen_port", listenPort];
  if (fwmark !== 0) yield ["fwmark", fwmark];
  for (const peer of status.peers) yield* peerFields(peer);
}

function* peerFields(peer: PeerStatus): Generator<Field, void> {
  const { endpoint, lastHandshakeWallNs } = peer;
  yield ["public_key", peer.publicKey];
  yield ["preshared_key", peer.presharedKey];
  yield ["protocol_version", 1];
  if (endpoint !== null) yield ["endpoint", formatSocketAddress(endpoint)];
  yield ["last_handshake_time_sec", lastHandshakeWallNs / 1_000_000_000n];
  yield ["last_handshake_time_nsec", lastHandshakeWallNs % 1_000_000_000n];
  yield ["tx_bytes", peer.txBytes];
  yield ["rx_bytes", peer.rxBytes];
  yield ["persistent_keepalive_interval", peer.keepaliveSeconds];
  for (const prefix of peer.allowedIps) yield ["allowed_ip", formatPrefix(prefix)];
}
