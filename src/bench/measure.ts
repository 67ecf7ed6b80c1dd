/**
 * How a figure comes about: a piece of fixed work is done again and again in short rounds, and the
 * rounds give the best, the median, and how far apart they lie.
 */
import { systemClock } from "../../ffi/clock.ts";

/** Work that is measured; its size never depends on the machine. */
export interface Work {
  /** Operations that one call of `run` does. */
  readonly operations: number;
  run(): void;
}

/** What a number of rounds have shown. */
export interface Sample {
  readonly best: number;
  readonly median: number;
  /** The middle half of the rounds lies within this part of the median. */
  readonly spread: number;
  readonly rounds: number;
}

/** Long enough that reading the clock counts for nothing, short enough to fit between interruptions. */
const ROUND_MS = 3;
const ROUNDS_MIN = 5;
/** Part of the time in which the code is compiled and nothing counts. */
const WARM_UP_PART = 0.25;

/** Nanoseconds of one operation. Takes about `budgetMs`, more when five rounds take longer. */
export function measure(work: Work, budgetMs: number): Sample {
  const startedMs = systemClock.nowMs();
  const warmUntilMs = startedMs + budgetMs * WARM_UP_PART;
  let calls = 1;
  for (;;) {
    const tookMs = timeCalls(work, calls);
    if (tookMs < ROUND_MS) calls *= 2;
    else if (systemClock.nowMs() >= warmUntilMs) break;
  }
  const figures: number[] = [];
  while (figures.length < ROUNDS_MIN || systemClock.nowMs() < startedMs + budgetMs) {
    figures.push(timeCalls(work, calls) * 1e6 / (calls * work.operations));
  }
  return summarize(figures, "less");
}

function timeCalls(work: Work, calls: number): number {
  const startedMs = systemClock.nowMs();
  for (let i = 0; i < calls; i++) work.run();
  return systemClock.nowMs() - startedMs;
}

/** Which figures are better than others. */
export type Better = "less" | "more";

/** Sums up what rounds have shown. */
export function summarize(figures: readonly number[], better: Better): Sample {
  const sorted = figures.toSorted((a, b) => a - b);
  const median = quantile(sorted, 0.5);
  return {
    best: better === "less" ? sorted[0] : sorted[sorted.length - 1],
    median,
    spread: median > 0 ? (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / median : 0,
    rounds: sorted.length,
  };
}

/** The value below which `part` (0 to 1) of some sorted values lie, between two of them if need be. */
export function quantile(sorted: readonly number[], part: number): number {
  const place = (sorted.length - 1) * part;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}
