/**
 * Changes a running interface: addresses, routes, MTU. What is added comes first and can be taken
 * back; what is removed comes last, when nothing can be refused any more.
 */
import { Errno } from "../base/errno.ts";
import { describeErrno } from "../../ffi/error.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { NetlinkError } from "../../ffi/netlink_error.ts";
import { AddressFamily } from "../../ffi/rtnetlink.ts";
import { addAddress, deleteAddress } from "../../ffi/rtnetlink_address.ts";
import { changeLink, findLinkByName } from "../../ffi/rtnetlink_link.ts";
import { addRoutes, deleteRoutes, listRoutes } from "../../ffi/rtnetlink_route.ts";
import { type Route, RouteProtocol, type RouteSpec } from "../../ffi/rtnetlink_route_message.ts";
import type { NodeDifference } from "../config/node_difference.ts";
import { prefixKey } from "../config/peers.ts";
import type { NodeConfig } from "../config/types.ts";
import { formatPrefix } from "../control/address_text.ts";
import type { Prefix } from "../wireguard/configuration.ts";
import { SetupError } from "./setup_error.ts";
import { tunnelRoutes } from "./tunnel_routes.ts";

/** Routes that are changed in one go; then others get their turn. */
const ROUTES_PER_TURN = 2048;
/** Refused routes that are told one by one. */
const REFUSALS_TOLD = 3;

/** Routes that stand in a table of their own, by `prefixKey`. */
export interface OwnRoutes {
  readonly table: number;
  readonly keys: ReadonlySet<string>;
}

/** A change of an interface in two steps. */
export class InterfaceChange {
  readonly #socket: NetlinkSocket;
  readonly #index: number;
  readonly #mtuBefore: number;
  readonly #difference: NodeDifference;
  readonly #after: NodeConfig;
  readonly #table: number | undefined;
  readonly #own: OwnRoutes | null;
  readonly #added: Prefix[] = [];
  readonly #routesAdded: RouteSpec[] = [];
  #routesRemoved = 0;

