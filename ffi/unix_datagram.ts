/**
 * Datagrams to a socket with a path or an abstract name: the journal's and the service manager's.
 * The socket is non-blocking; whoever does not take its datagrams loses them.
 */
import { Errno } from "../src/base/errno.ts";
import { closeFd } from "./descriptor.ts";
import { orThrow, SystemCallError } from "./error.ts";
import { SockaddrUn } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { fixedBytes } from "./memory.ts";
import {
  AF_UNIX,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "./socket.ts";

const ENAMETOOLONG = 36;
const SO_SNDBUF = 7;
/** What systemd's own library asks for. */
const SEND_BUFFER_BYTES = 8 * 1024 * 1024;

/**
 * Two sockets that are connected to each other and keep the bounds of what is written: what one end
 * writes, the other reads. Non-blocking, not inherited. Throws `SystemCallError`.
 */
export function openDatagramPair(): readonly [number, number] {
  const pair = fixedBytes(8);
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  orThrow(checked(libc().socketpair(AF_UNIX, type, 0, pair)), "socketpair");
  const view = new DataView(pair.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

/** A socket that sends to one address until `close`. */
export class DatagramSender {
  readonly #fd: number;
  readonly #address: Uint8Array<ArrayBuffer>;

  /** `name` is a path, or `@name` in the abstract namespace. Throws `SystemCallError`. */
  constructor(name: string) {
    this.#address = datagramAddress(name);
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    this.#fd = orThrow(checked(libc().socket(AF_UNIX, type, 0)), "socket(AF_UNIX)");
    const bytes = fixedBytes(4);
    new DataView(bytes.buffer).setUint32(0, SEND_BUFFER_BYTES, true);
    // The default is used where so much is not allowed.
    libc().setsockopt(this.#fd, SOL_SOCKET, SO_SNDBUF, bytes, 4);
  }

  /** Sends one datagram: its length or a negated errno (EAGAIN: the receiver is behind). */
  send(bytes: Uint8Array<ArrayBuffer>): number {
    const address = this.#address;
    for (;;) {
      const sent = checked(
        libc().sendto(this.#fd, bytes, bytes.length, MSG_NOSIGNAL, address, address.length),
      );
      if (sent !== -Errno.EINTR) return sent;
    }
  }

  close(): void {
    closeFd(this.#fd);
  }
}

/**
 * `struct sockaddr_un` of a path or of `@name`, which stands for a name that begins with a zero byte
 * and has no end but that of the structure.
 */
function datagramAddress(name: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(name);
  const isAbstract = name.startsWith("@");
  const end = text.length + (isAbstract ? 0 : 1);
  if (text.length === 0 || end > SockaddrUn.pathBytes) {
    throw new SystemCallError(`sendto("${name}")`, ENAMETOOLONG);
  }
  const address = fixedBytes(SockaddrUn.path + end);
  new DataView(address.buffer).setUint16(SockaddrUn.family, AF_UNIX, true);
  address.set(text, SockaddrUn.path);
  if (isAbstract) address[SockaddrUn.path] = 0;
  return address;
}
