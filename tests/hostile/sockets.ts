/** Raw access to a network namespace: UDP sockets that live in it, opened by the test itself. */
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { orThrow } from "../../ffi/error.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { cString, fixedBytes } from "../../ffi/memory.ts";
import { openNamespace, withNamespace } from "../../ffi/netns.ts";
import {
  AF_INET,
  interfaceIndex,
  internetAddress,
  MSG_DONTWAIT,
  setIntOption,
  SO_RCVBUFFORCE,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  SOL_UDP,
  UDP_SEGMENT,
} from "../../ffi/socket.ts";

const BUFFER_BYTES = 8 << 20;
const DATAGRAM_BYTES_MAX = 65_536;

const AF_PACKET = 17;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const SOCKADDR_LL_BYTES = 20;

/** Runs `action` in a namespace of `ip netns`. */
export function inside<T>(namespace: string, action: () => T): T {
  const fd = openNamespace(`/run/netns/${namespace}`);
  try {
    return withNamespace(fd, action);
  } finally {
    closeFd(fd);
  }
}

/** Four numbers as the bytes of an IPv4 address. */
export function address4(text: string): Uint8Array {
  return Uint8Array.from(text.split(".").map(Number));
}

/** An IPv4 UDP socket in a namespace. */
export class UdpSocket implements Disposable {
  readonly #fd: number;
  readonly #buffer = fixedBytes(DATAGRAM_BYTES_MAX);

  /** Binds to `local` (any address by default) and a port of the kernel's choice unless given. */
  constructor(namespace: string, options: { local?: string; port?: number } = {}) {
    this.#fd = inside(
      namespace,
      () => orThrow(checked(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), "socket"),
    );
    for (const option of [SO_RCVBUFFORCE, SO_SNDBUFFORCE]) {
      setIntOption(this.#fd, SOL_SOCKET, option, BUFFER_BYTES);
    }
    const name = internetAddress(address4(options.local ?? "0.0.0.0"), options.port ?? 0);
    orThrow(checked(libc().bind(this.#fd, name, name.length)), "bind");
  }

  /** Sends one datagram; a negated errno when the kernel refuses it. */
  send(bytes: Uint8Array, to: Uint8Array<ArrayBuffer>): number {
    const copy = fixedBytes(Math.max(1, bytes.length));
    copy.set(bytes);
    return checked(libc().sendto(this.#fd, copy, bytes.length, MSG_DONTWAIT, to, to.length));
  }

  /** Sends an array from `fixedBytes` without a copy, cut into datagrams of `segmentBytes`. */
  sendRun(
    bytes: Uint8Array<ArrayBuffer>,
    length: number,
    to: Uint8Array<ArrayBuffer>,
    segmentBytes = 0,
  ): number {
    setIntOption(this.#fd, SOL_UDP, UDP_SEGMENT, segmentBytes);
    return checked(libc().sendto(this.#fd, bytes, length, 0, to, to.length));
  }

  /** The next datagram, or null when none comes within `timeoutMs`. */
  receive(timeoutMs: number): Uint8Array | null {
    if (timeoutMs > 0 && pollFd(this.#fd, POLLIN, timeoutMs) <= 0) return null;
    const length = checked(
      libc().recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT),
    );
    return length < 0 ? null : this.#buffer.slice(0, length);
  }

  /** All datagrams that wait. */
  receiveAll(): Uint8Array[] {
    const all: Uint8Array[] = [];
    for (;;) {
      const next = this.receive(0);
      if (next === null) return all;
      all.push(next);
    }
  }

  [Symbol.dispose](): void {
    closeFd(this.#fd);
  }
}

/** Puts IP packets on an interface as they are, past routing and every check of the IP layer. */
export class PacketInjector implements Disposable {
  readonly #fd: number;
  readonly #index: number;

  constructor(namespace: string, device: string) {
    [this.#fd, this.#index] = inside(namespace, () => [
      orThrow(checked(libc().socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), "AF_PACKET"),
      interfaceIndex(cString(device)),
    ]);
  }

  /** Sends a packet; a negated errno when the device refuses it. */
  send(packet: Uint8Array): number {
    const address = fixedBytes(SOCKADDR_LL_BYTES);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, packet[0] >> 4 === 6 ? ETH_P_IPV6 : ETH_P_IP);
    view.setInt32(4, this.#index, true);
    const copy = fixedBytes(Math.max(1, packet.length));
    copy.set(packet);
    return checked(
      libc().sendto(this.#fd, copy, packet.length, MSG_DONTWAIT, address, address.length),
    );
  }

  [Symbol.dispose](): void {
    closeFd(this.#fd);
  }
}