  /** `after` is what will have been applied. Throws `SetupError` when the interface is not here. */
  constructor(
    name: string,
    difference: NodeDifference,
    after: NodeConfig,
    own: OwnRoutes | null = null,
  ) {
    this.#socket = NetlinkSocket.open();
    const link = findLinkByName(this.#socket, name);
    if (link === null) {
      this.#socket.close();
      throw new SetupError(`There is no interface ${name} in this network namespace`);
    }
    this.#index = link.index;
    this.#mtuBefore = link.mtu;
    this.#difference = difference;
    this.#after = after;
    this.#own = own;
    const { table } = after.interface;
    this.#table = typeof table === "number" ? table : undefined;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  /** How many routes have been added and removed; networks of addresses have theirs already. */
  get routes(): { added: number; removed: number } {
    return { added: this.#routesAdded.length, removed: this.#routesRemoved };
  }

  /** Adds what is new. Rejects with `SetupError`, and then nothing has changed. */
  async add(): Promise<void> {
    const { addressesAdded, routesAdded, mtu } = this.#difference;
    try {
      for (const prefix of addressesAdded) {
        attempt(`add the address ${formatPrefix(prefix)}`, () => this.#addAddress(prefix));
        this.#added.push(prefix);
      }
      if (mtu !== null) {
        attempt(`set the MTU to ${mtu}`, () => changeLink(this.#socket, this.#index, { mtu }));
      }
      await this.#addRoutes(this.#specs(routesAdded));
    } catch (error) {
      this.takeBack();
      throw error;
    }
  }

  /** Undoes `add`, as far as the kernel lets it. */
  takeBack(): void {
    deleteRoutes(this.#socket, this.#routesAdded);
    for (const { address, bits } of this.#added) this.#deleteAddress({ address, bits });
    if (this.#difference.mtu !== null) {
      try {
        changeLink(this.#socket, this.#index, { mtu: this.#mtuBefore });
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
      }
    }
  }

  /** Removes what is gone. */
  async remove(): Promise<void> {
    const { addressesRemoved, routesRemoved } = this.#difference;
    const routes = this.#present(routesRemoved);
    this.#routesRemoved = routes.length;
    for (let from = 0; from < routes.length; from += ROUTES_PER_TURN) {
      // A route that somebody else has removed is removed.
      deleteRoutes(this.#socket, routes.slice(from, from + ROUTES_PER_TURN));
      await turn();
    }
    if (addressesRemoved.length === 0) return;
    for (const prefix of addressesRemoved) this.#deleteAddress(prefix);
    await this.#restore();
  }

  /**
   * With an IPv4 address the kernel takes away the other ones of its network, and with the last one
   * every route of the interface: puts back what is missing.
   */
  async #restore(): Promise<void> {
    for (const prefix of this.#after.interface.addresses) this.#addAddress(prefix);
    const present = new Set(
      this.#list(undefined).map(({ destination, bits }) =>
        formatPrefix({ address: destination, bits })
      ),
    );
    const missing = this.#specs(this.#after.routes).filter(({ destination, bits }) =>
      !present.has(formatPrefix({ address: destination, bits }))
    );
    for (let from = 0; from < missing.length; from += ROUTES_PER_TURN) {
      addRoutes(this.#socket, missing.slice(from, from + ROUTES_PER_TURN));
      await turn();
    }
  }

  /** The routes of the interface to these prefixes, in whichever table they are. */
  #present(prefixes: readonly Prefix[]): RouteSpec[] {
    if (prefixes.length === 0) return [];
    const wanted = new Set(prefixes.map(formatPrefix));
    return this.#list(undefined)
      .filter(({ destination, bits }) => wanted.has(formatPrefix({ address: destination, bits })))
      .filter(({ protocol }) => protocol === RouteProtocol.RTPROT_STATIC)
      .map(({ destination, bits, table, metric }) => {
        return { destination, bits, table, metric, outInterface: this.#index };
      });
  }

  #list(table: number | undefined): Route[] {
    return [AddressFamily.AF_INET, AddressFamily.AF_INET6].flatMap((family) =>
      listRoutes(this.#socket, {
        family,
        outInterface: this.#index,
        ...(table !== undefined && { table }),
      })
    );
  }

  #specs(prefixes: readonly Prefix[]): RouteSpec[] {
    const own = this.#own, { addresses } = this.#after.interface;
    const isOwn = (prefix: Prefix) => own !== null && own.keys.has(prefixKey(prefix));
    const others = prefixes.filter((prefix) => !isOwn(prefix));
    return [
      ...tunnelRoutes(others, addresses, this.#index, this.#table),
      ...tunnelRoutes(prefixes.filter(isOwn), addresses, this.#index, own?.table),
    ];
  }

  async #addRoutes(routes: readonly RouteSpec[]): Promise<void> {
    for (let from = 0; from < routes.length; from += ROUTES_PER_TURN) {
      const some = routes.slice(from, from + ROUTES_PER_TURN);
      const refusals = addRoutes(this.#socket, some);
      const refused = new Set(refusals.map(({ index }) => index));
      this.#routesAdded.push(...some.filter((_, index) => !refused.has(index)));
      if (refusals.length > 0) {
        const told = refusals.slice(0, REFUSALS_TOLD).map(({ index, errno, kernelMessage }) => {
          const { destination, bits } = some[index];
          const reason = errno === Errno.EEXIST
            ? "there is a route already"
            : kernelMessage || describeErrno(errno);
          return `${formatPrefix({ address: destination, bits })} (${reason})`;
        });
        throw new SetupError(`Cannot route ${told.join(", ")}`);
      }
      await turn();
    }
  }

  #addAddress(prefix: Prefix): void {
    addAddress(this.#socket, { index: this.#index, ...prefix }, { replace: true });
  }

  #deleteAddress({ address, bits }: Prefix): void {
    try {
      deleteAddress(this.#socket, { index: this.#index, address, bits });
    } catch (error) {
      // Somebody else has removed it.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }
}

function attempt(what: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw new SetupError(`Cannot ${what}: ${error.message}`, { cause: error });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
