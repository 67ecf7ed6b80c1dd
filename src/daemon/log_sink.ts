/**
 * Where log lines go. No sink ever throws or waits: a full disk, a closed pipe or a reader that has
 * stopped costs lines, which are counted and told of once there is room again, and nothing else.
 */
import { pollFd, POLLOUT, writeAllFd } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { DatagramSender } from "../../ffi/unix_datagram.ts";

/** Takes one line, or one datagram; false when it is lost. */
export type LogSink = (bytes: Uint8Array<ArrayBuffer>) => boolean;

/** A sink that writes to a descriptor, as long as that takes a line without waiting. */
export function descriptorSink(fd: number): LogSink {
  return (bytes) => {
    // A pipe that polls as writable takes 4,096 bytes at once (pipe(7)); lines are shorter.
    if ((pollFd(fd, POLLOUT, 0) & POLLOUT) === 0) return false;
    return writeAllFd(fd, bytes) === bytes.length;
  };
}

/** A sink that sends datagrams; null when there is no such socket. */
export function datagramSink(name: string): LogSink | null {
  try {
    const sender = new DatagramSender(name);
    return (bytes) => sender.send(bytes) === bytes.length;
  } catch (error) {
    if (error instanceof SystemCallError) return null;
    throw error;
  }
}

/** Writes to a sink and keeps count of what is lost. */
export class CountingSink {
  readonly #sink: LogSink;
  #lost = 0;

  constructor(sink: LogSink) {
    this.#sink = sink;
  }

  /** `tellLoss` makes the line that says how many were lost. */
  write(bytes: Uint8Array<ArrayBuffer>, tellLoss: (lost: number) => Uint8Array<ArrayBuffer>): void {
    if (this.#lost > 0) {
      if (!this.#sink(tellLoss(this.#lost))) {
        this.#lost++;
        return;
      }
      this.#lost = 0;
    }
    if (!this.#sink(bytes)) this.#lost++;
  }
}
