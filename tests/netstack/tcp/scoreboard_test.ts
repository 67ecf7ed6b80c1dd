import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../../src/base/random.ts";
import { Rack } from "../../../src/netstack/tcp/rack.ts";
import { Scoreboard } from "../../../src/netstack/tcp/scoreboard.ts";
import { NO_RECORD, SentFlag, SentRecords } from "../../../src/netstack/tcp/sent_records.ts";
import { ScoreboardReference } from "../../reference/scoreboard_reference.ts";

const MSS = 10;
/** Just below the wrap of sequence numbers. */
const ISS = -500;

function stateOf(flags: number): string {
  if ((flags & SentFlag.Sacked) !== 0) return "sacked";
  return (flags & SentFlag.Lost) !== 0 ? "lost" : "flight";
}

/** Compares both, and what the lists say with what the records say. */
function compare(board: Scoreboard, twin: ScoreboardReference, what: string): void {
  const { records } = board;
  let seq = twin.una;
  let previous = NO_RECORD;
  let count = 0;
  for (let record = board.head; record !== NO_RECORD; record = records.next[record]) {
    assertEquals((records.seq[record] - ISS) | 0, seq, what);
    assertEquals(records.previous[record], previous, what);
    const end = (records.end[record] - ISS) | 0;
    const state = stateOf(records.flags[record]);
    for (let i = seq; i < end; i++) assertEquals(twin.state[i], state, `byte ${i}, ${what}`);
    seq = end;
    previous = record;
    count++;
  }
  assertEquals([seq, board.tail, board.count], [twin.state.length, previous, count], what);
  assertEquals([board.sackedBytes, board.lostBytes], [twin.count("sacked"), twin.count("lost")]);
  const listed = (first: number) => {
    let bytes = 0;
    let sentAtMs = -1;
    let lastSeq = -1;
    for (let record = first; record !== NO_RECORD; record = records.after[record]) {
      bytes += (records.end[record] - records.seq[record]) | 0;
      if (first === board.flightHead) {
        assert(records.sentAtMs[record] >= sentAtMs, `by time: ${what}`);
        sentAtMs = records.sentAtMs[record];
      } else {
        const at = (records.seq[record] - ISS) | 0;
        assert(at > lastSeq, `by sequence: ${what}`);
        lastSeq = at;
      }
    }
    return bytes;
  };
  assertEquals([listed(board.flightHead), listed(board.lostHead)], [
    twin.count("flight"),
    twin.count("lost"),
  ], what);
}

Deno.test("a scoreboard agrees with one that knows each byte, whatever is acknowledged", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const records = new SentRecords();
    const board = new Scoreboard(records, new Rack());
    const twin = new ScoreboardReference();
    const at = (offset: number) => (ISS + offset) | 0;
    for (let step = 0; step < 300; step++) {
      const what = `seed ${seed}, step ${step}`;
      const sent = twin.state.length;
      const choice = random.below(10);
      board.beginAck();
      let delivered = 0;
      if (choice < 3) {
        const bytes = (1 + random.below(12)) * MSS;
        board.add(at(sent), at(sent + bytes), step);
        twin.add(bytes);
      } else if (choice < 4) {
        const una = twin.una + random.below(1 + Math.floor((sent - twin.una) / MSS)) * MSS;
        board.acknowledge(at(una));
        delivered = twin.acknowledge(una);
      } else if (choice < 7 && sent > twin.una) {
        const places = (sent - twin.una) / MSS;
        const from = twin.una + random.below(places) * MSS;
        const to = Math.min(sent, from + (1 + random.below(20)) * MSS);
        board.sack(at(from), at(to), MSS);
        delivered = twin.sack(from, to);
      } else if (choice < 8 && board.flightHead !== NO_RECORD) {
        const record = board.flightHead;
        twin.set(records.seq[record] - ISS | 0, records.end[record] - ISS | 0, "lost");
        board.markLost(record);
      } else if (choice < 9 && board.lostHead !== NO_RECORD) {
        const record = board.lostHead;
        board.limit(record, (1 + random.below(4)) * MSS);
        twin.set(records.seq[record] - ISS | 0, records.end[record] - ISS | 0, "flight");
        board.onRetransmitted(record, step);
      }
      assertEquals(board.deliveredBytes, delivered, what);
      compare(board, twin, what);
    }
    board.clear();
    assertEquals(records.usedCount, 0, "every record is given back");
  }
});

