/**
 * The TUN device (Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h): opening it
 * with vnet headers and segmentation offload, and reading and writing its packets.
 */
import { Errno } from "../src/base/errno.ts";
import {
  closeFd,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  POLLERR,
  pollFd,
  POLLNVAL,
  POLLOUT,
  setInherited,
  setNonBlocking,
} from "./descriptor.ts";
import { SystemCallError } from "./error.ts";
import { interfaceRequest, readInterfaceName } from "./interface.ts";
import { Ifreq, Iovec, VirtioNetHdr } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { cString, type FfiMemory, fixedBytes } from "./memory.ts";

const DEVICE = "/dev/net/tun";

const TUNSETIFF = 0x400454ca;
const TUNGETIFF = 0x800454d2;
const TUNGETFEATURES = 0x800454cf;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const TUNGETDEVNETNS = 0x54e3;

const IFF_TUN = 0x0001;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;

/** What to open, and which offloads to leave off. */
export interface TunOptions {
  /** Up to 15 bytes; a `%d` in it lets the kernel choose a number. */
  readonly name: string;
  /** Opens a queue of an interface that can have several; all its queues must say so. */
  readonly multiQueue?: boolean;
  /** False: no vnet headers, hence no offload at all. */
  readonly vnetHeader?: boolean;
  /** False: the kernel hands over no TCP super-packets. */
  readonly tcpSegmentation?: boolean;
  /** False: the kernel hands over no UDP super-packets. */
  readonly udpSegmentation?: boolean;
}

/** An open queue, and what the kernel has granted. */
export interface TunHandle {
  readonly fd: number;
  /** The interface's name as the kernel tells it; the interface may be renamed later. */
  readonly name: string;
  readonly multiQueue: boolean;
  /** Whether the kernel's reads and writes carry a vnet header. */
  readonly vnetHeader: boolean;
  readonly tcpSegmentation: boolean;
  /** USO, Linux 6.2 and later. */
  readonly udpSegmentation: boolean;
}

/** The queues of one interface, `fd` the first of them. */
export interface TunQueues extends TunHandle {
  readonly fds: readonly number[];
}

const ROOTLESS = "or use the rootless mode, which needs neither (up --mode rootless)";

/**
 * Opens a queue of a TUN interface, non-blocking, and makes the interface when there is none of that
 * name. It is down and without addresses then, and vanishes with its last queue.
 * Throws SystemCallError with a fix.
 */
export function openTun(options: TunOptions): TunHandle {
  const opened = checked(libc().open(cString(DEVICE), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0));
  if (opened < 0) throw new SystemCallError(`open("${DEVICE}")`, -opened, openFix(-opened));
  try {
    return attach(opened, options);
  } catch (error) {
    closeFd(opened);
    throw error;
  }
}

/**
 * Opens `count` queues of one interface, all with the same options. Throws as `openTun` does, and
 * leaves none open then.
 */
export function openTunQueues(options: TunOptions, count: number): TunQueues {
  const first = openTun({ ...options, multiQueue: count > 1 });
  const fds = [first.fd];
  try {
    while (fds.length < count) {
      fds.push(openTun({ ...options, name: first.name, multiQueue: true }).fd);
    }
    return { ...first, fds };
  } catch (error) {
    fds.forEach(closeFd);
    throw error;
  }
}

function openFix(errno: number): string | undefined {
  switch (errno) {
    case Errno.ENOENT:
    case Errno.ENODEV:
    case Errno.ENXIO:
      return `Load the kernel's module "tun" (modprobe tun; in a container, pass ${DEVICE} in); ` +
        ROOTLESS;
    case Errno.EPERM:
    case Errno.EACCES:
      return `Run as root or with CAP_NET_ADMIN and access to ${DEVICE}; ${ROOTLESS}`;
    default:
      return undefined;
  }
}

function attach(fd: number, options: TunOptions): TunHandle {
  const wantsHeader = (options.vnetHeader ?? true) && (tunFeatures(fd) & IFF_VNET_HDR) !== 0;
  const multiQueue = options.multiQueue ?? false;
  const flags = IFF_TUN | IFF_NO_PI | (wantsHeader ? IFF_VNET_HDR : 0) |
    (multiQueue ? IFF_MULTI_QUEUE : 0);
  const request = interfaceRequest(options.name);
  new DataView(request.buffer).setUint16(Ifreq.value, flags, true);
  const attached = checked(libc().ioctl(fd, TUNSETIFF, request));
  if (attached < 0) {
    const call = `ioctl(TUNSETIFF, "${options.name}")`;
    throw new SystemCallError(call, -attached, attachFix(-attached, options.name));
  }
  const name = readInterfaceName(request);
  return { fd, name, multiQueue, ...switchOffloads(fd, wantsHeader, options) };
}

