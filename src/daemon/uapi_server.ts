/**
 * The server of the UAPI socket: accepts connections and moves bytes between them and the protocol
 * sessions. A client that stalls, vanishes or talks too much costs only its own connection.
 */
import { Errno } from "../base/errno.ts";
import { closeFd } from "../../ffi/descriptor.ts";
import { EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import type { PathWatch } from "../../ffi/path_watch.ts";
import { acceptUnix, readSocket, writeSocket } from "../../ffi/unix_socket.ts";
import type { RequestHandlers } from "../control/request.ts";
import { UapiSession } from "../control/uapi.ts";
import type { ConfigurationTarget } from "../wireguard/configuration.ts";
import type { Reactor } from "./reactor.ts";

const CONNECTIONS_MAX = 64;
const READ_BYTES = 64 * 1024;
/** Reads per wake-up, so that one client does not keep main from its other work. */
const READS_PER_VISIT = 16;

/** What the server is made of. */
export interface UapiServerOptions {
  readonly reactor: Reactor;
  readonly target: ConfigurationTarget;
  /** The listening socket. */
  readonly listenerFd: number;
  /** Watches the socket's file; null when it has none. The server closes it. */
  readonly watch: PathWatch | null;
  readonly onSocketRemoved: () => void;
  /** Resolves the zone of a link-local endpoint. */
  readonly interfaceIndex: (name: string) => number;
  /** Requests of our own commands. */
  readonly requests: RequestHandlers;
}

/** Serves until `close`. */
export class UapiServer {
  readonly #options: UapiServerOptions;
  readonly #connections = new Set<Connection>();
  readonly #listenerToken: number;
  #watchToken = -1;

  constructor(options: UapiServerOptions) {
    this.#options = options;
    const { reactor, listenerFd, watch } = options;
    this.#listenerToken = reactor.watch(listenerFd, () => this.#accept());
    if (watch !== null) {
      this.#watchToken = reactor.watch(watch.fd, () => {
        if (watch.isGone()) options.onSocketRemoved();
      });
    }
  }

  /** Closes the listener and every connection; the file is the caller's to remove. */
  close(): void {
    const { reactor, listenerFd, watch } = this.#options;
    for (const connection of this.#connections) connection.close();
    reactor.unwatch(this.#listenerToken);
    closeFd(listenerFd);
    if (watch === null) return;
    reactor.unwatch(this.#watchToken);
    watch.close();
  }

  #accept(): void {
    for (;;) {
      const fd = acceptUnix(this.#options.listenerFd);
      if (fd < 0) return;
      if (this.#connections.size >= CONNECTIONS_MAX) closeFd(fd);
      else this.#connections.add(this.#serve(fd));
    }
  }

  #serve(fd: number): Connection {
    const { reactor, target, interfaceIndex, requests } = this.#options;
    const session = new UapiSession(target, {
      interfaceIndex,
      requests,
      onOutput: () => connection.onOutput(),
    });
    const connection: Connection = new Connection(fd, reactor, session, () => {
      this.#connections.delete(connection);
    });
    return connection;
  }
}

class Connection {
  /** -1 while an answer is being made: a client that leaves meanwhile must not wake main up. */
  #token: number;
  readonly #buffer = new Uint8Array(READ_BYTES);
  #unsent: Uint8Array<ArrayBuffer> | null = null;
  #isClosed = false;

  constructor(
    readonly fd: number,
    readonly reactor: Reactor,
    readonly session: UapiSession,
    readonly onClosed: () => void,
  ) {
    this.#token = reactor.watch(fd, () => this.#onReady());
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#buffer.fill(0);
    this.reactor.unwatch(this.#token);
    closeFd(this.fd);
    this.onClosed();
  }

  /** The session has an answer that it could not give at once. */
  onOutput(): void {
    if (this.#isClosed) return;
    this.#token = this.reactor.watch(this.fd, () => this.#onReady());
    this.#onReady();
  }

  #onReady(): void {
    for (let i = 0; i < READS_PER_VISIT; i++) {
      if (!this.#write()) return;
      if (this.session.closed) return this.close();
      if (!this.session.wantsInput) break;
      const bytes = readSocket(this.fd, this.#buffer);
      if (bytes === -Errno.EAGAIN) break;
      if (bytes <= 0) return this.close();
      this.session.onData(this.#buffer.subarray(0, bytes));
    }
    if (!this.#write()) return;
    if (this.session.closed) return this.close();
    if (this.session.wantsInput) return;
    this.reactor.unwatch(this.#token);
    this.#token = -1;
  }

  /** Sends what the session has to say; false when the client has to read first, or is gone. */
  #write(): boolean {
    for (;;) {
      this.#unsent ??= this.session.pollOutput() as Uint8Array<ArrayBuffer> | null;
      if (this.#unsent === null) {
        this.reactor.change(this.#token, EPOLLIN);
        return true;
      }
      const written = writeSocket(this.fd, this.#unsent);
      if (written === -Errno.EAGAIN) {
        this.reactor.change(this.#token, EPOLLOUT);
        return false;
      }
      if (written < 0) {
        this.close();
        return false;
      }
      this.#unsent.fill(0, 0, written);
      this.#unsent = written === this.#unsent.length ? null : this.#unsent.subarray(written);
    }
  }
}
