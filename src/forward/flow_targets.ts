/**
 * Where a flow of a peer leads: at our own tunnel addresses to a local service, at any other address to
 * that address itself, if the node serves it. The packet's destination has passed the stack's policy
 * by then (`ServePolicy`); what takes a look at the host, or at the peers, is asked here, once per
 * flow.
 */
import type { AddressPrefix } from "../tables/allowed_ips_node.ts";
import {
  type LocalService,
  ServiceTable,
  type ServiceTarget,
  type Transport,
} from "./local_services.ts";
import { ServePolicy } from "./serve_policy.ts";

/** Why a flow leads nowhere. */
export const NoTarget = {
  /** A port of our own that is not among the local services. */
  NotOffered: 0,
  /** An address that may not be reached through this node. */
  Prohibited: 1,
} as const;
/** One of the values of `NoTarget`. */
export type NoTarget = (typeof NoTarget)[keyof typeof NoTarget];

/** The stack's side of a flow: what a peer wants to reach. */
export interface FlowDestination {
  readonly ipVersion: 4 | 6;
  readonly localAddress: Uint8Array;
  readonly localPort: number;
}

/** What forwarding has to know of its surroundings; asked once per flow. */
export interface Surroundings {
  /** Whether this host itself answers at the address. */
  isOwnAddress(address: Uint8Array): boolean;
  /** Length of the longest allowed-IPs prefix of any peer that holds the address; -1 for none. */
  peerPrefixBits(address: Uint8Array): number;
  /** The peer that owns that prefix, by a number; -1 for none. */
  peerOf(address: Uint8Array): number;
}

/** A socket address. */
export interface AddressAndPort {
  readonly address: Uint8Array;
  readonly port: number;
}

/** What may be reached, as main has written it. */
export interface Reachable {
  readonly services: readonly LocalService[];
  /** Name servers that services of the resolver lead to, the first one first. */
  readonly resolvers?: readonly Uint8Array[];
  /** The stack's own addresses; without any, every flow is taken for one to our own. */
  readonly addresses?: readonly AddressPrefix[];
  /** Prefixes of `Serve`. */
  readonly served?: readonly AddressPrefix[];
  /** Where the peers' WireGuard sockets are: UDP to them would carry the tunnel in itself. */
  readonly endpoints?: readonly AddressAndPort[];
}

/** Finds the target of a flow. */
export class FlowTargets {
  readonly policy: ServePolicy;
  readonly #services: ServiceTable;
  readonly #own: ReadonlySet<string>;
  readonly #endpoints: ReadonlySet<string>;
  readonly #surroundings: Surroundings | null;

  constructor(reachable: Reachable, surroundings: Surroundings | null = null) {
    const { services, resolvers, addresses, served, endpoints } = reachable;
    this.policy = new ServePolicy(served ?? []);
    this.#services = new ServiceTable(services, resolvers);
    this.#own = new Set(addresses?.map(({ address }) => String(address)));
    this.#endpoints = new Set(endpoints?.map(({ address, port }) => `${address}:${port}`));
    this.#surroundings = surroundings;
  }

  /** Where a TCP or UDP flow leads. */
  find(transport: Transport, flow: FlowDestination): ServiceTarget | NoTarget {
    const { localAddress, localPort, ipVersion } = flow;
    if (this.policy.isEmpty || this.#own.has(String(localAddress))) {
      return this.#services.find(transport, localPort, ipVersion) ?? NoTarget.NotOffered;
    }
    const isTunnel = transport === "udp" && this.#endpoints.has(`${localAddress}:${localPort}`);
    if (isTunnel || !this.mayReach(localAddress)) return NoTarget.Prohibited;
    return { addresses: [localAddress], port: localPort, isRouted: true };
  }

  /** A name server does not answer: the others are asked first from now on. */
  demoteResolver(address: Uint8Array): void {
    this.#services.demoteResolver(address);
  }

  /**
   * Who is counted as the client of a flow from `address`: the peer, whatever addresses it has, so that
   * one with a whole network cannot take all there is.
   */
  clientOf(address: Uint8Array): string {
    const peer = this.#surroundings?.peerOf(address) ?? -1;
    return peer >= 0 ? `peer ${peer}` : String(address);
  }

  /**
   * Whether a peer may reach an address that the policy lets pass: this host's own addresses only
   * where they are listed in full, and those of peers only where `Serve` is as exact as their allowed
   * IPs.
   */
  mayReach(address: Uint8Array): boolean {
    const surroundings = this.#surroundings;
    if (surroundings === null) return true;
    const view = new DataView(address.buffer, address.byteOffset, address.length);
    const servedBits = this.policy.servedBits(view, 0, address.length === 4 ? 4 : 6);
    if (surroundings.peerPrefixBits(address) > servedBits) return false;
    return servedBits === address.length * 8 || !surroundings.isOwnAddress(address);
  }
}
