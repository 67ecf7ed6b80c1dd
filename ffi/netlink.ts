/**
 * A NETLINK_ROUTE socket: requests with acknowledgement, dumps, batches and events.
 *
 * The kernel handles a request inside `send`, so an answer is there when `send` returns; the bounded
 * wait is for the rare case in which it is not. Every call is synchronous. Answers are matched by
 * sequence number, so an answer that came after its request was given up disturbs no later one.
 *
 * The socket is connected to the kernel (port 0): the kernel then refuses messages of other
 * processes. NETLINK_EXT_ACK makes it explain a refusal in words, NETLINK_CAP_ACK keeps it from
 * sending the request back, and NETLINK_GET_STRICT_CHK makes it filter dumps.
 *
 * An open socket stays in the network namespace where it was opened.
 */
import { Errno } from "../src/base/errno.ts";
import { closeFd, POLLIN } from "./descriptor.ts";
import { orThrow } from "./error.ts";
import { Pollfd } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { fixedBytes } from "./memory.ts";
import { errorNumber, errorWords, NetlinkError, throwRefusal } from "./netlink_error.ts";
import { NetlinkControl, NetlinkFlag, NetlinkReader, NetlinkWriter } from "./netlink_message.ts";
import { withNamespace } from "./netns.ts";
import {
  setIntOption,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "./socket.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const { NLMSG_ERROR, NLMSG_DONE } = NetlinkControl;

/**
 * ```c
 * struct sockaddr_nl {            // include/uapi/linux/netlink.h
 *   __kernel_sa_family_t nl_family; // 0
 *   unsigned short nl_pad;        // 2
 *   __u32 nl_pid;                 // 4, 0 is the kernel
 *   __u32 nl_groups;              // 8
 * };
 * ```
 */
export const SockaddrNl = { size: 12, nl_family: 0, nl_pid: 4, nl_groups: 8 } as const;

/** The kernel fills at most 32 KiB per receive of a dump. */
const RECEIVE_BYTES = 65536;
const DUMP_ATTEMPTS_MAX = 10;
/**
 * Requests per send. Each refused one is answered, and all answers must fit the receive buffer at
 * once: about 1 KiB of it each, where the default buffer is 208 KiB.
 */
const BATCH_REQUESTS_MAX = 128;
const DEFAULT_TIMEOUT_MS = 5000;

/** A request of a batch that the kernel refused. */
export interface NetlinkFailure {
  /** Which request of the batch. */
  readonly index: number;
  readonly errno: number;
  /** What the kernel says about it, or an empty string. */
  readonly kernelMessage: string;
}

/** Options of `NetlinkSocket.open`. */
export interface NetlinkSocketOptions {
  /** Multicast groups (RTNLGRP_*) to receive events of. */
  readonly groups?: readonly number[];
  /** Size of the receive buffer; above the system's limit only with CAP_NET_ADMIN. */
  readonly receiveBufferBytes?: number;
  /** How long the kernel may be silent while an answer is due. */
  readonly timeoutMs?: number;
}

/** Appends one request's fixed header and attributes. */
export type BuildRequest = (writer: NetlinkWriter) => void;

/** A socket for requests, or, with `groups`, for events. One user at a time; not for two threads. */
export class NetlinkSocket implements Disposable {
  /** The descriptor, for an epoll set. */
  readonly fd: number;
  readonly #timeoutMs: number;
  readonly #writer = new NetlinkWriter();
  readonly #reader = new NetlinkReader(fixedBytes(RECEIVE_BYTES));
  readonly #pollFd = fixedBytes(Pollfd.bytes);
  #sequence = 0;
  #closed = false;

  private constructor(fd: number, timeoutMs: number) {
    this.fd = fd;
    this.#timeoutMs = timeoutMs;
    const view = new DataView(this.#pollFd.buffer);
    view.setInt32(Pollfd.fd, fd, true);
    view.setInt16(Pollfd.events, POLLIN, true);
  }

  /** Opens a socket in the calling thread's namespace. Throws `SystemCallError`. */
  static open(options: NetlinkSocketOptions = {}): NetlinkSocket {
    const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const fd = orThrow(
      checked(libc().socket(AF_NETLINK, type, NETLINK_ROUTE)),
      "socket(AF_NETLINK)",
    );
    try {
      configure(fd, options);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new NetlinkSocket(fd, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  }

  /** Opens a socket in the namespace of `netnsFd`. Throws `SystemCallError`. */
  static openIn(netnsFd: number, options: NetlinkSocketOptions = {}): NetlinkSocket {
    return withNamespace(netnsFd, () => NetlinkSocket.open(options));
  }

  /**
   * Sends one request that changes something and waits for its acknowledgement. `call` says in
   * words what is asked and begins the message of the `NetlinkError` that a refusal throws.
   */
  request(call: string, type: number, flags: number, build: BuildRequest): void {
    this.#send(call, type, flags | NetlinkFlag.NLM_F_ACK, build);
    this.#collect(call, this.#sequence, (reader) => {
      if (reader.type !== NLMSG_ERROR) return false;
      throwRefusal(call, reader);
      return true;
    });
  }

  /** Sends one request that is answered by one message, and returns what `read` makes of it. */
  query<T>(
    call: string,
    type: number,
    build: BuildRequest,
    read: (reader: NetlinkReader) => T,
  ): T {
    this.#send(call, type, 0, build);
    let result: T | undefined;
    this.#collect(call, this.#sequence, (reader) => {
      if (reader.type === NLMSG_ERROR) throwRefusal(call, reader);
      result = read(reader);
      return true;
    });
    return result as T;
  }

  /**
   * Lists: returns what `read` makes of every message of a dump, `undefined` leaving one out. A
   * dump that the kernel marks as inconsistent (NLM_F_DUMP_INTR) is repeated; after ten such dumps
   * in a row it throws a `NetlinkError` with EBUSY.
   */
  dump<T>(
    call: string,
    type: number,
    build: BuildRequest,
    read: (reader: NetlinkReader) => T | undefined,
  ): T[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS_MAX; attempt++) {
      const items: T[] = [];
      let interrupted = false;
      this.#send(call, type, NetlinkFlag.NLM_F_DUMP, build);
      this.#collect(call, this.#sequence, (reader) => {
        if ((reader.flags & NetlinkFlag.NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (reader.type === NLMSG_ERROR || reader.type === NLMSG_DONE) {
          throwRefusal(call, reader);
          return true;
        }
        const item = read(reader);
        if (item !== undefined) items.push(item);
        return false;
      });
      if (!interrupted) return items;
    }
    throw new NetlinkError(`${call}, a list that kept changing`, Errno.EBUSY);
  }

  /**
   * Sends `count` requests, many per system call, and returns the refused ones in order; a refused
   * one does not stop those behind it. Only the last request of a send asks for an acknowledgement,
   * refusals are answered always: that acknowledgement says that all others were done.
   */
  requestMany(
    call: string,
    count: number,
    type: number,
    flags: number,
    build: (writer: NetlinkWriter, index: number) => void,
  ): NetlinkFailure[] {
    const failures: NetlinkFailure[] = [];
    for (let from = 0; from < count; from += BATCH_REQUESTS_MAX) {
      const until = Math.min(count, from + BATCH_REQUESTS_MAX);
      this.#requestBatch(call, from, until, type, flags, build, failures);
    }
    return failures;
  }

  #requestBatch(
    call: string,
    from: number,
    until: number,
    type: number,
    flags: number,
    build: (writer: NetlinkWriter, index: number) => void,
    failures: NetlinkFailure[],
  ): void {
    const writer = this.#writer;
    writer.reset();
    const firstSequence = this.#takeSequences(until - from);
    const lastSequence = firstSequence + (until - from) - 1;
    for (let index = from; index < until; index++) {
      const ack = index === until - 1 ? NetlinkFlag.NLM_F_ACK : 0;
      writer.begin(type, NetlinkFlag.NLM_F_REQUEST | flags | ack, firstSequence + index - from);
      build(writer, index);
      writer.end();
    }
    this.#sendWritten(call);
    this.#collect(call, firstSequence, (reader) => {
      if (reader.type !== NLMSG_ERROR) return false;
      const errno = errorNumber(reader);
      if (errno !== 0) {
        const index = from + (reader.sequence - firstSequence);
        failures.push({ index, errno, kernelMessage: errorWords(reader) });
      }
      return reader.sequence === lastSequence;
    });
  }

  /**
   * Receives once without waiting and calls `visit` for each message. Returns how many bytes came,
   * or a negated errno: `-EAGAIN` when there is nothing, `-ENOBUFS` when events were lost.
   */
  receive(visit: (reader: NetlinkReader) => void): number {
    const length = this.#receiveOnce();
    if (length < 0) return length;
    this.#reader.reset(length);
    while (this.#reader.next()) visit(this.#reader);
    return length;
  }

  /** Closes the socket; closing twice is harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Reserves consecutive sequence numbers that do not wrap inside one batch. */
  #takeSequences(count: number): number {
    if (this.#sequence + count > 0xffffffff) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  #send(call: string, type: number, flags: number, build: BuildRequest): void {
    const writer = this.#writer;
    writer.reset();
    writer.begin(type, NetlinkFlag.NLM_F_REQUEST | flags, this.#takeSequences(1));
    build(writer);
    writer.end();
    this.#sendWritten(call);
  }

  #sendWritten(call: string): void {
    const bytes = this.#writer.written;
    for (;;) {
      const result = checked(libc().send(this.fd, bytes, bytes.length, 0));
      if (result >= 0) return;
      if (result !== -Errno.EINTR) throw new NetlinkError(`send of ${call}`, -result);
    }
  }

  /**
   * Gives messages whose sequence number is at least `firstSequence` to `take` until it returns
   * true. When `take` throws, the rest of the answer is dropped by its sequence number.
   */
  #collect(
    call: string,
    firstSequence: number,
    take: (reader: NetlinkReader) => boolean,
  ): void {
    const reader = this.#reader;
    for (;;) {
      const length = this.#receiveOnce();
      if (length === -Errno.EAGAIN) {
        this.#await(call);
        continue;
      }
      if (length < 0) throw new NetlinkError(`answer to ${call}`, -length);
      reader.reset(length);
      while (reader.next()) {
        const ours = reader.sequence >= firstSequence && reader.sequence <= this.#sequence;
        if (ours && take(reader)) return;
      }
    }
  }

  /** Waits until something can be received. The limit starts anew with each part of an answer. */
  #await(call: string): void {
    const deadlineMs = performance.now() + this.#timeoutMs;
    for (;;) {
      const leftMs = Math.ceil(deadlineMs - performance.now());
      if (leftMs <= 0) throw new NetlinkError(`answer to ${call}`, Errno.ETIMEDOUT);
      const ready = checked(libc().poll(this.#pollFd, 1, leftMs));
      if (ready > 0) return;
      if (ready < 0 && ready !== -Errno.EINTR) throw new NetlinkError(`poll for ${call}`, -ready);
    }
  }

  /** One datagram into the reader's buffer: its length, or a negated errno. */
  #receiveOnce(): number {
    const bytes = this.#reader.bytes;
    for (;;) {
      const length = checked(libc().recv(this.fd, bytes, bytes.length, MSG_TRUNC));
      if (length > bytes.length) return -Errno.EMSGSIZE;
      if (length !== -Errno.EINTR) return length;
    }
  }
}

function configure(fd: number, options: NetlinkSocketOptions): void {
  // Kernels before 4.20 lack some of these: errors are then terse and dumps unfiltered, which the
  // readers of dumps allow for.
  setIntOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  setIntOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  setIntOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  const bufferBytes = options.receiveBufferBytes;
  if (bufferBytes !== undefined && setIntOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes) < 0) {
    setIntOption(fd, SOL_SOCKET, SO_RCVBUF, bufferBytes);
  }
  const kernel = fixedBytes(SockaddrNl.size);
  new DataView(kernel.buffer).setUint16(SockaddrNl.nl_family, AF_NETLINK, true);
  orThrow(checked(libc().connect(fd, kernel, kernel.length)), "connect(AF_NETLINK)");
  for (const group of options.groups ?? []) {
    const result = setIntOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    orThrow(result, `setsockopt(NETLINK_ADD_MEMBERSHIP, ${group})`);
  }
}
