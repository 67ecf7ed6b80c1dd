/** `longhaul bench` without a peer: figures of this machine, as a table or as JSON. */
import { getEnvironment } from "../../ffi/environment.ts";
import { readTextFile } from "../../ffi/files.ts";
import { VERSION } from "../base/version.ts";
import { CryptoBed } from "../bench/crypto_work.ts";
import { runLocalBench } from "../bench/local_bench.ts";
import { describeMachine, type Machine, machineLines } from "../bench/machine.ts";
import {
  BENCH_SCHEMA,
  type BenchReport,
  type BenchRow,
  machineDifferences,
  parseReport,
  ratioTo,
} from "../bench/report.ts";
import { headingOf, headLine, rowLine } from "../bench/table.ts";
import { chooseEncryptors } from "../config/worker_counts.ts";
import { parseLogLevel, setUpLog } from "../daemon/log_setup.ts";
import {
  isScreen,
  painterFor,
  printText,
  STDERR_FD,
  STDOUT_FD,
  writeText,
} from "../daemon/terminal.ts";

const REPORT_BYTES_MAX = 1 << 20;
/** Half of all rows with more spread than this: the machine was not quiet. */
const RESTLESS_SPREAD = 0.3;

/** Measures; the exit code. `path` is a report to compare with. Throws `SetupError`. */
export async function runLocalFigures(
  seconds: number,
  path: string | undefined,
  isJson: boolean,
): Promise<number> {
  const earlier = path === undefined ? null : parseReport(readReport(path), path);
  const log = setUpLog("bench", parseLogLevel(getEnvironment("LOG_LEVEL") || "error"));
  const bed = new CryptoBed();
  const { aead, reason } = bed;
  const output = isJson ? new JsonOutput() : new TableOutput(earlier);
  const head = {
    schema: BENCH_SCHEMA,
    program: "longhaul bench" as const,
    version: VERSION,
    startedAt: new Date().toISOString(),
    machine: describeMachine(),
    aead: { name: aead.name, reason },
  };
  output.begin(head);
  const rows: BenchRow[] = [];
  await runLocalBench({
    bed,
    budgetMs: seconds * 1000,
    encryptors: chooseEncryptors("auto", navigator.hardwareConcurrency),
    log,
    onBegin: (what) => output.onBegin(what),
    onRow: (row) => {
      rows.push(row);
      output.onRow(row);
    },
  });
  bed.close();
  output.end({ ...head, rows }, earlier);
  return 0;
}

function readReport(path: string): string {
  return readTextFile(path, REPORT_BYTES_MAX);
}

/** A report before its rows are known. */
type ReportHead = Omit<BenchReport, "rows">;

/** One text at the end. */
class JsonOutput {
  begin(_head: ReportHead): void {}

  onBegin(_what: string): void {}

  onRow(_row: BenchRow): void {}

  end(report: BenchReport, earlier: BenchReport | null): void {
    const rows = earlier === null ? report.rows : report.rows.map((row) => ({
      ...row,
      before: earlier.rows.find(({ id }) => id === row.id)?.value ?? null,
      ratio: ratioTo(row, earlier),
    }));
    printText(`${JSON.stringify({ ...report, rows }, null, 2)}\n`);
  }
}

/** A line as soon as its figure is known, and on a terminal what is being measured meanwhile. */
class TableOutput {
  readonly #paint = painterFor(STDOUT_FD);
  readonly #isLive = isScreen(STDERR_FD) && isScreen(STDOUT_FD);

  constructor(readonly earlier: BenchReport | null) {}

  begin({ machine, aead }: ReportHead): void {
    for (const line of machineLines(machine)) printText(`${line}\n`);
    printText(`packet cipher: ${aead.name}, ${aead.reason}\n`);
    this.#tellDifferences(machine);
    printText(`\n${headLine(this.earlier !== null, this.#paint)}\n`);
  }

  #tellDifferences(machine: Machine): void {
    if (this.earlier === null) return;
    for (const difference of machineDifferences(machine, this.earlier.machine)) {
      printText(`${this.#paint("yellow", "not the same machine")}: ${difference}\n`);
    }
  }

  onBegin(what: string): void {
    if (this.#isLive) writeText(STDERR_FD, `\r\x1b[K  measuring ${what} ...`);
  }

  onRow(row: BenchRow): void {
    if (this.#isLive) writeText(STDERR_FD, "\r\x1b[K");
    const heading = headingOf(row.id);
    if (heading !== null) printText(`${this.#paint("cyan", heading)}\n`);
    printText(`${rowLine(row, this.earlier, this.#paint)}\n`);
  }

  end({ rows }: BenchReport): void {
    const restless = rows.filter(({ spread }) => spread > RESTLESS_SPREAD);
    if (restless.length * 2 < rows.length) return;
    const note = "this machine did something else meanwhile: measure again when it is quiet";
    printText(`\n${this.#paint("yellow", "Not to be trusted")}: ${note}\n`);
  }
}