function attachFix(errno: number, name: string): string | undefined {
  switch (errno) {
    case Errno.EPERM:
      return `Run as root or with CAP_NET_ADMIN; ${ROOTLESS}`;
    case Errno.EBUSY:
      return `The interface ${name} is in use by another program: stop it, or choose another name`;
    case Errno.EINVAL:
      return `${name} is not a name for an interface, or there is one of another kind, or with another ` +
        `number of queues (multi_queue, Lanes): choose another name, or remove it ` +
        `(ip link delete ${name})`;
    default:
      return undefined;
  }
}

function tunFeatures(fd: number): number {
  const word = fixedBytes(4);
  const result = checked(libc().ioctl(fd, TUNGETFEATURES, word));
  return result < 0 ? 0 : new DataView(word.buffer).getUint32(0, true);
}

type Offloads = Pick<TunHandle, "vnetHeader" | "tcpSegmentation" | "udpSegmentation">;

/** Switches on what the kernel grants; UDP segmentation may be refused, the others may not. */
function switchOffloads(fd: number, vnetHeader: boolean, options: TunOptions): Offloads {
  if (!vnetHeader) return { vnetHeader, tcpSegmentation: false, udpSegmentation: false };
  const size = fixedBytes(4);
  new DataView(size.buffer).setInt32(0, VirtioNetHdr.bytes, true);
  const sized = checked(libc().ioctl(fd, TUNSETVNETHDRSZ, size));
  if (sized < 0) throw new SystemCallError("ioctl(TUNSETVNETHDRSZ)", -sized);

  const tcpSegmentation = options.tcpSegmentation ?? true;
  const base = TUN_F_CSUM | (tcpSegmentation ? TUN_F_TSO4 | TUN_F_TSO6 : 0);
  const result = setOffload(fd, base);
  if (result < 0) {
    const fix = "Switch the TUN's offload off in the configuration";
    throw new SystemCallError("ioctl(TUNSETOFFLOAD)", -result, fix);
  }
  const udpSegmentation = (options.udpSegmentation ?? true) &&
    setOffload(fd, base | TUN_F_USO4 | TUN_F_USO6) >= 0;
  return { vnetHeader, tcpSegmentation, udpSegmentation };
}

function setOffload(fd: number, offloads: number): number {
  return checked(libc().ioctl_value(fd, TUNSETOFFLOAD, offloads));
}

/**
 * Takes over a TUN that another program has opened (WG_TUN_FD): finds its name and flags, makes it
 * non-blocking and not inherited, and switches on what `options` allow.
 */
export function adoptTun(fd: number, options: Omit<TunOptions, "name"> = {}): TunHandle {
  const request = fixedBytes(Ifreq.bytes);
  const found = checked(libc().ioctl(fd, TUNGETIFF, request));
  const call = `ioctl(${fd}, TUNGETIFF)`;
  if (found < 0) {
    throw new SystemCallError(call, -found, `File descriptor ${fd} is not an open TUN interface`);
  }
  const flags = new DataView(request.buffer).getUint16(Ifreq.value, true);
  if ((flags & IFF_TUN) === 0 || (flags & IFF_NO_PI) === 0) {
    const fix = "The interface must be a TUN opened with IFF_NO_PI, not a TAP";
    throw new SystemCallError(call, Errno.EINVAL, fix);
  }
  setNonBlocking(fd, true);
  setInherited(fd, false);
  return {
    fd,
    name: readInterfaceName(request),
    multiQueue: (flags & IFF_MULTI_QUEUE) !== 0,
    ...switchOffloads(fd, (flags & IFF_VNET_HDR) !== 0, { name: "", ...options }),
  };
}

/** The name that the interface of a queue has now, or undefined once it is gone. */
export function tunName(fd: number): string | undefined {
  const request = fixedBytes(Ifreq.bytes);
  if (libc().ioctl(fd, TUNGETIFF, request) < 0) return undefined;
  return readInterfaceName(request);
}

