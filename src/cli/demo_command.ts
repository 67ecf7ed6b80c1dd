/**
 * `longhaul demo`: the main job in one go. Two nodes, real WireGuard between them over loopback, a
 * bulk transfer from stack to stack with segmentation offload off and on, in both directions. It
 * needs no root, changes nothing on the machine, and checks every byte.
 */
import { getEnvironment } from "../../ffi/environment.ts";
import {
  BulkPair,
  type BulkProgress,
  type BulkResult,
  type Direction,
} from "../daemon/bulk_pair.ts";
import { parseLogLevel, setUpLog } from "../daemon/log_setup.ts";
import {
  isScreen,
  type Painter,
  painterFor,
  STDERR_FD,
  STDOUT_FD,
  writeText,
} from "../daemon/terminal.ts";
import type { CommandSpec } from "./command_spec.ts";
import { UsageError } from "./environment.ts";
import { progressBar } from "./progress_bar.ts";

/** One way of handing data down. */
interface Variant {
  readonly name: string;
  readonly about: string;
  readonly gso: boolean;
  readonly udpGso: boolean;
}

const VARIANTS: readonly Variant[] = [
  { name: "GSO off", about: "packets, each sent by itself", gso: false, udpGso: false },
  { name: "UDP GSO", about: "packets, up to 64 in one send", gso: false, udpGso: true },
  { name: "GSO on", about: "segments of 64 KB all the way", gso: true, udpGso: true },
];
const DIRECTIONS: readonly Direction[] = ["a to b", "b to a"];

const SECONDS_DEFAULT = 3;
const SECONDS_MAX = 60;

export const demoCommand: CommandSpec = {
  name: "demo",
  summary: "two nodes in this process, and a bulk transfer through the tunnel between them",
  words: "",
  count: { min: 0, max: 0, rule: "demo takes no words" },
  flags: [
    { name: "seconds", value: "N", help: `how long each of the six transfers takes (3)` },
    { name: "json", help: "as JSON" },
  ],
  examples: [
    ["demo", "half a minute, and a table"],
    ["demo --seconds 1 --json", "for programs"],
  ],
  about: "Neither root nor a network is needed, and nothing is left behind.",
  run: ({ flags }) => runDemo(readSeconds(flags.text("seconds")), flags.has("json")),
};

/** One line of the table. */
interface Row extends BulkResult {
  readonly variant: string;
}

async function runDemo(seconds: number, json: boolean): Promise<number> {
  const log = setUpLog("demo", parseLogLevel(getEnvironment("LOG_LEVEL") || "error"));
  const rows: Row[] = [];
  for (const { name, about, gso, udpGso } of VARIANTS) {
    const pair = await BulkPair.start({ gso, udpGso, encryptors: 0, log });
    try {
      for (const direction of DIRECTIONS) {
        const line = new ProgressLine(`${name}  ${direction}`, about, seconds, json);
        const result = await pair.transfer(direction, seconds * 1000, (now) => line.show(now));
        line.end(result);
        rows.push({ variant: name, ...result });
      }
    } finally {
      await pair.stop();
    }
  }
  const isExact = rows.every((row) => row.isExact);
  if (json) console.log(JSON.stringify({ transfers: rows, isExact }, null, 2));
  else console.log(formatTable(rows, painterFor(STDOUT_FD)));
  return isExact ? 0 : 1;
}

function readSeconds(text: string | undefined): number {
  if (text === undefined) return SECONDS_DEFAULT;
  const seconds = /^\d{1,3}(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
  if (seconds >= 0.1 && seconds <= SECONDS_MAX) return seconds;
  throw new UsageError(`--seconds takes a number from 0.1 to ${SECONDS_MAX}, not "${text}"`);
}

/** One transfer while it runs: a bar that is drawn again and again, or one line at its end. */
class ProgressLine {
  readonly #isLive: boolean;
  readonly #paint = painterFor(STDERR_FD);

  constructor(
    readonly name: string,
    readonly about: string,
    readonly seconds: number,
    readonly isSilent: boolean,
  ) {
    this.#isLive = !isSilent && isScreen(STDERR_FD);
  }

  show({ bytes, elapsedMs }: BulkProgress): void {
    if (!this.#isLive || elapsedMs === 0) return;
    const part = Math.min(1, elapsedMs / (this.seconds * 1000));
    this.#draw(this.#paint("cyan", progressBar(part)), bytes * 8 / 1e6 / elapsedMs);
  }

  end(result: BulkResult): void {
    if (this.isSilent) return;
    const state = result.isExact
      ? this.#paint("green", "every byte right")
      : this.#paint("red", "BYTES ARE WRONG");
    this.#draw(state, result.gigabitsPerSecond);
    writeText(STDERR_FD, "\n");
  }

  #draw(middle: string, gigabitsPerSecond: number): void {
    const rate = `${gigabitsPerSecond.toFixed(2)} Gbit/s`.padStart(13);
    const about = this.#paint("dim", this.about);
    const start = this.#isLive ? "\r\x1b[K" : "";
    writeText(STDERR_FD, `${start}${this.name.padEnd(17)}${rate}  ${middle}  ${about}`);
  }
}

const HEADINGS = [
  "",
  "direction",
  "Gbit/s",
  "bytes per send",
  "CPU s/GB sending",
  "receiving",
  "bytes",
];

function formatTable(rows: readonly Row[], paint: Painter): string {
  const cells = rows.map((row) => [
    row.variant,
    row.direction,
    row.gigabitsPerSecond.toFixed(2),
    Math.round(row.bytesPerSend).toLocaleString("en"),
    row.senderCpuSecondsPerGigabyte.toFixed(2),
    row.receiverCpuSecondsPerGigabyte.toFixed(2),
    row.isExact ? "all right" : "WRONG",
  ]);
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...cells.map((row) => row[column].length))
  );
  const line = (row: readonly string[]) =>
    row.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
    ).join("  ");
  return ["", paint("bold", line(HEADINGS)), ...cells.map(line)].join("\n");
}
