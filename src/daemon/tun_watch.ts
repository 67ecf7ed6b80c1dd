/**
 * Follows the TUN interface: is it up, which MTU has it, is it still there, also after somebody has
 * moved it to another network namespace. Netlink events tell at once while it is in our own; that it
 * comes up or vanishes, the descriptor tells in any. The rest is found by a probe once a second.
 *
 * A socket for events in a foreign namespace would be better informed, but it would keep that
 * namespace, and with it the interface, alive after everybody else has let go of it.
 */
import { Errno } from "../base/errno.ts";
import { closeFd } from "../../ffi/descriptor.ts";
import { EPOLLOUT } from "../../ffi/epoll.ts";
import { SystemCallError } from "../../ffi/error.ts";
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
  readonly #endProbes: () => void;
  readonly #tunToken: number;
  #events: NetlinkEvents | null = null;
  #eventsToken = -1;
  #namespace = -1;
  #isBlind = false;
  #isUp = false;
  #mtu = 0;
  #isClosed = false;

  constructor(tunFd: number, reactor: Reactor, observer: TunObserver) {
    this.#tunFd = tunFd;
    this.#reactor = reactor;
    this.#observer = observer;
    this.#tunToken = reactor.watch(tunFd, () => this.#onTunReady(), EPOLLOUT);
    this.#endProbes = reactor.every(PROBE_INTERVAL_MS, () => this.#onProbe());
    this.refresh();
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
    if (this.#follow() || this.#events === null) this.#readMtu();
    this.#tellState(state === TunState.up);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#endProbes();
    this.#reactor.unwatch(this.#tunToken);
    this.#unsubscribe();
  }

  /** The queue has become writable, since the interface is up now, or it is in error: gone. */
  #onTunReady(): void {
    // Where a queue is writable always, this must not come again and again.
    this.#reactor.change(this.#tunToken, 0);
    this.refresh();
  }

  #onProbe(): void {
    this.refresh();
    if (!this.#isClosed && !this.#isUp) this.#reactor.change(this.#tunToken, EPOLLOUT);
  }

  #tellState(isUp: boolean): void {
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    this.#reactor.change(this.#tunToken, isUp ? 0 : EPOLLOUT);
    if (isUp) this.#observer.onUp();
    else this.#observer.onDown();
  }

  /** Whether the interface is in another namespace than before; subscribes to events in our own. */
  #follow(): boolean {
    const namespaceFd = tunNamespace(this.#tunFd);
    const namespace = namespaceFd < 0 ? 0 : namespaceIdentity(namespaceFd);
    try {
      if (namespace === this.#namespace) return false;
      this.#unsubscribe();
      this.#namespace = namespace;
      this.#isBlind = false;
      const isOwn = this.#inNamespace(namespaceFd, (foreignFd) => foreignFd === undefined);
      if (!isOwn) return true;
      const events = NetlinkEvents.open({ groups: [EventGroup.RTNLGRP_LINK] });
      this.#events = events;
      this.#eventsToken = this.#reactor.watch(events.fd, () => this.#onEvents());
    } catch (error) {
      this.#tellBlind(error);
    } finally {
      if (namespaceFd >= 0) closeFd(namespaceFd);
    }
    return true;
  }

  #tellBlind(error: unknown): void {
    if (this.#isBlind) return;
    this.#isBlind = true;
    this.#observer.onBlind(error instanceof Error ? error.message : String(error));
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
    } catch (error) {
      // Or else the interface has just moved or gone: the next probe or event tells.
      if (error instanceof SystemCallError && error.errno === Errno.EPERM) this.#tellBlind(error);
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
