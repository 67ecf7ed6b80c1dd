/**
 * The UDP sockets of a node: opened when the interface goes up, closed when it goes down, exchanged
 * when the port changes. Lanes use the same descriptors; old ones are closed only after every lane
 * has taken the new ones.
 */
import { Errno } from "../base/errno.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { setSocketMark, socketDrops } from "../../ffi/socket.ts";
import { closeUdpSockets, openUdpSockets, type UdpSockets } from "../../ffi/udp_open.ts";
import { ConfigurationError } from "../wireguard/configuration.ts";

/** Options of the sockets that do not change. */
export interface PeerSocketOptions {
  readonly bufferBytes: number;
  readonly gro: boolean;
  /** Tells the lanes to use these descriptors (-1 for none). */
  readonly announce: (sockets: { readonly v4: number; readonly v6: number }) => void;
}

const NONE = { v4: -1, v6: -1 } as const;

/** The sockets, and what they are to be. */
export class PeerSockets {
  readonly #options: PeerSocketOptions;
  #wantedPort = 0;
  /** The port that the last sockets had: peers know it, so the next ones try to get it again. */
  #lastPort = 0;
  #fwmark = 0;
  #open: UdpSockets | null = null;
  /** Whether the sockets ought to be open; they are not if the port was taken. */
  #isUp = false;
  /** Sockets that lanes may still be using; their ports are not free yet. */
  readonly #retired: UdpSockets[] = [];
  /** What closed sockets had dropped. */
  #dropsOfClosed = 0;

  constructor(options: PeerSocketOptions) {
    this.#options = options;
  }

  /** The port in use, or the one that is wanted while the sockets are closed; 0 for any. */
  get port(): number {
    return this.#open?.port ?? this.#wantedPort;
  }

  /** Whether the sockets are open. */
  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Datagrams that the kernel has thrown away because a socket's buffer was full. */
  get overflowDrops(): number {
    const all = this.#open === null ? this.#retired : [this.#open, ...this.#retired];
    return this.#dropsOfClosed + all.reduce((sum, sockets) => sum + dropsOf(sockets), 0);
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
    this.#options.announce(NONE);
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
    } else if (port === 0 || port !== this.#open?.port) {
      const fresh = asConfigurationError(() => this.#obtain(port));
      if (this.#open !== null) this.#retired.push(this.#open);
      this.#use(fresh);
    }
    this.#wantedPort = port;
    if (!this.#isUp) this.#lastPort = port;
  }

  #setFwmark(fwmark: number): void {
    const all = this.#open === null ? this.#retired : [this.#open, ...this.#retired];
    for (const fd of all.flatMap(({ v4, v6 }) => [v4, v6])) {
      const result = fd < 0 ? 0 : setSocketMark(fd, fwmark);
      if (result < 0) {
        throw new ConfigurationError("Cannot set the fwmark: it needs CAP_NET_ADMIN", -result);
      }
    }
    this.#fwmark = fwmark;
  }

  /** Closes what is no longer used; call when every lane has taken the newest sockets. */
  closeRetired(): void {
    for (const sockets of this.#retired.splice(0)) {
      this.#dropsOfClosed += dropsOf(sockets);
      closeUdpSockets(sockets);
    }
  }

  #use(sockets: UdpSockets): void {
    this.#open = sockets;
    this.#lastPort = sockets.port;
    this.#options.announce(sockets);
  }

  /** Sockets on `port`: those that are being given up if they have it, else new ones. */
  #obtain(port: number): UdpSockets {
    const index = this.#retired.findIndex((sockets) => sockets.port === port);
    return index < 0 ? this.#make(port) : this.#retired.splice(index, 1)[0];
  }

  /** Sockets on the port that is wanted, or, if any will do, on the last one as far as it is free. */
  #obtainAgain(): UdpSockets {
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
    if (this.#retired.some((sockets) => sockets.port === port)) return;
    closeUdpSockets(asConfigurationError(() => this.#make(port)));
  }

  #make(port: number): UdpSockets {
    const { bufferBytes, gro } = this.#options;
    return openUdpSockets({ port, bufferBytes, gro, fwmark: this.#fwmark });
  }
}

function dropsOf({ v4, v6 }: UdpSockets): number {
  return [v4, v6].reduce((sum, fd) => fd < 0 ? sum : sum + socketDrops(fd), 0);
}

function asConfigurationError<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    throw new ConfigurationError(error.message, error.errno, { cause: error });
  }
}
