/**
 * The other end of `bench PEER`: gives and takes bytes, and echoes messages, for whoever connects to an
 * address of a tunnel or of the loopback (as a node without an interface does for its peers). One thread,
 * which blocks until something is ready.
 */
import { systemClock } from "../../ffi/clock.ts";
import { closeFd } from "../../ffi/descriptor.ts";
import { Epoll, EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { NetlinkSocket } from "../../ffi/netlink.ts";
import { listAddresses } from "../../ffi/rtnetlink_address.ts";
import { listLinks } from "../../ffi/rtnetlink_link.ts";
import { localAddress } from "../../ffi/socket.ts";
import { acceptTcp, listenTcp, receiveTcp, sendTcp, shutdownTcp } from "../../ffi/tcp_socket.ts";
import { Errno } from "../base/errno.ts";
import {
  CHUNK_BYTES,
  decodeMessage,
  encodeMessage,
  type Hello,
  MESSAGE_BYTES,
  parseHello,
  PeerTask,
  StreamMeter,
  takenText,
} from "./peer_protocol.ts";

/** Connections that measure at once: a client has two. */
const MEASURING_MAX = 8;
/** All connections; what is beyond is closed. */
const CONNECTIONS_MAX = 32;
/** A connection on which nothing moves is closed. */
const IDLE_MS = 15_000;
/** Chunks before others get their turn. */
const TURN_CHUNKS = 8;
const LISTENER = 0;
/** Kinds of interfaces that are tunnels of WireGuard. */
const TUNNEL_KINDS = ["tun", "wireguard"];

const chunk = fixedBytes(CHUNK_BYTES);

/** One client. */
class Connection {
  hello: Hello | null = null;
  readonly #message = fixedBytes(MESSAGE_BYTES);
  #messageBytes = 0;
  #meter: StreamMeter | null = null;
  #untilMs = 0;
  #isDone = false;
  lastMs: number;

  /** `mayBegin` says whether there is room for one more that measures. */
  constructor(readonly fd: number, nowMs: number, readonly mayBegin: () => boolean) {
    this.lastMs = nowMs;
  }

  /** What to wait for. */
  get events(): number {
    return this.hello?.task === PeerTask.Give && !this.#isDone ? EPOLLIN | EPOLLOUT : EPOLLIN;
  }

  /** Does what can be done; false when the connection is over. */
  serve(): boolean {
    switch (this.hello?.task) {
      case PeerTask.Take:
        return this.#take();
      case PeerTask.Give:
        return this.#give();
      default:
        return this.#readMessages();
    }
  }

  #readMessages(): boolean {
    for (;;) {
      const n = receiveTcp(this.fd, this.#message.subarray(this.#messageBytes));
      if (n <= 0) return n === -Errno.EAGAIN;
      this.lastMs = systemClock.nowMs();
      this.#messageBytes += n;
      if (this.#messageBytes < MESSAGE_BYTES) continue;
      this.#messageBytes = 0;
      if (this.hello === null) return this.#begin();
      if (sendTcp(this.fd, this.#message) !== MESSAGE_BYTES) return false;
    }
  }

  /** What follows the first message is served at the next event: the client waits for the answer. */
  #begin(): boolean {
    const hello = parseHello(decodeMessage(this.#message));
    if (hello === null) return false;
    // Told only now: closing with something unread would take the answer back.
    if (!this.mayBegin()) {
      sendTcp(this.fd, encodeMessage("busy"));
      return false;
    }
    this.hello = hello;
    this.#meter = new StreamMeter(this.hello.durationMs);
    this.#untilMs = systemClock.nowMs() + this.hello.durationMs;
    return sendTcp(this.fd, encodeMessage("ok")) === MESSAGE_BYTES;
  }

  #take(): boolean {
    for (let i = 0; i < TURN_CHUNKS; i++) {
      const n = receiveTcp(this.fd, chunk);
      if (n === -Errno.EAGAIN) return true;
      if (n < 0) return false;
      if (n === 0) {
        sendTcp(this.fd, encodeMessage(takenText(this.#meter!.counted)));
        return false;
      }
      this.lastMs = systemClock.nowMs();
      this.#meter!.note(n, this.lastMs);
    }
    return true;
  }

  #give(): boolean {
    // The client says no more, so anything to read is the end, or an error.
    if (this.#isDone) return receiveTcp(this.fd, chunk) === -Errno.EAGAIN;
    for (let i = 0; i < TURN_CHUNKS; i++) {
      const n = sendTcp(this.fd, chunk);
      if (n === -Errno.EAGAIN) break;
      if (n < 0) return false;
      this.lastMs = systemClock.nowMs();
    }
    if (systemClock.nowMs() < this.#untilMs) return true;
    this.#isDone = true;
    shutdownTcp(this.fd);
    return true;
  }
}

/** Serves until the process ends. Throws `SystemCallError` when the port is taken. */
export class PeerServer {
  readonly #epoll = new Epoll();
  readonly #listener: number;
  readonly #connections = new Map<number, Connection>();
  #nextToken = LISTENER + 1;

  /** `onRefused` is told of connections that came in at an address that is no tunnel's. */
  constructor(
    port: number,
    readonly onTask: (hello: Hello) => void,
    readonly onRefused: () => void,
  ) {
    this.#listener = listenTcp(port);
    this.#epoll.add(this.#listener, EPOLLIN, LISTENER);
  }

  /** Waits for `timeoutMs` at most and does what is to be done. */
  turn(timeoutMs: number): void {
    const count = this.#epoll.wait(timeoutMs);
    for (let i = 0; i < count; i++) {
      const token = this.#epoll.tokenAt(i);
      if (token === LISTENER) this.#accept();
      else this.#serve(token);
    }
    const nowMs = systemClock.nowMs();
    for (const [token, { lastMs }] of this.#connections) {
      if (nowMs - lastMs > IDLE_MS) this.#close(token);
    }
  }

  #accept(): void {
    for (let fd = acceptTcp(this.#listener); fd >= 0; fd = acceptTcp(this.#listener)) {
      const address = localAddress(fd);
      const isAllowed = address !== null && isInside(address);
      if (!isAllowed) this.onRefused();
      if (!isAllowed || this.#connections.size >= CONNECTIONS_MAX) {
        closeFd(fd);
        continue;
      }
      const token = this.#nextToken++;
      const connection = new Connection(fd, systemClock.nowMs(), () => this.#hasRoom);
      this.#connections.set(token, connection);
      this.#epoll.add(fd, EPOLLIN, token);
    }
  }

  get #hasRoom(): boolean {
    let measuring = 0;
    for (const { hello } of this.#connections.values()) if (hello !== null) measuring++;
    return measuring < MEASURING_MAX;
  }

  #serve(token: number): void {
    const connection = this.#connections.get(token);
    if (connection === undefined) return;
    const { events, hello } = connection;
    if (!connection.serve()) return this.#close(token);
    if (hello === null && connection.hello !== null) this.onTask(connection.hello);
    if (connection.events !== events) this.#epoll.modify(connection.fd, connection.events, token);
  }

  #close(token: number): void {
    const connection = this.#connections.get(token);
    if (connection === undefined) return;
    this.#epoll.remove(connection.fd);
    closeFd(connection.fd);
    this.#connections.delete(token);
  }
}

/** Whether an address of this host is its loopback's or a tunnel's; asked anew for each connection. */
function isInside(address: Uint8Array): boolean {
  const own = withoutMapping(address);
  if (isLoopback(own)) return true;
  using socket = NetlinkSocket.open();
  const tunnels = listLinks(socket)
    .flatMap(({ infoKind, index }) => TUNNEL_KINDS.includes(infoKind) ? [index] : []);
  return listAddresses(socket).some(({ index, address }) =>
    tunnels.includes(index) && address.length === own.length &&
    address.every((byte, i) => byte === own[i])
  );
}

/** `::ffff:192.0.2.1` is what an IPv6 socket calls an IPv4 address. */
function withoutMapping(address: Uint8Array): Uint8Array {
  const isMapped = address.length === 16 && address[10] === 0xff && address[11] === 0xff &&
    address.subarray(0, 10).every((byte) => byte === 0);
  return isMapped ? address.subarray(12) : address;
}

function isLoopback(address: Uint8Array): boolean {
  return address.length === 4
    ? address[0] === 127
    : address[15] === 1 && address.subarray(0, 15).every((byte) => byte === 0);
}
