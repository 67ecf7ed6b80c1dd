/**
 * Changes of links, addresses and routes as they happen.
 *
 * The descriptor becomes readable when there is something; `read` never waits. The kernel drops
 * events when the receive buffer is full and says so once: what has happened is then unknown, and
 * the caller lists again.
 */
import { Errno } from "../src/base/errno.ts";
import { NetlinkSocket } from "./netlink.ts";
import { NetlinkError } from "./netlink_error.ts";
import { type NetlinkReader } from "./netlink_message.ts";
import { RouteMessage } from "./rtnetlink.ts";
import { type InterfaceAddress, readAddress } from "./rtnetlink_address.ts";
import { type Link, linkHasMoved, readLink } from "./rtnetlink_link.ts";
import { isCloned, readRoute, type Route } from "./rtnetlink_route_message.ts";

/** Multicast groups, enum rtnetlink_groups of include/uapi/linux/rtnetlink.h. */
export const EventGroup = {
  RTNLGRP_LINK: 1,
  RTNLGRP_IPV4_IFADDR: 5,
  RTNLGRP_IPV4_ROUTE: 7,
  RTNLGRP_IPV6_IFADDR: 9,
  RTNLGRP_IPV6_ROUTE: 11,
} as const;

/** An interface was made or changed; or, `removed`, deleted or (`moved`) taken to another namespace. */
export interface LinkEvent extends Link {
  readonly kind: "link";
  readonly removed: boolean;
  readonly moved: boolean;
}

/** An address was added or changed, or removed. */
export interface AddressEvent {
  readonly kind: "address";
  readonly removed: boolean;
  readonly address: InterfaceAddress;
}

/** A route was added or changed, or removed. */
export interface RouteEvent {
  readonly kind: "route";
  readonly removed: boolean;
  readonly route: Route;
}

/** Events were lost: the caller lists again. It is always the last one of a `read`. */
export interface OverrunEvent {
  readonly kind: "overrun";
}

/** What `NetlinkEvents.read` returns. */
export type NetlinkEvent = LinkEvent | AddressEvent | RouteEvent | OverrunEvent;

/** Options of `NetlinkEvents.open`. */
export interface NetlinkEventsOptions {
  /** EventGroup values; all of them when left out. */
  readonly groups?: readonly number[];
  /** Watch the namespace of this descriptor in place of the thread's own. */
  readonly namespaceFd?: number;
  readonly receiveBufferBytes?: number;
}

/** Receives per `read`: what is left keeps the descriptor readable. */
const RECEIVES_MAX = 64;
/** Far more messages than a receive buffer holds. */
const DISCARDS_MAX = 100_000;

/** A subscription to the changes in one network namespace. */
export class NetlinkEvents implements Disposable {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Subscribes. Needs no privilege. Throws `SystemCallError`. */
  static open(options: NetlinkEventsOptions = {}): NetlinkEvents {
    const { groups = Object.values(EventGroup), namespaceFd, receiveBufferBytes } = options;
    const socketOptions = { groups, receiveBufferBytes };
    return new NetlinkEvents(
      namespaceFd === undefined
        ? NetlinkSocket.open(socketOptions)
        : NetlinkSocket.openIn(namespaceFd, socketOptions),
    );
  }

  /** The descriptor, for an epoll set. */
  get fd(): number {
    return this.#socket.fd;
  }

  /**
   * The events that are there, oldest first, without waiting. A bounded number per call: the
   * descriptor stays readable when there are more. Throws `NetlinkError`.
   */
  read(): NetlinkEvent[] {
    const events: NetlinkEvent[] = [];
    const keep = (reader: NetlinkReader) => {
      const event = readEvent(reader);
      if (event !== undefined) events.push(event);
    };
    for (let i = 0; i < RECEIVES_MAX; i++) {
      const result = this.#socket.receive(keep);
      if (result === -Errno.EAGAIN) break;
      if (result === -Errno.ENOBUFS) return this.#overrun();
      if (result < 0) throw new NetlinkError("recv of events", -result);
    }
    return events;
  }

  /**
   * The kernel reports the loss before it hands out what was queued earlier. All of that goes away:
   * an old event that is read after the new list would bring back a state that is over.
   */
  #overrun(): NetlinkEvent[] {
    for (let i = 0; i < DISCARDS_MAX; i++) {
      if (this.#socket.receive(() => {}) === -Errno.EAGAIN) break;
    }
    return [{ kind: "overrun" }];
  }

  /** Ends the subscription; closing twice is harmless. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function readEvent(reader: NetlinkReader): NetlinkEvent | undefined {
  switch (reader.type) {
    case RouteMessage.RTM_NEWLINK:
    case RouteMessage.RTM_DELLINK: {
      const link = readLink(reader);
      if (link === undefined) return undefined;
      const removed = reader.type === RouteMessage.RTM_DELLINK;
      return { kind: "link", removed, moved: removed && linkHasMoved(reader), ...link };
    }
    case RouteMessage.RTM_NEWADDR:
    case RouteMessage.RTM_DELADDR: {
      const address = readAddress(reader);
      if (address === undefined) return undefined;
      return { kind: "address", removed: reader.type === RouteMessage.RTM_DELADDR, address };
    }
    case RouteMessage.RTM_NEWROUTE:
    case RouteMessage.RTM_DELROUTE: {
      const route = isCloned(reader) ? undefined : readRoute(reader);
      if (route === undefined) return undefined;
      return { kind: "route", removed: reader.type === RouteMessage.RTM_DELROUTE, route };
    }
    default:
      return undefined;
  }
}
