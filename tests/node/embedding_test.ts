/**
 * The same behaviour by both lower edges of a link endpoint: the lane that is called back and takes
 * integers, and a program that awaits segments as objects.
 */
import { assert, assertEquals } from "@std/assert";
import type { Slab } from "../../src/memory/slab.ts";
import type { Stack } from "../../src/netstack/stack.ts";
import { TcpEnd } from "../../src/netstack/tcp/tcp_socket.ts";
import { AWAITED_OFFLOAD, AwaitedStack } from "../sim/awaited_stack.ts";
import { lossyFate } from "../sim/flows.ts";
import { bytesOf, SimNetwork } from "../sim/node_pair.ts";
import { A4, addressesOf, B4, inner6 } from "../sim/stack_nodes.ts";
import { Acceptor, PatternSink, PatternSource } from "../sim/tcp_apps.ts";

const PORT = 5201;

interface End {
  readonly stack: Stack;
  /** Where the stack's buffers are. */
  readonly slab: Slab;
  stop(): Promise<void>;
}

interface Ends {
  readonly net: SimNetwork;
  readonly a: End;
  readonly b: End;
}

/** Both ends with the stack inside the node, driven by the link's callback. */
function calledBack(gso: boolean): Ends {
  const net = new SimNetwork();
  const add = (address4: number, last6: number) =>
    net.add({ tun: false, node: { stack: { addresses: addressesOf(address4, last6), gso } } });
  const nodes = [add(A4, 1), add(B4, 2)];
  net.connect(nodes[0], nodes[1], { ofA: addressesOf(A4, 1), ofB: addressesOf(B4, 2) });
  const [a, b] = nodes.map(({ node }) => {
    node.onWork = () => queueMicrotask(() => node.run());
    return { stack: node.stack!, slab: node.slab, stop: () => Promise.resolve() };
  });
  return { net, a, b };
}

/** Both ends with the stack outside, awaiting its link. */
function awaited(gso: boolean): Ends {
  const net = new SimNetwork();
  const add = (address4: number, last6: number) => {
    let outside!: AwaitedStack;
    const stack = { addresses: addressesOf(address4, last6), gso, poolBytes: 32 << 20 };
    const sim = net.add({
      tun: false,
      node: {
        stack,
        tunOffload: AWAITED_OFFLOAD,
        makeStack: (parts) => (outside = new AwaitedStack(parts, stack)).port,
      },
    });
    return { sim, outside };
  };
  const a = add(A4, 1), b = add(B4, 2);
  net.connect(a.sim, b.sim, { ofA: addressesOf(A4, 1), ofB: addressesOf(B4, 2) });
  const [endA, endB] = [a, b].map(({ outside }) => ({
    stack: outside.stack,
    slab: outside.slab,
    stop: () => outside.stop(),
  }));
  return { net, a: endA, b: endB };
}

/** Lets programs that wait go on, then the network, until `isDone`. */
async function runUntil({ net }: Ends, isDone: () => boolean, limitMs = 300_000): Promise<void> {
  const endMs = net.clock.nowMs() + limitMs;
  while (!isDone() && net.clock.nowMs() < endMs) {
    for (let i = 0; i < 200 && !isDone(); i++) {
      net.run();
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
    net.runFor(5);
  }
}

for (const [name, makeEnds] of [["called back", calledBack], ["awaited", awaited]] as const) {
  for (const gso of [true, false]) {
    for (const [version, remote] of [[4, bytesOf(B4)], [6, inner6(2)]] as const) {
      const how = `${name}, IPv${version}, ${gso ? "with" : "without"} GSO`;
      Deno.test(`a stream is exact over a link that is ${how}`, async () => {
        const ends = makeEnds(gso);
        const { net, a, b } = ends;
        const source = new PatternSource(a.slab, 400_000), sink = new PatternSink(b.slab);
        b.stack.tcp.listen(null, PORT, new Acceptor(() => sink));
        a.stack.tcp.connect(remote, PORT, source, net.clock.nowMs());
        await runUntil(ends, () => sink.isFinished);
        assertEquals([sink.received, sink.wrongAt], [source.totalBytes, -1]);
        await Promise.all([a.stop(), b.stop()]);
      });
    }
  }

  Deno.test(`a stream survives loss over a link that is ${name}`, async () => {
    const ends = makeEnds(true);
    const { net, a, b } = ends;
    const source = new PatternSource(a.slab, 150_000), sink = new PatternSink(b.slab);
    b.stack.tcp.listen(null, PORT, new Acceptor(() => sink));
    a.stack.tcp.connect(bytesOf(B4), PORT, source, net.clock.nowMs());
    net.run();
    net.fate = lossyFate(5, { lost: 0.03, delayed: 0.02 });
    await runUntil(ends, () => sink.isFinished);
    assertEquals([sink.received, sink.wrongAt], [source.totalBytes, -1]);
    await Promise.all([a.stop(), b.stop()]);
  });

  Deno.test(`a refused connection ends over a link that is ${name}`, async () => {
    const ends = makeEnds(true);
    const { net, a, b } = ends;
    const source = new PatternSource(a.slab, 10);
    a.stack.tcp.connect(bytesOf(B4), PORT, source, net.clock.nowMs());
    await runUntil(ends, () => source.end !== null);
    assertEquals(source.end, TcpEnd.Refused);
    await Promise.all([a.stop(), b.stop()]);
  });
}

Deno.test("whoever awaits a link is released when it is closed", async () => {
  const { a, b } = awaited(true);
  a.stack.link.close();
  await a.stop();
  assert(a.stack.link.isClosed);
  await b.stop();
});
