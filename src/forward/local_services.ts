/**
 * Local services: ports of this host that peers reach at the node's tunnel addresses. A service is a
 * range of ports and where they lead to; what is not listed is refused.
 */

/** The two transports that are forwarded. */
export type Transport = "tcp" | "udp";

/** In the place of an address: the name servers of this host. */
export const RESOLVER = "resolver";

/** A range of ports of the tunnel addresses, and the socket address behind them. */
export interface LocalService {
  readonly transport: Transport;
  /** The range, both ends included. */
  readonly firstPort: number;
  readonly lastPort: number;
  /**
   * Where it leads, 4 or 16 bytes; null for this host's loopback, of the flow's family first; or the
   * name servers that this host asks.
   */
  readonly host: Uint8Array | null | typeof RESOLVER;
  /** The port there that belongs to `firstPort`; the others of the range follow it. */
  readonly port: number;
}

/** Where one flow is to be connected to. */
export interface ServiceTarget {
  /** Addresses to try in this order: the next one when the one before refuses. */
  readonly addresses: readonly Uint8Array[];
  readonly port: number;
  /** Whether the peer has named the address itself: this node is a hop on the way there. */
  readonly isRouted: boolean;
  /** Whether the addresses are those of name servers, any of which will do. */
  readonly isResolver?: boolean;
}

const LOOPBACK_V4 = Uint8Array.of(127, 0, 0, 1);
const LOOPBACK_V6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
/** A service that listens on one loopback address only is reached over both families. */
const LOOPBACKS_OF_V4 = [LOOPBACK_V4, LOOPBACK_V6];
const LOOPBACKS_OF_V6 = [LOOPBACK_V6, LOOPBACK_V4];

/** Finds the service of a port. */
export class ServiceTable {
  readonly #tcp: readonly LocalService[];
  readonly #udp: readonly LocalService[];
  #resolvers: readonly Uint8Array[];

  /** Where ranges overlap, the later one counts. */
  constructor(services: readonly LocalService[], resolvers: readonly Uint8Array[] = []) {
    this.#resolvers = resolvers;
    const latestFirst = services.toReversed();
    this.#tcp = latestFirst.filter(({ transport }) => transport === "tcp");
    this.#udp = latestFirst.filter(({ transport }) => transport === "udp");
  }

  /** Where `port` leads, null when it is not offered. */
  find(transport: Transport, port: number, ipVersion: 4 | 6): ServiceTarget | null {
    const services = transport === "tcp" ? this.#tcp : this.#udp;
    for (const service of services) {
      if (port < service.firstPort || port > service.lastPort) continue;
      const addresses = this.#addressesOf(service, ipVersion);
      if (addresses.length === 0) return null;
      return {
        addresses,
        port: service.port + port - service.firstPort,
        isRouted: false,
        ...(service.host === RESOLVER && { isResolver: true }),
      };
    }
    return null;
  }

  /** A name server does not answer: the others are asked first from now on. */
  demoteResolver(address: Uint8Array): void {
    const isIt = (other: Uint8Array) => String(other) === String(address);
    this.#resolvers = [
      ...this.#resolvers.filter((other) => !isIt(other)),
      ...this.#resolvers.filter(isIt),
    ];
  }

  #addressesOf({ host }: LocalService, ipVersion: 4 | 6): readonly Uint8Array[] {
    if (host === RESOLVER) return this.#resolvers;
    if (host !== null) return [host];
    return ipVersion === 4 ? LOOPBACKS_OF_V4 : LOOPBACKS_OF_V6;
  }
}