/**
 * A descriptor of the network namespace that the interface of a queue lives in now, or a negated
 * errno. The caller closes it.
 */
export function tunNamespace(fd: number): number {
  return checked(libc().ioctl_value(fd, TUNGETDEVNETNS, 0));
}

/** What `probeTun` can find. */
export const TunState = { up: "up", down: "down", gone: "gone" } as const;
export type TunState = typeof TunState[keyof typeof TunState];

const nothing = fixedBytes(1);

/**
 * Finds out whether the interface is up; it works in whatever namespace the interface is.
 *
 * A queue is writable only while its interface is up, and in error once that is gone
 * (drivers/net/tun.c, tun_chr_poll). Kernels before 5.1 call it writable always; they refuse a write
 * of zero bytes with EIO while it is down, which newer ones, looking at the length first, do not.
 */
export function probeTun(fd: number): TunState {
  const ready = pollFd(fd, POLLOUT, 0);
  if (ready < 0 || (ready & (POLLERR | POLLNVAL)) !== 0) return TunState.gone;
  if ((ready & POLLOUT) === 0) return TunState.down;
  const result = checked(libc().write(fd, nothing, 0));
  if (result === -Errno.EIO) return TunState.down;
  return result === -Errno.EBADFD ? TunState.gone : TunState.up;
}

/**
 * One queue of a TUN interface as a lane uses it (`TunPort` of src/lane/ports.ts). Packets always
 * begin with a vnet header of 10 bytes: where the kernel has none, `read` puts zeros there and
 * `writev` leaves it out; the caller must then write complete single packets only.
 */
export class TunQueue {
  readonly #read = libc().read_at;
  readonly #writev = libc().writev_at;

  constructor(
    readonly memory: FfiMemory,
    readonly fd: number,
    readonly vnetHeader = true,
  ) {}

  /**
   * Reads one packet or super-packet to `at`; `capacity` counts the vnet header. The length, header
   * included, or a negated errno: EAGAIN when there is none, EINVAL when it does not fit (it is lost
   * then), EBADFD when the interface is gone.
   */
  read(at: number, capacity: number): number {
    if (!this.vnetHeader) return this.#readBare(at, capacity);
    const memory = this.memory;
    return checked(this.#read(this.fd, memory.addressOf(at), capacity));
  }

  /**
   * Writes one packet or super-packet, vnet header first, given as `count` struct iovec at
   * `iovecAt`. The length, or a negated errno: EIO while the interface is down, EINVAL for a header
   * that the kernel refuses, EBADFD when the interface is gone.
   */
  writev(iovecAt: number, count: number): number {
    if (!this.vnetHeader) return this.#writevBare(iovecAt, count);
    return checked(this.#writev(this.fd, this.memory.addressOf(iovecAt), count));
  }

  #readBare(at: number, capacity: number): number {
    const header = VirtioNetHdr.bytes;
    const packetAt = this.memory.addressOf(at + header);
    const n = checked(this.#read(this.fd, packetAt, capacity - header));
    if (n < 0) return n;
    this.memory.u8.fill(0, at, at + header);
    return n + header;
  }

  /** The first iovec holds at least the header; it is put back as it was afterwards. */
  #writevBare(iovecAt: number, count: number): number {
    const header = VirtioNetHdr.bytes;
    const u32 = this.memory.u32;
    const lengthWord = (iovecAt + Iovec.length) >> 2;
    const wholeLength = u32[lengthWord];
    if (wholeLength === header) {
      const rest = this.memory.addressOf(iovecAt + Iovec.bytes);
      const n = checked(this.#writev(this.fd, rest, count - 1));
      return n < 0 ? n : n + header;
    }
    const low = iovecAt >> 2, high = low + 1;
    const wholeLow = u32[low], wholeHigh = u32[high];
    u32[low] = wholeLow + header;
    if (u32[low] < wholeLow) u32[high] = wholeHigh + 1;
    u32[lengthWord] = wholeLength - header;
    const n = checked(this.#writev(this.fd, this.memory.addressOf(iovecAt), count));
    u32[low] = wholeLow;
    u32[high] = wholeHigh;
    u32[lengthWord] = wholeLength;
    return n < 0 ? n : n + header;
  }
}
