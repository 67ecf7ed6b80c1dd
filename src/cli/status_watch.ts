/**
 * `longhaul status --watch`: on a screen a picture that is redrawn in place, elsewhere a line per
 * interface and interval (or, with `--json`, a JSON text per interval and line). It ends with
 * Ctrl-C, with SIGTERM, and when nobody reads its output any more.
 */
import { systemClock } from "../../ffi/clock.ts";
import { frameLines, summaryLine } from "../control/watch_view.ts";
import { WatchHistory } from "../control/watch_history.ts";
import {
  isScreen,
  painterFor,
  STDERR_FD,
  STDOUT_FD,
  terminalSize,
  writeText,
} from "../daemon/terminal.ts";
import type { InterfaceStatus } from "./status_command.ts";

/** What is watched, and how. */
export interface WatchOptions {
  /** Looks once at what is to be shown; throws when it cannot go on. */
  readonly look: () => readonly InterfaceStatus[];
  readonly intervalMs: number;
  /** The JSON text of a look; null for people. */
  readonly json: ((interfaces: readonly InterfaceStatus[]) => string) | null;
}

const ENTER_SCREEN = "\x1b[?1049h\x1b[?25l";
const LEAVE_SCREEN = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** Watches until it is told to end; resolves with the exit code. */
export async function watchStatus(options: WatchOptions): Promise<number> {
  const output = options.json === null && isScreen(STDOUT_FD) ? new Screen() : new Lines(options);
  const watch = new Watch(options, output);
  return await watch.run();
}

/** Where the looks go. Both methods tell whether somebody still reads. */
interface Output {
  begin(): void;
  show(interfaces: readonly InterfaceStatus[], histories: Histories): boolean;
  /** The size of the terminal has changed. */
  redraw(histories: Histories): boolean;
  end(histories: Histories): void;
}

type Histories = ReadonlyMap<string, WatchHistory>;

class Watch {
  readonly #options: WatchOptions;
  readonly #output: Output;
  readonly #histories = new Map<string, WatchHistory>();
  readonly #ended = Promise.withResolvers<number>();

  constructor(options: WatchOptions, output: Output) {
    this.#options = options;
    this.#output = output;
  }

  async run(): Promise<number> {
    const end = () => this.#ended.resolve(0);
    const resize = () => this.#goOn(() => this.#output.redraw(this.#histories));
    Deno.addSignalListener("SIGINT", end);
    Deno.addSignalListener("SIGTERM", end);
    Deno.addSignalListener("SIGWINCH", resize);
    this.#output.begin();
    const timer = setInterval(() => this.#look(), this.#options.intervalMs);
    try {
      this.#look();
      return await this.#ended.promise;
    } finally {
      clearInterval(timer);
      this.#output.end(this.#histories);
      Deno.removeSignalListener("SIGINT", end);
      Deno.removeSignalListener("SIGTERM", end);
      Deno.removeSignalListener("SIGWINCH", resize);
    }
  }

  #look(): void {
    this.#goOn(() => {
      const interfaces = this.#options.look();
      const atMs = systemClock.nowMs();
      const names = new Set(interfaces.map(({ name }) => name));
      for (const name of this.#histories.keys()) {
        if (!names.has(name)) this.#histories.delete(name);
      }
      for (const { name, status, report } of interfaces) {
        const history = this.#histories.get(name) ?? new WatchHistory();
        this.#histories.set(name, history);
        history.push({ atMs, status, report });
      }
      return this.#output.show(interfaces, this.#histories);
    });
  }

  /** Ends the watch when an action fails, or when its output is not read any more. */
  #goOn(action: () => boolean): void {
    try {
      if (!action()) this.#ended.resolve(0);
    } catch (error) {
      this.#ended.reject(error);
    }
  }
}

/** A picture on the terminal's other screen; the last one stays behind as text. */
class Screen implements Output {
  readonly #paint = painterFor(STDOUT_FD);

  begin(): void {
    writeText(STDOUT_FD, ENTER_SCREEN);
  }

  show(_interfaces: readonly InterfaceStatus[], histories: Histories): boolean {
    return this.redraw(histories);
  }

  redraw(histories: Histories): boolean {
    const { columns, rows } = terminalSize();
    // The last row stays free: a full one would scroll on some terminals.
    const lines = this.#lines(histories, columns, rows - 1);
    const text = lines.map((line) => line + CLEAR_LINE).join("\r\n");
    return writeText(STDOUT_FD, HOME + text + CLEAR_BELOW);
  }

  end(histories: Histories): void {
    writeText(STDOUT_FD, LEAVE_SCREEN);
    const lines = this.#lines(histories, terminalSize().columns, Infinity);
    writeText(STDOUT_FD, lines.join("\n") + "\n");
  }

  #lines(histories: Histories, columns: number, rows: number): string[] {
    return frameLines(histories, {
      columns,
      rows,
      nowWallNs: systemClock.wallNs(),
      paint: this.#paint,
    });
  }
}

/** A line per interface and look. */
class Lines implements Output {
  readonly #json: WatchOptions["json"];

  constructor({ json }: WatchOptions) {
    this.#json = json;
  }

  begin(): void {}

  show(interfaces: readonly InterfaceStatus[], histories: Histories): boolean {
    if (this.#json !== null) return writeText(STDOUT_FD, this.#json(interfaces) + "\n");
    const now = systemClock.wallNs();
    const stamp = new Date(Number(now / 1_000_000n)).toISOString();
    if (histories.size === 0) return writeText(STDERR_FD, `${stamp} no interface is up\n`);
    const lines = [...histories].map(([name, history]) => {
      return `${stamp} ${summaryLine(name, history, now)}\n`;
    });
    return writeText(STDOUT_FD, lines.join(""));
  }

  redraw(): boolean {
    return true;
  }

  end(): void {}
}
