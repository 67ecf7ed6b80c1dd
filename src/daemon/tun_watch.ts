/**
 * Follows the TUN interface: is it up, which MTU has it, is it still there, also after somebody has
 * moved it to another network namespace. Netlink events tell at once; a probe once a second covers
 * what events cannot (a namespace that this process may not enter).
 */
import { closeFd } from "../../ffi/descriptor.ts";
import { namespaceIdentity, openOwnNamespace } from "../../ffi/netns.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { EventGroup, NetlinkEvents } from "../../ffi/rtnetlink_events.ts";
import { findLinkByName } from "../../ffi/rtnetlink_link.ts";
import { probeTun, tunName, tunNamespace, TunState } from "../../ffi/tun.ts";
import type { Reactor } from "./reactor.ts";

const PROBE_INTERVAL_MS = 1000;

/** What is told about the interface. */
export interface TunObserver {
  onUp(): void;
  onDown(): void;
  onMtu(mtu: number): void;
  onGone(): void;
  /** The interface cannot be asked for its MTU any more; the last one stays in use. */
  onBlind(reason: string): void;
}

/** Watches one TUN interface until `close`. */
export class TunWatch {
  readonly #tunFd: number;
  readonly #reactor: Reactor;
  readonly #observer: TunObserver;
  readonly #probe: ReturnType<typeof setInterval>;
  #events: NetlinkEvents | null = null;
  #eventsToken = -1;
  #namespace = -1;
  #isUp = false;
  #mtu = 0;
  #isClosed = false;

  constructor(tunFd: number, reactor: Reactor, observer: TunObserver) {
    this.#tunFd = tunFd;
    this.#reactor = reactor;
    this.#observer = observer;
    this.refresh();
    this.#probe = setInterval(() => this.refresh(), PROBE_INTERVAL_MS);
  }

  /** Asks the kernel how things are and tells what has changed. */
  refresh(): void {
    if (this.#isClosed) return;
    const state = probeTun(this.#tunFd);
    if (state === TunState.gone) {
      this.close();
      this.#observer.onGone();
      return;
    }
    if (this.#follow()) this.#readMtu();
    this.#tellState(state === TunState.up);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#probe);
    this.#unsubscribe();
  }

  #tellState(isUp: boolean): void {
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    if (isUp) this.#observer.onUp();
    else this.#observer.onDown();
  }

  /** Subscribes in the namespace where the interface is now; false when that was done already. */
  #follow(): boolean {
    const namespaceFd = tunNamespace(this.#tunFd);
    const namespace = namespaceFd < 0 ? 0 : namespaceIdentity(namespaceFd);
    try {
      if (namespace === this.#namespace) return false;
      this.#unsubscribe();
      this.#namespace = namespace;
      const groups = [EventGroup.RTNLGRP_LINK];
      const events = this.#inNamespace(
        namespaceFd,
        (fd) => NetlinkEvents.open(fd === undefined ? { groups } : { groups, namespaceFd: fd }),
      );
      this.#events = events;
      this.#eventsToken = this.#reactor.watch(events.fd, () => this.#onEvents());
    } catch (error) {
      this.#observer.onBlind(error instanceof Error ? error.message : String(error));
    } finally {
      if (namespaceFd >= 0) closeFd(namespaceFd);
    }
    return true;
  }

  #onEvents(): void {
    this.#events?.read();
    this.#readMtu();
    this.refresh();
  }

  #readMtu(): void {
    const name = tunName(this.#tunFd);
    if (name === undefined) return;
    const namespaceFd = tunNamespace(this.#tunFd);
    try {
      const link = this.#inNamespace(namespaceFd, (fd) => {
        using socket = fd === undefined ? NetlinkSocket.open() : NetlinkSocket.openIn(fd);
        return findLinkByName(socket, name);
      });
      if (link === null || link.mtu === this.#mtu) return;
      this.#mtu = link.mtu;
      this.#observer.onMtu(link.mtu);
    } catch {
      // The interface has just moved or gone: the next probe or event tells.
    } finally {
      if (namespaceFd >= 0) closeFd(namespaceFd);
    }
  }

  /** Calls `action` with the namespace's descriptor, or without one when it is our own. */
  #inNamespace<T>(namespaceFd: number, action: (namespaceFd?: number) => T): T {
    if (namespaceFd < 0) return action();
    const own = openOwnNamespace();
    try {
      const isOwn = namespaceIdentity(own) === namespaceIdentity(namespaceFd);
      return isOwn ? action() : action(namespaceFd);
    } finally {
      closeFd(own);
    }
  }

  #unsubscribe(): void {
    if (this.#events === null) return;
    this.#reactor.unwatch(this.#eventsToken);
    this.#events.close();
    this.#events = null;
  }
}
