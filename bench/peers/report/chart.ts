/**
 * The targets as an SVG chart: a bar for each row, which begins at the line where Longhaul and its peer
 * are equal and grows to the right where Longhaul is better. A mark on each row is the target.
 *
 * The axis is logarithmic, so that twice as good and half as good are equally long. For a row where
 * less is better the bar is as long as the ratio turned over; for a limit without a peer the line
 * stands for the limit.
 */
import type { Judgement } from "../targets.ts";
import { figure } from "./text.ts";

const WIDTH = 860;
const ROW_HEIGHT = 24;
const BAR_HEIGHT = 12;
const TOP = 62;
const BOTTOM = 44;
const LABEL_WIDTH = 330;
const VALUE_WIDTH = 190;
const BARS = { left: LABEL_WIDTH + 12, right: WIDTH - VALUE_WIDTH } as const;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .dim { fill: #59636e }
  .paper { fill: #ffffff }
  .met { fill: #2da44e }
  .missed { fill: #d4761c }
  .grid { stroke: #d8dee4 }
  .equal { stroke: #59636e }
  .target { stroke: #1f2328; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .dim { fill: #9198a1 }
    .paper { fill: #0d1117 }
    .met { fill: #3fb950 }
    .missed { fill: #db8b3a }
    .grid { stroke: #2a313c }
    .equal { stroke: #9198a1 }
    .target { stroke: #e6edf3 }
  }`;

/** A row of the chart: how many times better than its peer, and than what it has to be. */
interface Bar {
  readonly judgement: Judgement;
  readonly advantage: number;
  readonly wanted: number;
}

/** The whole file. Rows that were not measured are left out; `notes` stand below. */
export function chart(judgements: readonly Judgement[], notes: readonly string[]): string {
  const bars = judgements.filter(({ verdict }) => verdict !== "not measured").map(toBar);
  const place = scaleFor(bars);
  const height = TOP + bars.length * ROW_HEIGHT + BOTTOM;
  const bottom = height - BOTTOM;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
    `viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title">
<title id="title">Longhaul beside its peers</title>
<style>${STYLE}
</style>
<rect class="paper" width="${WIDTH}" height="${height}" rx="8"/>
<text class="title" x="16" y="26">Longhaul beside its peers</text>
<text class="dim" x="${WIDTH - 16}" y="26" text-anchor="end">` +
    `right of the line is better; the mark is the target</text>
${place.ticks.map((tick) => gridLine(tick, place.x(tick), bottom)).join("\n")}
${bars.map((bar, index) => barRow(bar, TOP + index * ROW_HEIGHT, place.x)).join("\n")}
<text class="dim" x="16" y="${height - 16}">${escape(notes.join("; "))}</text>
</svg>
`;
}

function toBar(judgement: Judgement): Bar {
  const { target, value } = judgement;
  if (target.against.length === 0) {
    const advantage = target.bound === "at most" ? target.limit / value : value / target.limit;
    return { judgement, advantage, wanted: 1 };
  }
  return target.bound === "at most"
    ? { judgement, advantage: 1 / value, wanted: 1 / target.limit }
    : { judgement, advantage: value, wanted: target.limit };
}

interface Scale {
  /** Powers of two that the axis begins and ends at, and all between. */
  readonly ticks: readonly number[];
  readonly x: (times: number) => number;
}

function scaleFor(bars: readonly Bar[]): Scale {
  const exponents = bars.flatMap(({ advantage, wanted }) => [advantage, wanted].map(Math.log2));
  const low = Math.floor(Math.min(-1, ...exponents));
  const high = Math.ceil(Math.max(1, ...exponents));
  const step = (BARS.right - BARS.left) / (high - low);
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 2 ** (low + i));
  return { ticks, x: (times) => round(BARS.left + (Math.log2(times) - low) * step) };
}

function gridLine(times: number, x: number, bottom: number): string {
  const label = times >= 1 ? `${times}×` : `1/${1 / times}`;
  const kind = times === 1 ? "equal" : "grid";
  return `<line class="${kind}" x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${bottom}"/>` +
    `<text class="dim" x="${x}" y="${TOP - 12}" text-anchor="middle">${label}</text>`;
}

function barRow({ judgement, advantage, wanted }: Bar, top: number, x: Scale["x"]): string {
  const { target, value, peer, verdict } = judgement;
  const [from, to] = [x(1), x(advantage)].toSorted((a, b) => a - b);
  const middle = top + ROW_HEIGHT / 2;
  const barTop = middle - BAR_HEIGHT / 2;
  const mark = x(wanted);
  const text = middle + 4;
  const name = peer === undefined ? target.work : `${target.work} (${peer})`;
  const shown = target.unit === undefined ? value.toFixed(2) : `${figure(value)} ${target.unit}`;
  return `<text x="${LABEL_WIDTH}" y="${text}" text-anchor="end">${escape(name)}</text>` +
    `<rect class="${verdict}" x="${from}" y="${barTop}" width="${round(Math.max(1, to - from))}" ` +
    `height="${BAR_HEIGHT}" rx="2"/>` +
    `<line class="target" x1="${mark}" x2="${mark}" y1="${barTop - 3}" ` +
    `y2="${barTop + BAR_HEIGHT + 3}"/>` +
    `<text x="${BARS.right + 12}" y="${text}">${shown} <tspan class="dim">` +
    `${target.bound} ${target.limit}, ${verdict}</tspan></text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
