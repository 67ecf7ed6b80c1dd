/**
 * One frame of `status --watch`, and the line that stands for it where there is no screen. A frame
 * has no line longer than the screen is wide and no more lines than it is high; what does not fit is
 * counted.
 */
import { toHex } from "../wireguard/bytes.ts";
import type { PeerStatus } from "../wireguard/configuration.ts";
import { peerName } from "./key_text.ts";
import { formatRate, sparkline } from "./rate_text.ts";
import { batchText, byLatestHandshake, dropText, formatBytes } from "./status_text.ts";
import { fitText, textWidth } from "./text_width.ts";
import type { RateHistory, WatchHistory } from "./watch_history.ts";

/** What a frame is drawn for. */
export interface FrameOptions {
  readonly columns: number;
  readonly rows: number;
  /** Nanoseconds since 1970. */
  readonly nowWallNs: bigint;
  /** Puts a style around text that has its final length. */
  readonly paint: (style: "bold" | "dim" | "yellow" | "cyan", text: string) => string;
}

const NAME_WIDTH_MAX = 24;
const AGE_WIDTH = 9;
const BYTES_WIDTH = 11;
const RATE_WIDTH = 11;
/** Below this the table leaves out byte counts. */
const COLUMNS_WITH_BYTES = 76;
const CURVE_WIDTH_MIN = 4;
const CURVE_WIDTH_MAX = 60;
/** A handshake older than this means that no session is usable: REJECT_AFTER_TIME. */
const STALE_SECONDS = 180;

/** The lines of a frame; `interfaces` in the order in which they are to stand. */
export function frameLines(
  interfaces: ReadonlyMap<string, WatchHistory>,
  options: FrameOptions,
): string[] {
  const lines: string[] = [];
  if (interfaces.size === 0) lines.push("no interface is up");
  for (const [name, history] of interfaces) {
    if (lines.length > 0) lines.push("");
    lines.push(...interfaceLines(name, history, options));
  }
  return fit(lines, options);
}

function fit(lines: string[], { columns, rows, paint }: FrameOptions): string[] {
  if (lines.length <= rows) return lines;
  const shown = lines.slice(0, Math.max(0, rows - 1));
  return [...shown, paint("dim", cut(`... ${lines.length - shown.length} more lines`, columns))];
}

function interfaceLines(name: string, history: WatchHistory, options: FrameOptions): string[] {
  const { columns, paint } = options;
  const sample = history.latest;
  if (sample === null) return [];
  const { status, report } = sample;
  const facts = [`port ${status.listenPort}`];
  if (report !== null) {
    facts.push(`MTU ${report.mtu}`, report.cipher, `up ${shortAge(report.uptimeMs / 1000)}`);
  }
  const head = cut(`  ${facts.join(", ")}`, columns - name.length);
  const lines = [paint("bold", cut(name, columns)) + paint("dim", head)];
  lines.push(rateLine("total", history.total, options));
  if (report !== null) {
    lines.push(plain("batches", batchText(report, history.previous?.report ?? undefined), columns));
    const drops = dropText(report);
    const fresh = history.newDrops === 0 ? "" : `; ${history.newDrops} new`;
    if (drops !== "") {
      const text = plain("drops", drops + fresh, columns);
      lines.push(fresh === "" ? text : paint("yellow", text));
    }
  }
  if (status.peers.length > 0) lines.push("", ...peerTable(history, status.peers, options));
  return lines;
}

function plain(label: string, text: string, columns: number): string {
  return cut(`  ${label.padEnd(9)} ${text}`, columns);
}

function rateLine(label: string, history: RateHistory, options: FrameOptions): string {
  const { columns, paint } = options;
  const fixed = 2 + 9 + 2 * (1 + 3 + RATE_WIDTH + 1);
  const width = curveWidth(columns - fixed);
  const { rx, tx } = history.last;
  const side = (arrow: string, rate: number, values: number[]) =>
    ` ${arrow} ${formatRate(rate).padStart(RATE_WIDTH)} ` +
    (width === 0 ? "" : paint("cyan", sparkline(values, width)));
  return cutPainted(
    `  ${label.padEnd(9)}${side("rx", rx, history.rx)}${side("tx", tx, history.tx)}`,
    columns,
  );
}

/** Columns for each of two curves in what is left of a line. */
function curveWidth(left: number): number {
  const width = Math.min(CURVE_WIDTH_MAX, Math.floor(left / 2));
  return width < CURVE_WIDTH_MIN ? 0 : width;
}

