/**
 * Which port of the host stands for a port of a peer: the same one for all destinations that the peer
 * sends to from there (RFC 4787 REQ-1, "Endpoint-Independent Mapping"), so that peers can find each
 * other through the node as through a well-behaved NAT. Who may answer is another question: only the
 * destination of each flow, since its socket is connected.
 */
import type { UdpFlow } from "../netstack/udp_socket.ts";

/** One port of a peer. */
export interface UdpMapping {
  readonly key: string;
  /** The host's port; 0 until the first socket has one. */
  hostPort: number;
  flows: number;
}

/** The mappings of one lane. */
export class UdpMappings {
  readonly #byPeer = new Map<string, UdpMapping>();

  /** Ports of peers that have flows. */
  get size(): number {
    return this.#byPeer.size;
  }

  /** The mapping of a flow's peer, for one flow more. */
  of({ remoteAddress, remotePort }: UdpFlow): UdpMapping {
    const key = `${remoteAddress}:${remotePort}`;
    let mapping = this.#byPeer.get(key);
    if (mapping === undefined) this.#byPeer.set(key, mapping = { key, hostPort: 0, flows: 0 });
    mapping.flows++;
    return mapping;
  }

  /** One flow less. */
  release(mapping: UdpMapping): void {
    if (--mapping.flows === 0) this.#byPeer.delete(mapping.key);
  }
}
