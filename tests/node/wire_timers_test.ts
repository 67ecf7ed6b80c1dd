/** The timers as a peer sees them: when which message is on the wire. */
import { assert, assertEquals } from "@std/assert";
import { Flow, hostPrefix } from "../sim/flows.ts";
import { SimNetwork } from "../sim/node_pair.ts";

const A = 0x0a640001, B = 0x0a640002;
const Kind = { Initiation: 1, Response: 2, Keepalive: 32, Data: 4 } as const;

function setUp(seed = 1) {
  const net = new SimNetwork(seed);
  const a = net.add(), b = net.add();
  net.connect(a, b, { ofA: [hostPrefix(A)], ofB: [hostPrefix(B)] });
  const wire: { atMs: number; from: "a" | "b"; kind: number }[] = [];
  const cut = { a: false, b: false };
  net.fate = (datagram) => {
    const from = datagram.fromAddress === a.udp.address ? "a" : "b";
    const isKeepalive = datagram.bytes[0] === 4 && datagram.bytes.length === 32;
    wire.push({
      atMs: net.clock.nowMs(),
      from,
      kind: isKeepalive ? Kind.Keepalive : datagram.bytes[0],
    });
    return cut[from] ? [] : [datagram];
  };
  const there = new Flow(a, A, B), back = new Flow(b, B, A);
  const since = (startMs: number) => wire.filter(({ atMs }) => atMs >= startMs);
  return { net, a, b, there, back, wire, since, cut };
}

/** A pair whose session is made and whose first exchange is over and answered. */
function connected(seed = 1) {
  const pair = setUp(seed);
  pair.there.send();
  pair.net.runFor(1);
  pair.back.send();
  pair.net.runFor(15_000);
  const startMs = pair.net.clock.nowMs();
  return { ...pair, startMs };
}

Deno.test("a first packet brings initiation, response and the data, in one moment", () => {
  const { net, there, wire } = setUp();
  there.send();
  net.runFor(0);
  assertEquals(wire.map(({ from, kind }) => [from, kind]), [
    ["a", Kind.Initiation],
    ["b", Kind.Response],
    ["a", Kind.Data],
  ]);
});

Deno.test("who received data and had nothing to say sends a keepalive after exactly 10 s", () => {
  const { net, there, since, startMs } = connected();
  there.send();
  net.runFor(60_000);
  assertEquals(since(startMs), [
    { atMs: startMs, from: "a", kind: Kind.Data },
    { atMs: startMs + 10_000, from: "b", kind: Kind.Keepalive },
  ]);
});

Deno.test("an answer within 10 s stands for the keepalive", () => {
  const { net, there, back, since, startMs } = connected();
  there.send();
  net.runFor(9_999);
  back.send();
  net.runFor(60_000);
  assertEquals(since(startMs).map(({ atMs, from, kind }) => [atMs - startMs, from, kind]), [
    [0, "a", Kind.Data],
    [9_999, "b", Kind.Data],
    [19_999, "a", Kind.Keepalive],
  ]);
});

Deno.test("a keepalive stands for all the data that came before it", () => {
  const { net, there, since, startMs } = connected();
  there.send();
  net.runFor(3_000);
  there.send();
  net.runFor(60_000);
  assertEquals(
    since(startMs).filter(({ from }) => from === "b").map(({ atMs, kind }) => [
      atMs - startMs,
      kind,
    ]),
    [[10_000, Kind.Keepalive]],
  );
});

Deno.test("keepalives are not answered by keepalives", () => {
  const { net, there, wire } = connected();
  there.send();
  net.runFor(15_000);
  const count = wire.length;
  net.runFor(100_000);
  assertEquals(wire.length, count);
});

Deno.test("data without any answer for 15 s and up to 333 ms begins a handshake", () => {
  const { net, there, since, startMs, cut } = connected();
  cut.a = true;
  there.send();
  net.runFor(16_000);
  const sent = since(startMs);
  assertEquals(sent.map(({ kind }) => kind), [Kind.Data, Kind.Initiation]);
  const waitedMs = sent[1].atMs - startMs;
  assert(waitedMs >= 15_000 && waitedMs <= 15_333, `${waitedMs} ms`);
});

