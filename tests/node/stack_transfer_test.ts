import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { LaneCounter } from "../../src/lane/counters.ts";
import type { CryptoStage } from "../../src/lane/encryptor.ts";
import { DEFAULT_SESSION_LIMITS } from "../../src/lane/limits.ts";
import { FilterAction, FilterDirection } from "../../src/nat/filter.ts";
import { TcpEnd } from "../../src/netstack/tcp/tcp_socket.ts";
import { bytesOf } from "../sim/node_pair.ts";
import { DelayedStage, lossyFate } from "../sim/flows.ts";
import {
  A4,
  B4,
  inner6,
  makeStackPair,
  type StackPair,
  type StackPairOptions,
} from "../sim/stack_nodes.ts";
import { Acceptor, PatternSink, PatternSource } from "../sim/tcp_apps.ts";

const PORT = 5201;

interface Transfer extends StackPair {
  readonly source: PatternSource;
  readonly sink: PatternSink;
}

/** Begins a transfer from the first node to the second. */
function begin(
  totalBytes: number,
  options: StackPairOptions & { remote?: Uint8Array; takesPieces?: boolean } = {},
): Transfer {
  const pair = makeStackPair(options);
  const { net, a, b, stackA, stackB } = pair;
  const source = new PatternSource(a.node.slab, totalBytes);
  const sink = new PatternSink(b.node.slab, options.takesPieces);
  stackB.tcp.listen(null, PORT, new Acceptor(() => sink));
  stackA.tcp.connect(options.remote ?? bytesOf(B4), PORT, source, net.clock.nowMs());
  return { ...pair, source, sink };
}

/** Lets time pass until the sink has everything. */
function finish({ net, sink }: Transfer, limitMs = 120_000): void {
  const endMs = net.clock.nowMs() + limitMs;
  net.run();
  while (!sink.isFinished && net.clock.nowMs() < endMs) net.runFor(10);
}

function assertExact({ source, sink, net }: Transfer): void {
  const where = `seed ${net.seed}`;
  assertEquals(sink.received, source.totalBytes, where);
  assertEquals(sink.wrongAt, -1, where);
  assert(sink.isFinished, where);
}

for (const [version, remote] of [[4, bytesOf(B4)], [6, inner6(2)]] as const) {
  Deno.test(`a stream of 2 MB from stack to stack through WireGuard is exact, IPv${version}`, () => {
    const transfer = begin(2_000_000, { remote });
    finish(transfer);
    assertExact(transfer);
    const sent = transfer.a.node.lane.channels.counters;
    const segments = sent.value(LaneCounter.StackSegments);
    const packets = sent.value(LaneCounter.StackSegmentPackets);
    assert(packets > 8 * segments, `${packets} packets of ${segments} segments`);
    const got = transfer.b.node.lane.channels.counters;
    assert(got.value(LaneCounter.StackPackets) > 4 * got.value(LaneCounter.StackItems));
  });
}

Deno.test("without GSO the same stream is made of packets that share sends", () => {
  const transfer = begin(300_000, { stack: { gso: false } });
  finish(transfer);
  assertExact(transfer);
  const sent = transfer.a.node.lane.channels.counters;
  assertEquals(
    sent.value(LaneCounter.StackSegments),
    sent.value(LaneCounter.StackSegmentPackets),
  );
  assert(sent.value(LaneCounter.UdpSendMessages) > 4 * sent.value(LaneCounter.UdpSends));
});

Deno.test("an application may take what came in from where it was decrypted", () => {
  const transfer = begin(500_000, { takesPieces: true });
  finish(transfer);
  assertExact(transfer);
  assert(transfer.sink.takenItems > 0);
});

Deno.test("rule 33: a link of 8 segments loses nothing: TCP goes on when it drains", () => {
  const transfer = begin(1_000_000, { stack: { linkSegments: 8 } });
  finish(transfer);
  assertExact(transfer);
  const { counters } = transfer.a.node.lane.channels;
  for (const reason of [DropReason.LinkFull, DropReason.NoBuffer, DropReason.StagedOverflow]) {
    assertEquals(counters.dropped(reason), 0);
  }
});

for (const seed of [1, 2, 3]) {
  Deno.test(`with loss, duplicates and reordering below WireGuard the stream is exact, seed ${seed}`, () => {
    const transfer = begin(300_000, { seed });
    transfer.net.run();
    transfer.net.fate = lossyFate(seed, { lost: 0.02, repeated: 0.01, delayed: 0.02 });
    finish(transfer, 600_000);
    assertExact(transfer);
  });
}

Deno.test("both ends are told how it ended, and no connection is left", () => {
  const transfer = begin(100_000);
  finish(transfer);
  transfer.net.runFor(200_000);
  assertEquals([transfer.source.end, transfer.sink.end], [TcpEnd.Closed, TcpEnd.Closed]);
  const left = [transfer.stackA, transfer.stackB].map(({ tcp }) => tcp.connectionCount);
  assertEquals(left, [0, 0]);
});

Deno.test("a port where nobody listens refuses at once", () => {
  const { net, a, stackA } = makeStackPair();
  const source = new PatternSource(a.node.slab, 10);
  stackA.tcp.connect(bytesOf(B4), PORT, source, net.clock.nowMs());
  net.run();
  assertEquals(source.end, TcpEnd.Refused);
});

Deno.test("a connect to an address that no peer has ends as unreachable", () => {
  const { net, a, stackA } = makeStackPair();
  const source = new PatternSource(a.node.slab, 10);
  stackA.tcp.connect(Uint8Array.of(10, 200, 0, 1), PORT, source, net.clock.nowMs());
  net.runFor(300_000);
  assertEquals(source.end, TcpEnd.Unreachable);
});

