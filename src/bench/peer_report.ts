/** What `bench PEER` has found, for programs and for people. */
import type { Painter } from "../daemon/terminal.ts";
import type { Machine } from "./machine.ts";
import type { RoundTripFigures, StreamDirection, StreamFigures } from "./peer_client.ts";
import { digits } from "./table.ts";

/** Raised when the same figures would come from other work. */
export const PEER_BENCH_SCHEMA = 1;

/** One run; fields may be added. */
export interface PeerBenchReport {
  readonly schema: number;
  readonly program: "longhaul bench PEER";
  readonly version: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly machine: Machine;
  /** Null where it was given by an address and could not be asked about. */
  readonly interface: string | null;
  readonly peer: { readonly name: string | null; readonly publicKey: string | null };
  readonly address: string;
  readonly idle: RoundTripFigures;
  readonly toPeer: StreamFigures;
  readonly fromPeer: StreamFigures;
}

const NAME_WIDTH = 16;
const RATE_WIDTH = 16;
const TRIP_WIDTH = 16;

/** The line above the figures. */
export function peerHeadLine(paint: Painter): string {
  const cells = ["throughput".padStart(RATE_WIDTH), "round trip p50".padStart(TRIP_WIDTH)];
  return paint("bold", "".padEnd(NAME_WIDTH) + cells.join("") + "p99".padStart(TRIP_WIDTH));
}

/** Round trips alone. */
export function idleLine(figures: RoundTripFigures): string {
  return "  idle".padEnd(NAME_WIDTH) + "-".padStart(RATE_WIDTH) + tripCells(figures);
}

/** A stream with the round trips beside it. */
export function streamLine(direction: StreamDirection, figures: StreamFigures): string {
  const rate = `${digits(figures.gigabitsPerSecond)} Gbit/s`.padStart(RATE_WIDTH);
  return `  ${direction}`.padEnd(NAME_WIDTH) + rate + tripCells(figures.roundTrip);
}

function tripCells({ p50Ms, p99Ms }: RoundTripFigures): string {
  return [p50Ms, p99Ms].map((ms) => `${digits(ms)} ms`.padStart(TRIP_WIDTH)).join("");
}
