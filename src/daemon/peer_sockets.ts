/**
 * The UDP sockets of a node, a group of one IPv4 and one IPv6 socket for each lane, all on one port:
 * opened when the interface goes up, closed when it goes down, exchanged when the port changes. Lanes
 * use the same descriptors; old ones are closed only after every lane has taken the new ones.
 */
import { Errno } from "../base/errno.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { setSocketMark, socketDrops } from "../../ffi/socket.ts";
import { openUdpGroup } from "../../ffi/udp_group.ts";
import { closeUdpSockets, type UdpSockets } from "../../ffi/udp_open.ts";
import { ConfigurationError } from "../wireguard/configuration.ts";

/** Options of the sockets that do not change. */
export interface PeerSocketOptions {
  readonly bufferBytes: number;
  readonly gro: boolean;
  readonly lanes: number;
  /** Tells the lanes to use these descriptors (-1 for none), by the lane's number. */
  readonly announce: (lanes: readonly LaneSockets[]) => void;
}

/** The descriptors of one lane. */
export type LaneSockets = Pick<UdpSockets, "v4" | "v6">;

/** The sockets of all lanes, which share a port. */
type SocketGroup = readonly UdpSockets[];

/** The sockets, and what they are to be. */
export class PeerSockets {
  readonly #options: PeerSocketOptions;
  #wantedPort = 0;
  /** The port that the last sockets had: peers know it, so the next ones try to get it again. */
  #lastPort = 0;
  #fwmark = 0;
  #open: SocketGroup | null = null;
  /** Whether the sockets ought to be open; they are not if the port was taken. */
  #isUp = false;
  /** Sockets that lanes may still be using; their ports are not free yet. */
  readonly #retired: SocketGroup[] = [];
  /** What closed sockets had dropped. */
  #dropsOfClosed = 0;

  constructor(options: PeerSocketOptions) {
    this.#options = options;
  }

  /** The port in use, or the one that is wanted while the sockets are closed; 0 for any. */
  get port(): number {
    return this.#open?.[0].port ?? this.#wantedPort;
  }

  /** Whether the sockets are open. */
  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Datagrams that the kernel has thrown away because a socket's buffer was full. */
  get overflowDrops(): number {
    return this.#dropsOfClosed + dropsOf(this.#all());
  }

  /** Opens the sockets if they are closed. Throws `SystemCallError` (EADDRINUSE). */
  open(): void {
    this.#isUp = true;
    if (this.#open === null) this.#use(this.#obtainAgain());
  }

  /** Closes the sockets; the lanes let go of them first. */
  close(): void {
    this.#isUp = false;
    if (this.#open === null) return;
    this.#retired.push(this.#open);
    this.#open = null;
    this.#options.announce(Array.from({ length: this.#options.lanes }, () => ({ v4: -1, v6: -1 })));
  }

  /**
   * Changes port and mark together; throws `ConfigurationError`, and keeps both as they were, when
   * the port is taken or the mark not allowed. A port is tried out even while the sockets are
   * closed: whoever sets it learns at once that it is taken, not only when the interface goes up.
   */
  set(port: number, fwmark: number): void {
    const oldFwmark = this.#fwmark;
    this.#setFwmark(fwmark);
    try {
      this.#setPort(port);
    } catch (error) {
      this.#setFwmark(oldFwmark);
      throw error;
    }
  }

  #setPort(port: number): void {
    const hasOpen = this.#open !== null;
    if (port === this.#wantedPort && hasOpen === this.#isUp) return;
    if (!this.#isUp) {
      if (port !== 0) this.#tryOut(port);
    } else if (port === 0 || port !== this.#open?.[0].port) {
      const fresh = asConfigurationError(() => this.#obtain(port));
      if (this.#open !== null) this.#retired.push(this.#open);
      this.#use(fresh);
    }
    this.#wantedPort = port;
    if (!this.#isUp) this.#lastPort = port;
  }

  #setFwmark(fwmark: number): void {
    for (const fd of this.#all().flatMap(({ v4, v6 }) => [v4, v6])) {
      const result = fd < 0 ? 0 : setSocketMark(fd, fwmark);
      if (result < 0) {
        throw new ConfigurationError("Cannot set the fwmark: it needs CAP_NET_ADMIN", -result);
      }
    }
    this.#fwmark = fwmark;
  }

  /** Closes what is no longer used; call when every lane has taken the newest sockets. */
  closeRetired(): void {
    for (const group of this.#retired.splice(0)) {
      this.#dropsOfClosed += dropsOf(group);
      group.forEach(closeUdpSockets);
    }
  }

  /** The sockets that are open, those that lanes may still be using included. */
  #all(): UdpSockets[] {
    return [...this.#open ?? [], ...this.#retired.flat()];
  }

  #use(group: SocketGroup): void {
    this.#open = group;
    this.#lastPort = group[0].port;
    this.#options.announce(group);
  }

  /** Sockets on `port`: those that are being given up if they have it, else new ones. */
  #obtain(port: number): SocketGroup {
    const index = this.#retired.findIndex((group) => group[0].port === port);
    return index < 0 ? this.#make(port) : this.#retired.splice(index, 1)[0];
  }

  /** Sockets on the port that is wanted, or, if any will do, on the last one as far as it is free. */
  #obtainAgain(): SocketGroup {
    if (this.#wantedPort !== 0 || this.#lastPort === 0) return this.#obtain(this.#wantedPort);
    try {
      return this.#obtain(this.#lastPort);
    } catch (error) {
      const isTaken = error instanceof SystemCallError && error.errno === Errno.EADDRINUSE;
      if (!isTaken) throw error;
      return this.#obtain(0);
    }
  }

  /** Throws `ConfigurationError` when the port cannot be had. */
  #tryOut(port: number): void {
    if (this.#retired.some((group) => group[0].port === port)) return;
    asConfigurationError(() => this.#make(port)).forEach(closeUdpSockets);
  }

  #make(port: number): SocketGroup {
    const { bufferBytes, gro, lanes } = this.#options;
    return openUdpGroup({ port, bufferBytes, gro, fwmark: this.#fwmark }, lanes);
  }
}

function dropsOf(sockets: readonly UdpSockets[]): number {
  return sockets.flatMap(({ v4, v6 }) => [v4, v6])
    .reduce((sum, fd) => fd < 0 ? sum : sum + socketDrops(fd), 0);
}

function asConfigurationError<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new ConfigurationError(error.message, error.errno, { cause: error });
  }
}
