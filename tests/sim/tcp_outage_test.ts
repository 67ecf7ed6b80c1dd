/** Outages of the path, pauses of the process, and clocks that jump: the stream goes on, and soon. */
import { assert } from "@std/assert";
import { type LinkFaults, TcpNetwork } from "./tcp_network.ts";
import { transfer } from "./tcp_stream.ts";

const MIB = 1 << 20;
const RTT_MS = 20;
const PATH: LinkFaults = { delayMs: RTT_MS / 2, bytesPerMs: 12_500, queueBytes: 500_000 };
const BYTES = 40 * MIB;

function plain(): { tookMs: number; packets: number } {
  const network = new TcpNetwork(1, { aToB: PATH, bToA: PATH });
  const { tookMs } = transfer(network, { up: BYTES }, { takesPieces: true });
  return { tookMs, packets: network.a.packetsOut };
}

for (const seconds of [0.1, 1, 10, 60, 150]) {
  for (const direction of ["both directions", "the way there", "the way back"]) {
    Deno.test(`an outage of ${seconds} s in ${direction} costs at most three times as much`, () => {
      const isDown = (nowMs: number) => nowMs > 2000 && nowMs < 2000 + seconds * 1000;
      const faulty = { ...PATH, isDown };
      const network = new TcpNetwork(1, {
        aToB: direction === "the way back" ? PATH : faulty,
        bToA: direction === "the way there" ? PATH : faulty,
      });
      const { tookMs } = transfer(network, { up: BYTES }, { takesPieces: true });
      const lostMs = tookMs - plain().tookMs;
      // A timeout doubles: the first attempt after the outage comes within its length, or a minute.
      assert(lostMs <= 2 * Math.max(seconds * 1000, 400) + 1500, `${lostMs} ms were lost`);
    });
  }
}

for (const end of ["sender", "receiver"]) {
  Deno.test(`a pause of 100 ms of the ${end} sends hardly anything twice`, () => {
    const network = new TcpNetwork(1, { aToB: PATH, bToA: PATH });
    let isNext = true;
    const { tookMs } = transfer(network, { up: BYTES }, {
      takesPieces: true,
      mayRead: () => {
        const host = end === "sender" ? network.a : network.b;
        if (isNext && network.nowMs > 2000) {
          isNext = false;
          host.pausedUntilMs = network.nowMs + 100;
        }
        return true;
      },
    });
    const expected = plain();
    const more = network.a.packetsOut - expected.packets;
    assert(more <= 0.01 * expected.packets, `${more} packets more`);
    assert(tookMs <= expected.tookMs + 400, `${tookMs - expected.tookMs} ms were lost`);
  });
}

/** Both ends sleep for ten minutes at `atMs`; for `lostMs` before it everything is lost. */
function sleepAt(atMs: number, lostMs: number, closesWindow = false): void {
  const isDown = (nowMs: number) => nowMs > atMs - lostMs && nowMs <= atMs;
  const path = { ...PATH, isDown };
  const network = new TcpNetwork(1, { aToB: path, bToA: path });
  network.tickMs = 50;
  let isAwake = true;
  transfer(network, { up: BYTES }, {
    mayRead: () => {
      if (isAwake && network.nowMs > atMs) {
        isAwake = false;
        network.nowMs += 600_000;
      }
      return !closesWindow || network.nowMs < 1500 || !isAwake;
    },
  });
}

for (const lostMs of [0, 50, 1000, 60_000]) {
  Deno.test(`after ten minutes of sleep, ${lostMs} ms into an outage, the stream goes on`, () => {
    sleepAt(2000 + lostMs, lostMs);
  });
}

Deno.test("after ten minutes of sleep with a closed window the stream goes on", () => {
  for (const lostMs of [0, 1000, 20_000]) sleepAt(3000 + lostMs, lostMs, true);
});
