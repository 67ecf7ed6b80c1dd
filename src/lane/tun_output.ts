/** The write side of a lane's TUN queue: one writev per coalesced item, and what errors mean. */
import { DropReason } from "../base/drop_reason.ts";
import { Errno } from "../base/errno.ts";
import type { GroSink } from "../offload/gro_coalesce.ts";
import { LaneCounter } from "./counters.ts";
import type { LaneContext } from "./lane_context.ts";
import type { TunPort } from "./ports.ts";

/** Writes packets and super-packets to the TUN. */
export class TunOutput implements GroSink {
  readonly #context: LaneContext;
  readonly #tun: TunPort;
  readonly #onGone: () => void;

  constructor(context: LaneContext, tun: TunPort, onGone: () => void) {
    this.#context = context;
    this.#tun = tun;
    this.#onGone = onGone;
  }

  /** Writes one item of `packets` packets; an interface that is down is a counted drop. */
  write(iovecAt: number, iovecCount: number, totalBytes: number, packets = iovecCount): void {
    const counters = this.#context.channels.counters;
    let result = this.#tun.writev(iovecAt, iovecCount);
    while (result === -Errno.EINTR) result = this.#tun.writev(iovecAt, iovecCount);
    if (result >= 0) {
      counters.add(LaneCounter.TunWrites, 1);
      counters.add(LaneCounter.TunWritePackets, packets);
      counters.add(LaneCounter.TunWriteBytes, totalBytes);
      return;
    }
    counters.drop(DropReason.TunWriteFailed, packets);
    if (result === -Errno.EBADFD || result === -Errno.EBADF) this.#onGone();
  }
}
