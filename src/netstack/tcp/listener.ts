/** Who takes SYNs for which address and port. */
import type { TcpAcceptor } from "./tcp_socket.ts";

/** A listening port; `close` ends it, connections that it has accepted go on. */
export class TcpListener {
  constructor(
    /** Null for any of our own addresses. */
    readonly address: Uint8Array | null,
    readonly port: number,
    readonly acceptor: TcpAcceptor,
    readonly table: ListenerTable,
  ) {}

  /** Takes no more SYNs. */
  close(): void {
    this.table.remove(this);
  }
}

/** The listeners of a layer. */
export class ListenerTable {
  readonly #byPort = new Map<number, TcpListener[]>();

  /** Adds one; throws when the address and port are taken. */
  add(address: Uint8Array | null, port: number, acceptor: TcpAcceptor): TcpListener {
    const list = this.#byPort.get(port) ?? [];
    if (list.some((other) => isSame(other.address, address))) {
      throw new Error(`Cannot listen on port ${port}: somebody listens there already`);
    }
    const listener = new TcpListener(address, port, acceptor, this);
    list.push(listener);
    this.#byPort.set(port, list);
    return listener;
  }

  /** Takes one out. */
  remove(listener: TcpListener): void {
    const list = this.#byPort.get(listener.port)?.filter((other) => other !== listener) ?? [];
    if (list.length > 0) this.#byPort.set(listener.port, list);
    else this.#byPort.delete(listener.port);
  }

  /**
   * Whoever takes SYNs for `port` of the address (4 or 16 bytes) at `at`: exact ones first, then, if
   * the address is our own, who listens on any.
   */
  find(
    bytes: Uint8Array,
    at: number,
    length: number,
    port: number,
    isLocal: boolean,
  ): TcpAcceptor | null {
    const list = this.#byPort.get(port);
    if (list === undefined) return null;
    let found: TcpAcceptor | null = null;
    for (const { address, acceptor } of list) {
      if (address === null) found ??= isLocal ? acceptor : null;
      else if (isAt(address, bytes, at, length)) return acceptor;
    }
    return found;
  }
}

function isSame(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return isAt(a, b, 0, b.length);
}

function isAt(address: Uint8Array, bytes: Uint8Array, at: number, length: number): boolean {
  if (address.length !== length) return false;
  for (let i = 0; i < length; i++) if (address[i] !== bytes[at + i]) return false;
  return true;
}