function peerTable(
  history: WatchHistory,
  peers: readonly PeerStatus[],
  options: FrameOptions,
): string[] {
  const { columns, paint } = options;
  const names = new Map(
    history.latest?.report?.peers.map((peer) => [peer.keyText, peer.friendlyName]),
  );
  const nameOf = (peer: PeerStatus) =>
    names.get(toHex(peer.publicKey)) || peerName(peer.publicKey).slice("peer(".length, -1);
  const shown = byLatestHandshake(peers);
  const longest = Math.max(4, ...shown.map((peer) => textWidth(nameOf(peer))));
  const nameWidth = Math.min(longest, NAME_WIDTH_MAX);
  const hasBytes = columns >= COLUMNS_WITH_BYTES;
  const bytesWidth = hasBytes ? BYTES_WIDTH + 1 : 0;
  const fixed = 2 + nameWidth + 1 + AGE_WIDTH + 2 * (1 + bytesWidth + RATE_WIDTH + 1);
  const width = curveWidth(columns - fixed);
  const titles = ["peer".padEnd(nameWidth), "handshake".padStart(AGE_WIDTH)];
  for (const [bytes, rate] of [["received", "rx"], ["sent", "tx"]]) {
    if (hasBytes) titles.push(bytes.padStart(BYTES_WIDTH));
    titles.push(rate.padStart(RATE_WIDTH), " ".repeat(width));
  }
  const lines = [paint("dim", cut(`  ${titles.join(" ")}`.trimEnd(), columns))];
  for (const peer of shown) {
    const rates = history.peer(toHex(peer.publicKey));
    const side = (bytes: number, rate: number, values: number[]) =>
      (hasBytes ? `${formatBytes(bytes).padStart(BYTES_WIDTH)} ` : "") +
      `${formatRate(rate).padStart(RATE_WIDTH)} ` +
      (width === 0 ? "" : paint("cyan", sparkline(values, width)));
    const cells = [
      fitText(nameOf(peer), nameWidth),
      handshakeCell(peer, options),
      side(peer.rxBytes, rates.last.rx, rates.rx),
      side(peer.txBytes, rates.last.tx, rates.tx),
    ];
    lines.push(cutPainted(`  ${cells.join(" ")}`, columns));
  }
  return lines;
}

function handshakeCell(peer: PeerStatus, { nowWallNs, paint }: FrameOptions): string {
  if (peer.lastHandshakeWallNs === 0n) return paint("dim", "never".padStart(AGE_WIDTH));
  const seconds = Number((nowWallNs - peer.lastHandshakeWallNs) / 1_000_000n) / 1000;
  const text = shortAge(Math.max(0, seconds)).padStart(AGE_WIDTH);
  return seconds > STALE_SECONDS ? paint("yellow", text) : text;
}

/** Seconds in at most two units: `12s`, `3m 5s`, `2h 10m`, `4d 1h`. */
export function shortAge(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${Math.floor(whole % 3600 / 60)}m`;
  return `${Math.floor(whole / 86_400)}d ${Math.floor(whole % 86_400 / 3600)}h`;
}

/**
 * An interface in one line, for a log or a pipe:
 * `wg0: rx 1.20 Mbit/s, tx 3.00 kbit/s, 2 of 3 peers in session, 0 dropped`.
 */
export function summaryLine(name: string, history: WatchHistory, nowWallNs: bigint): string {
  const { rx, tx } = history.total.last;
  const peers = history.latest?.status.peers ?? [];
  const staleNs = BigInt(STALE_SECONDS) * 1_000_000_000n;
  const live = peers.filter((peer) => nowWallNs - peer.lastHandshakeWallNs <= staleNs).length;
  const drops = history.latest?.report ? `, ${history.newDrops} dropped` : "";
  return `${name}: rx ${formatRate(rx)}, tx ${formatRate(tx)}, ` +
    `${live} of ${peers.length} peers in session${drops}`;
}

function cut(text: string, columns: number): string {
  return text.length <= columns ? text : text.slice(0, Math.max(0, columns));
}

/** `cut` for a text with styles in it: they take no column, and the last one is ended. */
function cutPainted(text: string, columns: number): string {
  let at = 0, column = 0, isStyled = false;
  while (at < text.length && column < columns) {
    if (text[at] === "\x1b") {
      const end = text.indexOf("m", at) + 1;
      isStyled = text.slice(at, end) !== "\x1b[0m";
      at = end;
      continue;
    }
    column++;
    at++;
  }
  if (at === text.length) return text;
  return text.slice(0, at) + (isStyled ? "\x1b[0m" : "");
}
