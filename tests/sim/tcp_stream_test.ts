/** Streams through bad networks: exact in every case. */
import { assert } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { NewReno } from "../../src/netstack/tcp/new_reno.ts";
import { type LinkFaults, TcpNetwork } from "./tcp_network.ts";
import { transfer } from "./tcp_stream.ts";

const KIB = 1024;

const FAULTS: Readonly<Record<string, Omit<LinkFaults, "delayMs">>> = {
  "nothing": {},
  "loss of 1 %": { lost: 0.01 },
  "loss of 30 %": { lost: 0.3 },
  "duplicates": { duplicated: 0.3 },
  "reordering by 50 ms": { reordered: 0.5, reorderMs: 50 },
  "corruption of 5 %": { corrupted: 0.05 },
  "a bottleneck with a short queue": { bytesPerMs: 1000, queueBytes: 20_000 },
  "all of it": {
    lost: 0.1,
    duplicated: 0.1,
    reordered: 0.3,
    reorderMs: 30,
    corrupted: 0.02,
    bytesPerMs: 5000,
    queueBytes: 100_000,
  },
};

const SHAPES = {
  "super-segments and runs": { a: {}, b: {} },
  "single packets": { a: { gso: false, gro: false }, b: { gso: false, gro: false } },
  "small packets to large ones": { a: { mtu: 576 }, b: { mtu: 9000, gso: false } },
};

for (const [faultName, faults] of Object.entries(FAULTS)) {
  for (const [shapeName, { a, b }] of Object.entries(SHAPES)) {
    for (const takesPieces of [false, true]) {
      const how = takesPieces ? ", taken without a buffer" : "";
      Deno.test(`both streams are exact under ${faultName}, as ${shapeName}${how}`, () => {
        for (let seed = 1; seed <= 8; seed++) {
          const limits = { dataTimeoutMs: 1e9, synTimeoutMs: 1e9, synAckRetries: 30 };
          const network = new TcpNetwork(seed, {
            a: { ...a, limits },
            b: { ...b, limits },
            aToB: { delayMs: 10, ...faults },
            bToA: { delayMs: 10, ...faults },
          });
          transfer(network, { up: 300 * KIB, down: 100 * KIB }, { takesPieces });
        }
      });
    }
  }
}

Deno.test("streams are exact with buffers of any size, readers that pause, and any loss", () => {
  for (let seed = 100; seed < 400; seed++) {
    const random = new SeededRandom(seed);
    const limits = () => ({
      dataTimeoutMs: 1e9,
      synTimeoutMs: 1e9,
      synAckRetries: 30,
      receiveBytesFirst: 4096 << random.below(6),
      receiveBytesMax: 4096 << (6 + random.below(4)),
      sendBytesMax: 65_536 << random.below(4),
    });
    const faults = (): LinkFaults => ({
      delayMs: random.below(60),
      lost: random.below(20) / 100,
      duplicated: random.below(10) / 100,
      reordered: random.below(30) / 100,
      reorderMs: random.below(40),
    });
    const network = new TcpNetwork(seed, {
      a: {
        gso: random.below(2) === 0,
        gro: random.below(2) === 0,
        limits: limits(),
        makeCongestion: seed % 3 === 0 ? () => new NewReno() : undefined,
      },
      b: { gso: random.below(2) === 0, gro: random.below(2) === 0, limits: limits() },
      aToB: faults(),
      bToA: faults(),
    });
    network.tickMs = 500;
    const mayRead = () => Math.floor(network.nowMs / 500) % 2 === 0;
    transfer(network, { up: 200 * KIB, down: 50 * KIB }, { mayRead, takesPieces: seed % 2 === 0 });
  }
});

Deno.test("a path that loses most packets for a while does not end the connection", () => {
  const network = new TcpNetwork(7, {
    a: { limits: { dataTimeoutMs: 1e9 } },
    aToB: { delayMs: 20, lost: 0.6 },
    bToA: { delayMs: 20, lost: 0.3 },
  });
  transfer(network, { up: 20 * KIB }, { untilMs: 1e9 });
});

Deno.test("an empty stream in both directions is opened and closed", () => {
  const network = new TcpNetwork(1, { aToB: { delayMs: 50 }, bToA: { delayMs: 50 } });
  const { tookMs } = transfer(network, { up: 0, down: 0 });
  assert(tookMs <= 250, `${tookMs}`);
});

Deno.test("everything is given back after streams have ended", () => {
  const network = new TcpNetwork(1, {
    aToB: { delayMs: 5, lost: 0.02 },
    bToA: { delayMs: 5, lost: 0.02 },
  });
  transfer(network, { up: 1000 * KIB, down: 1000 * KIB });
  network.run(() => false, network.nowMs + 200_000);
  assert(network.a.pool.usedBytes === 0, `a: ${network.a.pool.usedBytes}`);
  assert(network.b.pool.usedBytes === 0, `b: ${network.b.pool.usedBytes}`);
});
