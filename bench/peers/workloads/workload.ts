/** What a workload is: a name, its contestants, what it measures, and one turn of it. */
import type { Contestant, ProgramSpec } from "../programs/spec.ts";

/** One figure of a turn. */
export interface Metric {
  readonly key: string;
  readonly label: string;
  readonly better: "more" | "less";
}

/** What one turn has measured, by the metrics' keys; what is absent was not measured. */
export type Sample = Readonly<Record<string, number>>;

/** How long a turn's loads last. */
export interface TurnSettings {
  readonly seconds: number;
}

/** One kind of work, done by each contestant in turns. */
export interface Workload {
  readonly name: string;
  /** One line that says what is done. */
  readonly title: string;
  /** Who takes part unless others are named; the first is what the others are compared with. */
  readonly contestants: readonly string[];
  /** Programs that every turn needs beside its contestant. */
  readonly others?: readonly string[];
  readonly metrics: readonly Metric[];
  /** Whether a program can do this work, as side a and as side b. */
  readonly accepts: (spec: ProgramSpec) => boolean;
  /** Everything from a fresh start to the last figure; leaves nothing behind. */
  readonly turn: (contestant: Contestant, settings: TurnSettings) => Promise<Sample>;
}

/** Shorthands for tables of metrics. */
export function more(key: string, label: string): Metric {
  return { key, label, better: "more" };
}

/** See `more`. */
export function less(key: string, label: string): Metric {
  return { key, label, better: "less" };
}
