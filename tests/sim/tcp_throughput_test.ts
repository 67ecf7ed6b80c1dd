/**
 * How fast TCP is in simulated networks, kept as a table. The numbers are deterministic; the bounds
 * are wide because any change of the code draws other losses, and at 20 % and more a few long
 * timeouts decide.
 * `LONGHAUL_UPDATE_SNAPSHOTS=1` writes the table anew.
 */
import { assert } from "@std/assert";
import { TcpNetwork } from "./tcp_network.ts";
import { transfer } from "./tcp_stream.ts";

const FILE = new URL("./tcp_throughput.txt", import.meta.url);
const isUpdate = Deno.env.get("LONGHAUL_UPDATE_SNAPSHOTS") === "1";

const MIB = 1 << 20;
/** Receive and send buffers, bytes. */
const BUFFERS = [16, 32, 64, 128, 256, 512, 1024, 4096, 8128].map((kib) => kib << 10);
/** Loss in percent, in both directions. */
const LOSSES = [0, 0.01, 0.1, 1, 3, 10, 20, 30];
const RTT_MS = 100;

/** Streams that one cell is the mean of. */
const SEEDS = [1, 2, 3];

/** KiB per second of virtual time. */
function throughput(bufferBytes: number, lossPercent: number): number {
  const bytes = lossPercent >= 10 ? MIB / 2 : lossPercent >= 1 ? 2 * MIB : 10 * MIB;
  const limits = {
    receiveBytesFirst: bufferBytes,
    receiveBytesMax: bufferBytes,
    sendBytesMax: Math.max(bufferBytes, 65_536),
    dataTimeoutMs: 1e9,
    synTimeoutMs: 1e9,
  };
  const faults = { delayMs: RTT_MS / 2, lost: lossPercent / 100 };
  const seeds = lossPercent === 0 ? [1] : SEEDS;
  let tookMs = 0;
  for (const seed of seeds) {
    const both = { a: { limits }, b: { limits } };
    const network = new TcpNetwork(seed, { ...both, aToB: faults, bToA: faults });
    tookMs += transfer(network, { up: bytes }, { takesPieces: true, untilMs: 1e8 }).tookMs;
  }
  return bytes * seeds.length / 1024 / (tookMs / 1000);
}

function readTable(): Map<string, number> {
  const table = new Map<string, number>();
  const [head, ...rows] = Deno.readTextFileSync(FILE).trimEnd().split("\n").filter((line) =>
    !line.startsWith("#")
  );
  const losses = head.trim().split(/\s+/).slice(1);
  for (const row of rows) {
    const [buffer, ...values] = row.trim().split(/\s+/);
    values.forEach((value, i) => table.set(`${buffer} ${losses[i]}`, Number(value)));
  }
  return table;
}

const measured = new Map<string, number>();

for (const buffer of BUFFERS) {
  Deno.test(`10 MiB at 100 ms with ${buffer >> 10} KiB of buffer are as fast as the table says`, () => {
    const table = isUpdate ? null : readTable();
    for (const loss of LOSSES) {
      const rate = throughput(buffer, loss);
      measured.set(`${buffer >> 10} ${loss}`, rate);
      if (table === null) continue;
      const expected = table.get(`${buffer >> 10} ${loss}`)!;
      const [low, high] = loss === 0 ? [0.95, 1.05] : loss < 20 ? [0.6, 1.7] : [0.1, 10];
      const text = `loss ${loss} %: ${rate.toFixed(0)} KiB/s, the table has ${expected}`;
      assert(rate >= low * expected && rate <= high * expected, text);
    }
  });
}

if (isUpdate) {
  Deno.test("the table is written", () => {
    const cell = (text: string | number) => String(text).padStart(9);
    const lines = [
      "# KiB/s over a path of 100 ms; rows: buffers in KiB, columns: loss in percent.",
      cell("buffer") + LOSSES.map(cell).join(""),
      ...BUFFERS.map((buffer) =>
        cell(buffer >> 10) +
        LOSSES.map((loss) => cell(measured.get(`${buffer >> 10} ${loss}`)!.toFixed(1))).join("")
      ),
    ];
    Deno.writeTextFileSync(FILE, lines.join("\n") + "\n");
  });
}

/** Bytes per ms through a bottleneck of 100 Mbit/s. */
function rateWith(
  rttMs: number,
  faults: { reordered?: number; reorderMs?: number; lost?: number },
  seed = 1,
): number {
  const bottleneck = { bytesPerMs: 12_500 };
  // The window, and not an overflowing queue, is the limit: losses are the ones that are asked for.
  const limits = { receiveBytesMax: 2 * 12_500 * rttMs };
  const network = new TcpNetwork(seed, {
    b: { limits },
    aToB: { delayMs: rttMs / 2, ...bottleneck, ...faults },
    bToA: { delayMs: rttMs / 2 },
  });
  const bytes = 16 * MIB;
  return bytes / transfer(network, { up: bytes }, { takesPieces: true }).tookMs;
}

for (const rttMs of [10, 40, 100]) {
  Deno.test(`light reordering does not cut the throughput at ${rttMs} ms`, () => {
    const straight = rateWith(rttMs, {});
    for (const reordered of [0.001, 0.01, 0.1, 0.5]) {
      for (const share of [0.05, 0.2]) {
        const rate = rateWith(rttMs, { reordered, reorderMs: rttMs * share });
        const text = `${reordered} by up to ${rttMs * share} ms: ${rate.toFixed(0)} of ` +
          `${straight.toFixed(0)} bytes/ms`;
        assert(rate >= 0.85 * straight, text);
      }
    }
  });

  Deno.test(`heavy reordering is learnt: the throughput comes back at ${rttMs} ms`, () => {
    const straight = rateWith(rttMs, {});
    const rate = rateWith(rttMs, { reordered: 0.1, reorderMs: rttMs });
    assert(rate >= 0.4 * straight, `${rate.toFixed(0)} of ${straight.toFixed(0)} bytes/ms`);
  });

  Deno.test(`reordering costs little beside loss at ${rttMs} ms`, () => {
    for (const lost of [0.0001, 0.001, 0.01]) {
      let [with_, without] = [0, 0];
      for (let seed = 1; seed <= 2; seed++) {
        without += rateWith(rttMs, { lost }, seed);
        with_ += rateWith(rttMs, { lost, reordered: 0.02, reorderMs: rttMs * 0.2 }, seed);
      }
      const text = `loss ${lost}: ${with_.toFixed(0)} with, ${without.toFixed(0)} without`;
      assert(with_ >= 0.6 * without, text);
    }
  });
}

Deno.test("a single stream fills a path of 100 Mbit/s and 100 ms", () => {
  assert(rateWith(100, {}) >= 0.6 * 12_500, `${rateWith(100, {})}`);
});