Deno.test("a stream goes on over rekeys", () => {
  const limits = {
    ...DEFAULT_SESSION_LIMITS,
    rekeyAfterMs: 6000,
    rejectAfterMs: 20_000,
    rekeyOnReceiveAfterMs: 12_000,
  };
  const transfer = begin(3_000_000, { node: { limits } });
  transfer.net.latencyMs = 400;
  transfer.net.fate = lossyFate(9, { lost: 0.005 });
  finish(transfer, 600_000);
  assertExact(transfer);
  const initiations = transfer.net.log.filter(({ bytes }) => bytes[0] === 1).length;
  assert(initiations > 2, `${initiations} handshakes`);
});

Deno.test("over a path of 50 ms the stream fills its window, and ACKs share sends", () => {
  const transfer = begin(4_000_000);
  transfer.net.latencyMs = 25;
  const beginMs = transfer.net.clock.nowMs();
  finish(transfer);
  assertExact(transfer);
  const tookMs = transfer.net.clock.nowMs() - beginMs;
  assert(tookMs < 1500, `${tookMs} ms of virtual time`);
  const { counters } = transfer.b.node.lane.channels;
  const packets = counters.value(LaneCounter.StackPackets);
  const answers = counters.value(LaneCounter.StackSegments);
  assert(answers * 8 < packets, `${answers} answers to ${packets} packets`);
});

Deno.test("a stage that takes its time holds up nothing for good, and the stream is exact", () => {
  const clock = { nowMs: () => 0 };
  const wrapStage = (stage: CryptoStage) => new DelayedStage(stage, () => clock.nowMs(), 3);
  const transfer = begin(600_000, { node: { wrapStage }, stack: { linkSegments: 16 } });
  clock.nowMs = () => transfer.net.clock.nowMs();
  const endMs = transfer.net.clock.nowMs() + 120_000;
  while (!transfer.sink.isFinished && transfer.net.clock.nowMs() < endMs) transfer.net.runFor(1);
  assertExact(transfer);
});

for (const [version, remote] of [[4, bytesOf(B4)], [6, inner6(2)]] as const) {
  Deno.test(`a stream is exact for a peer that knows us by another address, IPv${version}`, () => {
    const pair = makeStackPair();
    const { net, a, b, stackA, stackB } = pair;
    const source = new PatternSource(a.node.slab, 300_000);
    const sink = new PatternSink(b.node.slab);
    const known4 = Uint8Array.of(172, 16, 9, 9), known6 = inner6(99).map((byte) => byte ^ 0x10);
    const known = [{ address: known4, bits: 32 }, { address: known6, bits: 128 }];
    net.introduce(b, a, known);
    a.node.control.policy.setNat(b.publicKey, [
      { own: bytesOf(A4), theirs: known4 },
      { own: inner6(1), theirs: known6 },
    ]);
    const remotes: Uint8Array[] = [];
    stackB.tcp.listen(null, PORT, {
      onSyn: (pending) => {
        remotes.push(pending.flow.remoteAddress);
        pending.accept(sink);
      },
      onPendingGone: () => {},
    });
    stackA.tcp.connect(remote, PORT, source, net.clock.nowMs());
    net.fate = lossyFate(3, { lost: 0.01 });
    finish({ ...pair, source, sink });
    assertExact({ ...pair, source, sink });
    assertEquals([...remotes[0]], [...(version === 4 ? known4 : known6)]);
    const drops = [DropReason.TransportChecksumInvalid, DropReason.Ipv4ChecksumInvalid];
    for (const node of [a.node, b.node]) {
      for (const reason of drops) assertEquals(node.lane.channels.counters.dropped(reason), 0);
    }
  });
}

Deno.test("flows of a stack are counted per packet, both ways", () => {
  const transfer = begin(200_000);
  const { policy } = transfer.a.node.control;
  policy.startFlowStatistics();
  finish(transfer);
  transfer.net.runFor(1000);
  const [flow, ...others] = policy.extractFlows()!;
  assertEquals(others.length, 0);
  assertEquals([flow.protocol, flow.remotePort], [6, PORT]);
  assertEquals([...flow.localAddress, ...flow.remoteAddress], [...bytesOf(A4), ...bytesOf(B4)]);
  const sent = transfer.a.node.lane.channels.counters;
  assertEquals(flow.packetsOut, sent.value(LaneCounter.StackSegmentPackets));
  assert(flow.bytesOut > 200_000 + 40 * flow.packetsOut, `${flow.bytesOut} bytes`);
  assertEquals(flow.packetsIn, sent.value(LaneCounter.StackPackets));
});

Deno.test("what a stack sends does not pass the filter, what comes for it does", () => {
  const transfer = begin(50_000);
  const everything = { action: FilterAction.Deny, directions: FilterDirection.Out };
  transfer.a.node.control.policy.setFilter([everything]);
  transfer.b.node.control.policy.setFilter([everything]);
  finish(transfer);
  assertExact(transfer);
  const refused = begin(50_000);
  refused.b.node.control.policy.setFilter([
    { action: FilterAction.Deny, directions: FilterDirection.In, protocol: 6 },
  ]);
  finish(refused, 10_000);
  assertEquals(refused.sink.received, 0);
  const { counters } = refused.b.node.lane.channels;
  assert(counters.dropped(DropReason.FilterDenied) > 0);
});
