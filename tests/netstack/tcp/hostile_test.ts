/** Mistakes that others have made, and floods: what must hold all the same. */
import { assert, assertEquals } from "@std/assert";
import { parseSegment } from "../../dsl/segment_text.ts";
import { PEER_PORT, RigApp, SERVER_PORT, TcpRig } from "../../dsl/rig.ts";
import { runScript, tcpTest } from "../../dsl/script.ts";
import { segmentBytes } from "../../dsl/wire_segment.ts";
import { active, measured, passive } from "./scenes.ts";

for (const belowWrap of [0, 1, 2, 3, 1001]) {
  tcpTest(
    `an initial sequence number of 2^32 - ${belowWrap} is like any other`,
    `
      ${active({ win: 512 })}
      write 3000
      > P. 1:3001(3000) ack 1
      < . 1:1(0) ack 3001 win 512
      shutdown
      > F. 3001:3001(0) ack 1
      < F. 1:1(0) ack 3002 win 512
      > . 3002:3002(0) ack 2
      = end Closed
    `,
    { belowWrap },
  );
}

Deno.test("the peer's numbers may begin anywhere around the wrap", () => {
  for (const irs of [-1, 0, 0x7fffffff, -0x80000000]) {
    const rig = new TcpRig();
    const app = new RigApp(rig);
    rig.layer.listen(null, SERVER_PORT, rig.acceptor(() => app));
    const bases = { irs, peerTs: 0, iss: 0 as number | null, ourTs: 0 };
    const send = (text: string) => {
      const bytes = segmentBytes(parseSegment(text), bases, PEER_PORT, SERVER_PORT);
      rig.inject(bytes, { sourcePort: PEER_PORT, destinationPort: SERVER_PORT });
      rig.flush();
    };
    send("S 0:0(0) win 1000 <mss 1000>");
    bases.iss = rig.sent[0].view.getInt32(4);
    send(". 101:201(100) ack 1 win 1000");
    send("F. 1:101(100) ack 1 win 1000");
    assertEquals(app.readAll(), 200);
    assertEquals((rig.sent.at(-1)!.view.getInt32(8) - irs) | 0, 201);
  }
});

tcpTest(
  "an ACK of more than was sent brings no window and no data is freed (optimistic ACK)",
  `
    ${measured({ win: 5000 })}
    write 20000
    > . 1:10001(10000) ack 1
    +.05 < . 1:1(0) ack 20001 win 5000
    > . 10001:10001(0) ack 1
    < . 1:1(0) ack 15001 win 5000
    > nothing
    unacked 20000
    +.05 < . 1:1(0) ack 10001 win 5000
    > P. 10001:20001(10000) ack 1
  `,
);

tcpTest(
  "the same ACK a thousand times sends nothing",
  `
    ${measured({ win: 5000 })}
    write 20000
    > . 1:10001(10000) ack 1
    +.05 < . 1:1(0) ack 2001 win 5000
    > ...
    ${"<< . 1:1(0) ack 2001 win 5000\n".repeat(1000)}
    < . 1:1(0) ack 2001 win 5000
    > nothing
  `,
);

Deno.test("a hundred thousand SACK blocks cost bounded time and memory", () => {
  const runner = runScript(`
    ${measured({ win: 5000 })}
    write 60000
    > . 1:10001(10000) ack 1
  `);
  const { rig } = runner;
  const bases = runner.basesOf(1);
  const startMs = performance.now();
  for (let i = 0; i < 25_000; i++) {
    const at = (block: number) => 2 + ((i * 4 + block) * 37) % 9_900;
    const blocks = [0, 1, 2, 3].map((block) => `${at(block)}:${at(block) + 1 + i % 7}`).join(" ");
    const spec = parseSegment(`. 1:1(0) ack 1 win 5000 <sack ${blocks}>`);
    const bytes = segmentBytes(spec, bases, PEER_PORT, SERVER_PORT);
    rig.inject(bytes, { sourcePort: PEER_PORT, destinationPort: SERVER_PORT });
    if (i % 100 === 0) rig.flush();
  }
  // Bounded by far: a quadratic scoreboard would take minutes.
  assert(performance.now() - startMs < 20_000);
  assert(rig.sent.length < 1000, `${rig.sent.length} segments were sent in answer`);
});

Deno.test("data full of gaps takes no more memory than the window", () => {
  const runner = runScript(passive());
  const { rig } = runner;
  const bases = runner.basesOf(1);
  for (let seq = 60_001; seq > 2; seq -= 2) {
    const spec = parseSegment(`. ${seq}:${seq + 1}(1) ack 1 win 512`);
    const bytes = segmentBytes(spec, bases, PEER_PORT, SERVER_PORT);
    rig.inject(bytes, { sourcePort: PEER_PORT, destinationPort: SERVER_PORT });
    if (seq % 1000 === 1) rig.flush();
  }
  assert(rig.pool.usedBytes <= 1 << 20, `${rig.pool.usedBytes}`);
});

Deno.test("a SYN that comes a hundred times is one half-open connection", () => {
  const rig = new TcpRig();
  let asked = 0;
  rig.layer.listen(null, SERVER_PORT, {
    onSyn: () => void asked++,
    onPendingGone: () => {},
  });
  const bases = { irs: 5, peerTs: 0, iss: 0, ourTs: 0 };
  const spec = parseSegment("S 0:0(0) win 1000 <mss 1000>");
  const bytes = segmentBytes(spec, bases, PEER_PORT, SERVER_PORT);
  for (let i = 0; i < 100; i++) {
    rig.inject(bytes, { sourcePort: PEER_PORT, destinationPort: SERVER_PORT });
    rig.flush();
  }
  assertEquals([asked, rig.layer.halfOpenCount, rig.sent.length], [1, 1, 0]);
  rig.advance(70_000);
  assertEquals(rig.layer.halfOpenCount, 0);
});

tcpTest(
  "a closed connection whose peer keeps its window closed for ever ends all the same",
  `
    ${passive({ win: 0 })}
    write 1000
    close
    ${"+30 > ...\n< . 1:1(0) ack 1 win 0\n".repeat(8)}
    > ...
    = end TimedOut
  `,
  { limits: { detachedTimeoutMs: 100_000 } },
);

tcpTest(
  "a peer that never closes its half is forgotten a minute after close",
  `
    ${passive()}
    close
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2 win 512
    +30 < . 1:1(0) ack 2 win 512
    +31 > ...
    = end Closed
  `,
);

tcpTest(
  "a window of one byte is not filled by one-byte segments (silly window)",
  `
    ${passive({ scale: -1, win: 1000 })}
    write 3000
    > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1001 win 1
    > nothing
    < . 1:1(0) ack 1001 win 2
    > nothing
    < . 1:1(0) ack 1001 win 1000
    > . 1001:2001(1000) ack 1
  `,
);

tcpTest(
  "one-byte segments with one-byte gaps are told within the room of an option",
  `
    ${passive({ timestamps: true })}
    ${
    Array.from(
      { length: 100 },
      (_, i) => `<< . ${400 - 2 * i}:${401 - 2 * i}(1) ack 1 win 512 <TS val 200 ecr 0>`,
    ).join("\n")
  }
    < . 800:801(1) ack 1 win 512 <TS val 200 ecr 0>
    > . 1:1(0) ack 1 <TS,sack 800:801 202:203 204:205>
  `,
);

tcpTest(
  "a reset connection leaves its 4-tuple free at once",
  `
    ${passive()}
    < R 1:1(0)
    = end Reset
    rebase
    < S 5000:5000(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 5001
    < . 5001:5001(0) ack 1 win 1000
    = connected
  `,
);
