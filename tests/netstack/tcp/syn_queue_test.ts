/** Half-open connections: waiting for a decision, bounds, cookies (RFC 4987). */
import { assertEquals } from "@std/assert";
import { invariant as assert } from "../../../src/base/invariant.ts";
import { tcpDestinationPort, TcpFlag, tcpFlags, tcpSequence } from "../../../src/wire/tcp.ts";
import { parseSegment } from "../../dsl/segment_text.ts";
import { RigApp, type RigOptions, SERVER_PORT, TcpRig } from "../../dsl/rig.ts";
import { tcpTest } from "../../dsl/script.ts";
import { segmentBytes } from "../../dsl/wire_segment.ts";

tcpTest(
  "a SYN that waits for a decision is not answered, and its repetitions are absorbed",
  `
    listen manual
    < S 0:0(0) win 1000 <mss 1000>
    = syn
    > nothing
    +1 < S 0:0(0) win 1000 <mss 1000>
    +2 < S 0:0(0) win 1000 <mss 1000>
    > nothing
    = nothing
    accept
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 1000
    = connected
  `,
);

tcpTest(
  "a refusal answers with RST, and the next SYN is asked about anew",
  `
    listen manual
    < S 0:0(0) win 1000 <mss 1000>
    = syn
    refuse
    > R. 0:0(0) ack 1
    +1 < S 0:0(0) win 1000 <mss 1000>
    = syn
    drop
    > nothing
    +1 < S 0:0(0) win 1000 <mss 1000>
    = syn
  `,
);

tcpTest(
  "a RST ends the waiting: the application is told, and accept finds nothing",
  `
    listen manual
    < S 0:0(0) win 1000 <mss 1000>
    = syn
    < R 1:1(0)
    = gone
    > nothing
  `,
);

tcpTest(
  "a SYN that nobody decides about is forgotten after a minute",
  `
    listen manual
    < S 0:0(0) win 1000 <mss 1000>
    = syn
    +61
    = gone
    +1 < S 0:0(0) win 1000 <mss 1000>
    = syn
  `,
);

tcpTest(
  "a new SYN of the same ports with another number ends the old waiting",
  `
    listen manual
    < S 0:0(0) win 1000 <mss 1000>
    = syn
    < S 70000:70000(0) win 1000 <mss 1000>
    > ...
  `,
);

tcpTest(
  "the forwarder gets the SYNs for which nobody listens",
  `
    listen forwarder
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 1000
    = connected
  `,
);

/** A layer that listens and accepts, with its applications in the order of their SYNs. */
class SynScene {
  readonly rig: TcpRig;
  readonly apps: RigApp[] = [];
  pendingCount = 0;
  goneCount = 0;

  constructor(options: RigOptions, isManual = false) {
    this.rig = new TcpRig(options);
    this.rig.layer.listen(null, SERVER_PORT, {
      onSyn: (pending) => {
        this.pendingCount++;
        const app = new RigApp(this.rig);
        this.apps.push(app);
        app.pending = pending;
        if (!isManual) app.connection = pending.accept(app);
      },
      onPendingGone: () => this.goneCount++,
    });
  }

  send(text: string, port: number, remote: Uint8Array, iss = 0): void {
    const bases = { irs: -10, peerTs: 0, iss, ourTs: 0 };
    const bytes = segmentBytes(parseSegment(text), bases, port, SERVER_PORT);
    this.rig.inject(bytes, { sourcePort: port, destinationPort: SERVER_PORT, remote });
  }

  syn(port: number, remote = this.rig.remote): void {
    this.send("S 0:0(0) win 65535 <mss 1460,sackOK,TS val 5 ecr 0,nop,wscale 7>", port, remote);
  }

  /** The SYN-ACK to a port: its sequence number and its timestamp. */
  synAckTo(port: number): { seq: number; stamp: number; mss: number } | undefined {
    const sent = this.rig.sent.findLast(({ view }) =>
      tcpDestinationPort(view, 0) === port &&
      (tcpFlags(view, 0) & (TcpFlag.Syn | TcpFlag.Ack)) === (TcpFlag.Syn | TcpFlag.Ack)
    );
    if (sent === undefined) return undefined;
    return {
      seq: tcpSequence(sent.view, 0),
      stamp: sent.view.getInt32(28),
      mss: sent.view.getUint16(22),
    };
  }
}

function addressFor(i: number): Uint8Array {
  return Uint8Array.of(11, i >>> 16, i >>> 8, i);
}

Deno.test("a flood of SYNs from many sources takes bounded memory, and a real client gets through", () => {
  const scene = new SynScene({ limits: { halfOpenMax: 64 } });
  const { rig } = scene;
  for (let i = 0; i < 20_000; i++) {
    scene.syn(1024 + i % 60_000, addressFor(i));
    if (i % 50 === 0) {
      rig.flush();
      rig.sent.length = 0;
      rig.advance(1);
    }
  }
  rig.flush();
  rig.sent.length = 0;
  assert(rig.pool.usedBytes <= 1 << 20, `${rig.pool.usedBytes} bytes of buffers for half-open`);
  scene.syn(40_000);
  rig.flush();
  const answer = scene.synAckTo(40_000);
  assert(answer !== undefined, "the SYN of the real client is answered");
  const before = scene.apps.length;
  scene.send("P. 1:101(100) ack 1 win 500 <TS val 6 ecr 0>", 40_000, rig.remote, answer.seq);
  // The timestamp that is echoed carries the options.
  const app = scene.apps.findLast(({ connection }) =>
    connection !== null && connection.flow.remotePort === 40_000
  );
  assert(app !== undefined, `${scene.apps.length - before} applications were asked since`);
  assertEquals(app.read(100), 100);
});

