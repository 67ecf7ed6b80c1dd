/**
 * Notices that peers have moved. The lanes follow a peer within a packet and tell nobody, since that
 * is their hot path; the node compares versions with each beat.
 */
import { formatSocketAddress } from "../control/address_text.ts";
import { toHex } from "../wireguard/bytes.ts";
import type { PeerTraffic } from "../wireguard/device.ts";
import type { SocketAddress } from "../wireguard/configuration.ts";

/** Equal to no version, so that the next look compares addresses. */
const UNKNOWN_VERSION = NaN;

/** Told of a peer that is somewhere else than before. */
export type EndpointObserver = (publicKey: Uint8Array, from: string, to: string) => void;

interface Known {
  readonly version: number;
  /** Null while it has none. */
  readonly text: string | null;
}

/** Remembers where the peers were. */
export class EndpointWatch {
  readonly #endpointOf: (keyText: string) => SocketAddress | null;
  readonly #onChange: EndpointObserver;
  #known = new Map<string, Known>();

  constructor(
    endpointOf: (keyText: string) => SocketAddress | null,
    onChange: EndpointObserver,
  ) {
    this.#endpointOf = endpointOf;
    this.#onChange = onChange;
  }

  /** Remembers where one peer is, between looks: it has just been heard of. */
  note(publicKey: Uint8Array): void {
    const keyText = toHex(publicKey);
    const endpoint = this.#endpointOf(keyText);
    if (endpoint === null) return;
    const text = formatSocketAddress(endpoint);
    const from = this.#known.get(keyText)?.text ?? null;
    this.#known.set(keyText, { version: UNKNOWN_VERSION, text });
    if (from !== null && from !== text) this.#onChange(publicKey, from, text);
  }

  /** Looks at all peers; tells those whose endpoint was known and is another one now. */
  look(peers: Iterable<PeerTraffic>): void {
    const known = new Map<string, Known>();
    for (const { publicKey, keyText, endpointVersion } of peers) {
      const before = this.#known.get(keyText);
      if (before?.version === endpointVersion) {
        known.set(keyText, before);
        continue;
      }
      const endpoint = this.#endpointOf(keyText);
      const text = endpoint === null ? null : formatSocketAddress(endpoint);
      known.set(keyText, { version: endpointVersion, text });
      const from = before?.text ?? null;
      if (from !== null && text !== null && from !== text) this.#onChange(publicKey, from, text);
    }
    this.#known = known;
  }
}