Deno.test("blocks that end inside a segment count for its whole segments only", () => {
  const board = new Scoreboard(new SentRecords(), new Rack());
  board.add(0, 100, 1);
  board.beginAck();
  board.sack(11, 59, MSS);
  assertEquals([board.deliveredBytes, board.sackedBytes, board.count], [30, 30, 3]);
  board.sack(12, 13, MSS);
  board.sack(99, 100, MSS);
  assertEquals([board.deliveredBytes, board.count], [30, 3]);
});

Deno.test("a hundred thousand one-byte blocks cost no more records than there are segments", () => {
  const records = new SentRecords();
  const board = new Scoreboard(records, new Rack());
  for (let i = 0; i < 128; i++) board.add(i * 65_000, (i + 1) * 65_000, i);
  const random = new SeededRandom(1);
  for (let i = 0; i < 100_000; i++) {
    const seq = random.below(128 * 65_000 - 1);
    board.beginAck();
    board.sack(seq, seq + 1, 1000);
  }
  assertEquals([board.count, board.sackedBytes], [128, 0]);
});

Deno.test("every second segment sacked is one record each, and merges when the gaps are filled", () => {
  const board = new Scoreboard(new SentRecords(), new Rack());
  board.add(0, 60_000, 1);
  board.beginAck();
  for (let seq = 1000; seq < 60_000; seq += 2000) board.sack(seq, seq + 1000, 1000);
  assertEquals([board.count, board.sackedBytes], [60, 30_000]);
  for (let seq = 2000; seq < 60_000; seq += 2000) board.sack(seq, seq + 1000, 1000);
  assertEquals([board.count, board.sackedBytes, board.deliveredBytes], [2, 59_000, 59_000]);
});

Deno.test("sacks that the other end has forgotten become losses (reneging)", () => {
  const board = new Scoreboard(new SentRecords(), new Rack());
  for (let i = 0; i < 10; i++) board.add(i * 100, (i + 1) * 100, i);
  board.sack(200, 500, 100);
  board.sack(700, 800, 100);
  board.forgetSacks();
  assertEquals([board.sackedBytes, board.lostBytes], [0, 400]);
});

Deno.test("lost records that were not lost are in flight again", () => {
  const board = new Scoreboard(new SentRecords(), new Rack());
  for (let i = 0; i < 10; i++) board.add(i * 100, (i + 1) * 100, i);
  for (let i = 0; i < 4; i++) board.markLost(board.flightHead);
  assertEquals(board.lostBytes, 400);
  board.unmarkLost();
  assertEquals([board.lostBytes, board.lostHead], [0, NO_RECORD]);
  let count = 0;
  for (let r = board.flightHead; r !== NO_RECORD; r = board.records.after[r]) count++;
  assertEquals(count, 10);
});

Deno.test("a probe repeats the last segment, or the first by number when the last is sacked", () => {
  const board = new Scoreboard(new SentRecords(), new Rack());
  for (let i = 0; i < 10; i++) board.add(i * 100, (i + 1) * 100, i);
  assertEquals(board.records.seq[board.probeRecord(100)], 900);
  board.sack(500, 1000, 100);
  // The first was sent again, so that others in flight have been waiting for longer.
  board.markLost(board.head);
  board.onRetransmitted(board.head, 20);
  assertEquals(board.records.seq[board.flightHead], 100);
  assertEquals(board.records.seq[board.probeRecord(100)], 0);
});
