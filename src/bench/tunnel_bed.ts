/** The whole tunnel over loopback: two nodes without a TUN in this process, as `demo` has them. */
import { processCpuSeconds } from "../../ffi/clock.ts";
import type { Log } from "../base/log.ts";
import { BulkPair } from "../daemon/bulk_pair.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { type Sample, summarize } from "./measure.ts";

/** Transfers in each direction; the first pair of them lets the code be compiled. */
const TRANSFERS = 6;
const WARM_UP_MS = 500;

/** What the transfers have shown. */
export interface TunnelSamples {
  /** Payload of one TCP stream. */
  readonly gigabitsPerSecond: Sample;
  /** CPU time of the whole process, that is of both nodes, for 10^9 bytes of payload. */
  readonly cpuSecondsPerGigabyte: Sample;
}

/**
 * Sends one TCP stream after the other, in turns in each direction, `budgetMs` in all. Throws
 * `SetupError` when one breaks off or a byte is wrong.
 */
export async function measureTunnel(
  budgetMs: number,
  encryptors: number,
  log: Log,
): Promise<TunnelSamples> {
  const pair = await BulkPair.start({ gso: true, udpGso: true, encryptors, log });
  try {
    const rates: number[] = [], costs: number[] = [];
    const transfer = async (index: number, durationMs: number) => {
      const startSeconds = processCpuSeconds();
      const result = await pair.transfer(index % 2 === 0 ? "a to b" : "b to a", durationMs);
      if (!result.isExact) throw new SetupError("The tunnel has delivered wrong bytes");
      costs.push((processCpuSeconds() - startSeconds) / (result.bytes / 1e9));
      rates.push(result.gigabitsPerSecond);
    };
    for (let i = 0; i < 2; i++) await transfer(i, Math.min(WARM_UP_MS, budgetMs / TRANSFERS));
    rates.length = costs.length = 0;
    for (let i = 0; i < TRANSFERS; i++) await transfer(i, budgetMs / TRANSFERS);
    return {
      gigabitsPerSecond: summarize(rates, "more"),
      cpuSecondsPerGigabyte: summarize(costs, "less"),
    };
  } finally {
    await pair.stop();
  }
}
