/** The tables of docs/scaling.md. */
import { table } from "../peers/report/text.ts";
import {
  BESIDE,
  MACHINES,
  MEASURED_RUNS,
  PACKETS_PER_BATCH,
  REPLAY_WINDOW,
  SOCKET_BUFFER_BYTES,
} from "./costs.ts";
import {
  bestForManyPeers,
  bestForOnePeer,
  type Direction,
  gbitOf,
  memoryLimit,
  memoryNeeded,
  packetNs,
  simulateLane,
  simulateTwoCores,
} from "./model.ts";

const DIRECTIONS: readonly Direction[] = ["send", "receive"];
const RATES_GBIT = [10, 40, 100] as const;
const STALL_NS = 5_000_000;
const BATCHES_PER_STALL = 400;

const one = (value: number) => value.toFixed(1);
const percent = (value: number) => `${Math.round(100 * value)} %`;

/** What the model says of the machine that was measured. */
function twoCoresTable(): string {
  const rows = MEASURED_RUNS.map((run) => {
    const simulated = gbitOf(simulateTwoCores(run));
    const off = simulated / run.gbit - 1;
    const sign = off < 0 ? "-" : "+";
    return [
      `${run.encryptors}`,
      run.gbit.toFixed(2),
      simulated.toFixed(2),
      `${sign}${percent(Math.abs(off))}`,
    ];
  });
  return table([["`Encryptors`", "measured", "simulated", "off by"], ...rows]);
}

/** One lane with up to four encryptors, a core for each thread. */
function laneTable(): string {
  const rows = [0, 1, 2, 3, 4].flatMap((encryptors) =>
    DIRECTIONS.map((direction) => {
      const result = simulateLane(direction, encryptors);
      const stalled = simulateLane(direction, encryptors, {
        stall: { everyBatches: BATCHES_PER_STALL, ns: STALL_NS },
      });
      const load = (kind: string) =>
        Math.max(0, ...[...result.busy].filter(([name]) => name.includes(kind)).map(([, b]) => b));
      return [
        `${encryptors}, ${direction}s`,
        one(gbitOf(result)),
        percent(load("lane")),
        encryptors === 0 ? "-" : percent(load("encryptor")),
        encryptors === 0 ? "-" : one(gbitOf(stalled)),
      ];
    })
  );
  const header = ["`Encryptors`", "Gbit/s", "lane busy", "encryptor busy", "with stalls"];
  return table([header, ...rows]);
}

/** What each machine reaches for one peer and for many, and whether that is 10, 40 or 100 Gbit/s. */
function machinesTable(): string {
  const rows = MACHINES.flatMap((machine) =>
    DIRECTIONS.flatMap((direction) =>
      ([["one", bestForOnePeer], ["many", bestForManyPeers]] as const).map(([peers, best]) => {
        const { lanes, encryptors, gbit, busiest } = best(direction, machine.cores);
        const limit = memoryLimit(direction, machine);
        const reached = RATES_GBIT.map((rate) =>
          gbit < rate ? "no" : limit < rate ? "caches" : "yes"
        );
        const first = gbit <= limit ? busiest.replace(/^\w+ /, "").replace(/ \d+$/, "") : "memory";
        return [
          `${machine.name}, ${direction}s, ${peers}`,
          `${lanes} x ${1 + encryptors}`,
          one(gbit),
          one(limit),
          first,
          ...reached,
        ];
      })
    )
  );
  const rates = RATES_GBIT.map((rate) => `${rate}G`);
  return table([
    ["machine, direction, peers", "lanes x threads", "Gbit/s", "memory allows", "first", ...rates],
    ...rows,
  ]);
}

/** What would have to be true for a rate. */
function ratesTable(): string {
  const rows: [string, (gbit: number) => string][] = [
    ["packets per second, millions", (gbit) => (1e3 / packetNs(gbit)).toFixed(2)],
    ["ns per packet for all threads together", (gbit) => packetNs(gbit).toFixed(0)],
    ["lanes that sending takes, at least", (gbit) => lanesFor("send", gbit)],
    ["lanes that receiving takes, at least", (gbit) => lanesFor("receive", gbit)],
    ["encryptors that sealing keeps busy", (gbit) => one(BESIDE.send.cipherNs / packetNs(gbit))],
    ["encryptors that opening keeps busy", (gbit) => one(BESIDE.receive.cipherNs / packetNs(gbit))],
    ["system calls that send, thousands per second", (gbit) => sendsFor(gbit)],
    ["memory, sending, GB/s: all, cached", (gbit) => memoryFor("send", gbit)],
    ["memory, receiving, GB/s: all, cached", (gbit) => memoryFor("receive", gbit)],
    ["reordering that the replay window bears, ms", (gbit) => windowFor(gbit)],
    ["stall until a socket buffer of 2 MiB is full, ms", (gbit) => bufferFor(gbit)],
    ["socket buffer that a stall of 5 ms takes, MB", (gbit) => one(gbit / 8 * STALL_NS / 1e6)],
  ];
  return table([
    ["at", ...RATES_GBIT.map((rate) => `${rate} Gbit/s`)],
    ...rows.map(([what, of]) => [what, ...RATES_GBIT.map(of)]),
  ]);
}

function lanesFor(direction: Direction, gbit: number): string {
  const { beforeNs, afterNs } = BESIDE[direction];
  return one((beforeNs + afterNs) / packetNs(gbit));
}

function sendsFor(gbit: number): string {
  return (1e6 / packetNs(gbit) / PACKETS_PER_BATCH).toFixed(0);
}

function memoryFor(direction: Direction, gbit: number): string {
  const { worst, cached } = memoryNeeded(direction, gbit);
  return `${worst.toFixed(0)}, ${cached.toFixed(0)}`;
}

function windowFor(gbit: number): string {
  return (REPLAY_WINDOW * packetNs(gbit) / 1e6).toFixed(2);
}

function bufferFor(gbit: number): string {
  return (SOCKET_BUFFER_BYTES * 8 / gbit / 1e6).toFixed(2);
}

/** Title and text of every table. */
export function allTables(): readonly (readonly [name: string, text: string])[] {
  return [
    ["two cores", twoCoresTable()],
    ["one lane", laneTable()],
    ["machines", machinesTable()],
    ["rates", ratesTable()],
  ];
}