Deno.test("the 15 s count from the first unanswered data, not from the last", () => {
  const { net, there, since, startMs, cut } = connected();
  cut.a = true;
  for (let i = 0; i < 16; i++) {
    there.send();
    net.runFor(1000);
  }
  const initiation = since(startMs).find(({ kind }) => kind === Kind.Initiation)!;
  assert(initiation.atMs - startMs <= 15_333, `${initiation.atMs - startMs} ms`);
});

Deno.test("persistent keepalives keep their interval, and traffic of either side puts them off", () => {
  const { net, a, b, there, since } = connected();
  a.node.control.apply({
    peers: [{ publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] }],
  });
  net.runFor(0);
  const startMs = net.clock.nowMs();
  net.runFor(60_000);
  // From A at once, then every 25 s. B has nothing to answer.
  const times = since(startMs).filter(({ kind }) => kind === Kind.Keepalive)
    .map(({ atMs, from }) => [atMs - startMs, from]);
  assertEquals(times, [[0, "a"], [25_000, "a"], [50_000, "a"]]);
  const nextMs = net.clock.nowMs();
  there.send();
  net.runFor(34_999);
  const later = since(nextMs).map(({ atMs, from, kind }) => [atMs - nextMs, from, kind]);
  assertEquals(later, [[0, "a", Kind.Data], [10_000, "b", Kind.Keepalive]]);
  net.runFor(1);
  assertEquals(since(nextMs).length, 3, "25 s after what was received");
});

Deno.test("the initiator renews on sending after 120 s, the responder never does", () => {
  const { net, there, back, since } = setUp();
  there.send();
  net.runFor(1);
  const startMs = net.clock.nowMs() - 1;
  net.runFor(startMs + 119_999 - net.clock.nowMs());
  back.send();
  there.send();
  net.runFor(0);
  assertEquals(since(startMs + 1).filter(({ kind }) => kind === Kind.Initiation), []);
  net.runFor(1);
  back.send();
  net.runFor(0);
  assertEquals(since(startMs + 1).filter(({ kind }) => kind === Kind.Initiation), []);
  there.send();
  net.runFor(0);
  assertEquals(
    since(startMs + 1).filter(({ kind }) => kind <= Kind.Response).map(({ atMs, from, kind }) => [
      atMs - startMs,
      from,
      kind,
    ]),
    [[120_000, "a", Kind.Initiation], [120_000, "b", Kind.Response]],
  );
});

Deno.test("an initiator that only listens renews once, when it hears something after 165 s", () => {
  const { net, there, back, since } = setUp();
  there.send();
  net.runFor(0);
  const startMs = net.clock.nowMs();
  net.runFor(165_000);
  back.send();
  net.runFor(0);
  const begun = () => since(startMs + 1).filter(({ kind }) => kind === Kind.Initiation);
  assertEquals(begun().length, 0);
  net.runFor(1);
  back.send();
  net.runFor(0);
  assertEquals(begun().map(({ atMs, from }) => [atMs - startMs, from]), [[165_001, "a"]]);
});

Deno.test("a suspend of ten minutes: old keys are dead, one handshake, then traffic", () => {
  const { net, a, b, there, back, since } = connected();
  net.clock.advance(600_000);
  for (const { node } of [a, b]) node.onTimeout();
  net.run();
  const startMs = net.clock.nowMs();
  there.send();
  net.runFor(100);
  back.send();
  net.runFor(100);
  assertEquals(since(startMs).filter(({ kind }) => kind === Kind.Initiation).length, 1);
  assertEquals(there.arrivedAt(b), [0, 1]);
  assertEquals(back.arrivedAt(a), [0, 1]);
});

Deno.test("hazard 33: a wall clock that jumps moves no timer", () => {
  const { net, there, since, startMs } = connected();
  there.send();
  net.runFor(3_000);
  net.clock.jumpWall(-3_600_000);
  net.runFor(3_000);
  net.clock.jumpWall(7_200_000);
  net.runFor(60_000);
  assertEquals(since(startMs).map(({ atMs, kind }) => [atMs - startMs, kind]), [
    [0, Kind.Data],
    [10_000, Kind.Keepalive],
  ]);
});