Deno.test("a cookie gives the connection MSS, scale and SACK of its SYN", () => {
  const scene = new SynScene({ limits: { halfOpenMax: 4 } });
  const { rig } = scene;
  for (let i = 0; i < 20; i++) scene.syn(2000 + i, addressFor(i));
  scene.syn(40_000);
  rig.flush();
  const answer = scene.synAckTo(40_000)!;
  rig.sent.length = 0;
  const bytes = segmentBytes(
    parseSegment(". 1:1(0) ack 1 win 500 <TS val 6 ecr 0>"),
    { irs: -10, peerTs: 0, iss: answer.seq, ourTs: answer.stamp },
    40_000,
    SERVER_PORT,
  );
  rig.inject(bytes, { sourcePort: 40_000, destinationPort: SERVER_PORT });
  const app = scene.apps.findLast(({ connection }) => connection?.flow.remotePort === 40_000);
  assert(app !== undefined, "the application has the connection");
  assertEquals(app.events, ["connected"]);
  rig.flush();
  app.write(100_000);
  rig.flush();
  const data = rig.sent.filter(({ payloadBytes }) => payloadBytes > 0);
  const total = data.reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);
  assertEquals(data[0].mss, 1448);
  assert(total >= 14_480, `a window of 500 << 7 lets ten segments out: ${total}`);
});

Deno.test("an ACK that is no cookie is answered by RST while the queue is full", () => {
  const scene = new SynScene({ limits: { halfOpenMax: 4 } });
  const { rig } = scene;
  for (let i = 0; i < 20; i++) scene.syn(2000 + i, addressFor(i));
  rig.flush();
  rig.sent.length = 0;
  scene.send(". 1:1(0) ack 1 win 500", 41_000, rig.remote, 123_456);
  rig.flush();
  assertEquals(rig.sent.map(({ view }) => tcpFlags(view, 0)), [TcpFlag.Rst]);
  assertEquals(scene.apps.some(({ connection }) => connection?.flow.remotePort === 41_000), false);
});

Deno.test("an old cookie is worth nothing", () => {
  const scene = new SynScene({ limits: { halfOpenMax: 4 } });
  const { rig } = scene;
  for (let i = 0; i < 20; i++) scene.syn(2000 + i, addressFor(i));
  scene.syn(40_000);
  rig.flush();
  const answer = scene.synAckTo(40_000)!;
  rig.advance(180_000);
  rig.sent.length = 0;
  scene.send(". 1:1(0) ack 1 win 500 <TS val 6 ecr 0>", 40_000, rig.remote, answer.seq);
  rig.flush();
  assertEquals(rig.sent.map(({ view }) => tcpFlags(view, 0)), [TcpFlag.Rst]);
});

Deno.test("hung dials of one client do not starve others: there is a cap for each", () => {
  const limits = { halfOpenMax: 100, halfOpenPerRemoteMax: 10 };
  const scene = new SynScene({ limits }, true);
  const { rig } = scene;
  for (let i = 0; i < 1000; i++) scene.syn(2000 + i, addressFor(1));
  rig.flush();
  assert(scene.pendingCount <= 10, `${scene.pendingCount} decisions are asked for`);
  scene.syn(5000, addressFor(2));
  rig.flush();
  assertEquals(scene.apps.at(-1)!.pending!.flow.remoteAddress, addressFor(2));
});

Deno.test("a flow that has gone leaves nothing behind that swallows later SYNs", () => {
  const limits = { halfOpenMax: 8, halfOpenPerRemoteMax: 4 };
  const scene = new SynScene({ limits }, true);
  const { rig } = scene;
  for (let round = 0; round < 50; round++) {
    scene.syn(2000 + round % 3);
    rig.flush();
    const app = scene.apps.at(-1)!;
    assert(scene.pendingCount === round + 1, `the SYN of round ${round} was swallowed`);
    if (round % 4 === 0) app.pending!.refuse();
    else if (round % 4 === 1) app.pending!.drop();
    else if (round % 4 === 2) rig.advance(61_000);
    else {
      scene.send("R 1:1(0)", 2000 + round % 3, rig.remote);
      rig.flush();
    }
    rig.sent.length = 0;
  }
  rig.advance(400_000);
  assertEquals(rig.pool.usedBytes, 0);
});

Deno.test("a SYN costs no buffers before its handshake is complete", () => {
  const scene = new SynScene({});
  for (let i = 0; i < 200; i++) scene.syn(2000 + i, addressFor(i));
  scene.rig.flush();
  assertEquals(scene.apps.length, 200);
  assertEquals(scene.rig.pool.usedBytes, 0);
});

Deno.test("SYNs from and to multicast or broadcast are not answered (MUST-57, MUST-63)", () => {
  const scene = new SynScene({});
  const { rig } = scene;
  const text = "S 0:0(0) win 1000 <mss 1000>";
  const bytes = segmentBytes(
    parseSegment(text),
    { irs: 0, peerTs: 0, iss: 0, ourTs: 0 },
    5000,
    SERVER_PORT,
  );
  const ports = { sourcePort: 5000, destinationPort: SERVER_PORT };
  for (const bad of [[224, 0, 0, 1], [255, 255, 255, 255], [239, 1, 2, 3]]) {
    rig.inject(bytes, { ...ports, local: Uint8Array.from(bad) });
    rig.inject(bytes, { ...ports, remote: Uint8Array.from(bad) });
  }
  rig.flush();
  assertEquals([rig.sent.length, scene.pendingCount], [0, 0]);
});
