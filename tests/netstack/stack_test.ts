import { assert, assertEquals } from "@std/assert";
import { StackCounter } from "../../src/netstack/counters.ts";
import { stackCounts } from "../../src/netstack/stack_flows.ts";
import { TcpEnd } from "../../src/netstack/tcp/tcp_socket.ts";
import { pattern } from "../offload/packet_builder.ts";
import {
  address,
  icmp4,
  icmp6,
  ICMPV6,
  ip4,
  ip6,
  OWN4,
  OWN6,
  parse,
  PEER4,
  PEER6,
  TCP,
} from "./packets.ts";
import { Peer, StackPair, type WireOptions } from "./stack_pair.ts";

/** Connects a to port 80 of b, both send, until both directions are closed. */
function exchange(
  pair: StackPair,
  remote: string,
  up: Uint8Array,
  down: Uint8Array,
): { client: Peer; server: Peer } {
  const client = new Peer(pair.a.scene, up);
  const server = new Peer(pair.b.scene, down);
  pair.b.scene.stack.tcp.listen(null, 80, {
    onSyn: (pending) => void pending.accept(server),
    onPendingGone: () => {},
  });
  pair.a.scene.stack.tcp.connect(address(remote), 80, client, pair.nowMs);
  assert(pair.run(() => client.end !== null && server.end !== null, 300_000), "both have ended");
  assertEquals([client.end, server.end], [TcpEnd.Closed, TcpEnd.Closed]);
  assert(same(server.whole(), up) && same(client.whole(), down), "both streams are exact");
  return { client, server };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

for (const remote of [PEER4, PEER6]) {
  for (const [gso, gro] of [[true, true], [true, false], [false, true], [false, false]]) {
    const name = `${remote}: a stream both ways, GSO ${gso ? "on" : "off"}, GRO ${
      gro ? "on" : "off"
    }`;
    Deno.test(name, () => {
      const pair = new StackPair({ gso, gro, joinsStreams: remote === PEER4 });
      exchange(pair, remote, pattern(3_000_000, 1), pattern(500_000, 2));
      const { counters } = pair.b.scene.stack;
      const packetsIn = counters.value(StackCounter.PacketsIn);
      const itemsIn = counters.value(StackCounter.ItemsIn);
      if (gro) assert(packetsIn > 4 * itemsIn, `${packetsIn} packets in ${itemsIn} items`);
      else assertEquals(packetsIn, itemsIn);
      assertEquals(pair.a.scene.takeDrops(), {});
      assertEquals(pair.b.scene.takeDrops(), {});
      // TIME-WAIT holds no memory.
      assertEquals([pair.a.scene.pool.usedBytes, pair.b.scene.pool.usedBytes], [0, 0]);
    });
  }
}

Deno.test("every packet of a stream has a right checksum, DF, and an ID that counts up", () => {
  const ids: number[] = [];
  const router: WireOptions["router"] = (packet, fromA) => {
    const { protocol, dontFragment, id } = parse(packet);
    assertEquals([protocol, dontFragment], [TCP, true]);
    if (fromA) ids.push(id);
    return { on: packet };
  };
  const pair = new StackPair({ gro: false, router });
  exchange(pair, PEER4, pattern(200_000), new Uint8Array());
  assertEquals(pair.b.scene.takeDrops(), {}, "the other end has verified all checksums");
  assert(ids.slice(1).every((id, i) => id === ((ids[i] + 1) & 0xffff)));
});

Deno.test("all IPv6 packets of a connection have one flow label, each connection its own", () => {
  const labels = [1, 2, 3].map((round) => {
    const seen = new Set<number>();
    const router: WireOptions["router"] = (packet, fromA) => {
      if (fromA) seen.add(new DataView(packet.buffer).getUint32(0) & 0xfffff);
      return { on: packet };
    };
    const pair = new StackPair({ router });
    // Seeds of a scene are fixed: paths that were made before make a difference.
    for (let i = 0; i < round; i++) pair.a.scene.stack.output.makePath(address(PEER6));
    exchange(pair, PEER6, pattern(50_000), pattern(10));
    assertEquals(seen.size, 1);
    return [...seen][0];
  });
  assertEquals(new Set(labels).size, 3);
  assert(labels.every((label) => label !== 0));
});

/** A router that lets packets of `mtu` bytes pass, and says so about longer ones. */
function narrow(mtu: number, isSilent = false): Required<Pick<WireOptions, "router">> {
  return {
    router(packet) {
      if (packet.length <= mtu) return { on: packet };
      if (isSilent) return {};
      const { source, version } = parse(packet);
      const back = version === 4
        ? ip4(
          { source: "172.16.0.1", destination: source, protocol: 1 },
          icmp4(3, 4, mtu, packet.slice(0, 28)),
        )
        : ip6(
          { source: "2001:db8::9", destination: source, protocol: ICMPV6 },
          icmp6(2, 0, mtu, packet.slice(0, 1232), "2001:db8::9", source),
        );
      return { back };
    },
  };
}

for (const remote of [PEER4, PEER6]) {
  for (const gso of [true, false]) {
    Deno.test(`${remote}: a stream finds its way through a narrow path, GSO ${gso}`, () => {
      const pair = new StackPair({ gso, ...narrow(1300) });
      exchange(pair, remote, pattern(1_000_000, 1), pattern(1_000_000, 2));
      assert(pair.nowMs < 5000, `it took ${pair.nowMs} ms`);
      for (const { scene } of [pair.a, pair.b]) {
        assertEquals(scene.stack.output.pathMtus.count, 1, "the next connection knows");
      }
      const before = pair.packetCount;
      const client = new Peer(pair.a.scene, pattern(100_000));
      pair.a.scene.stack.tcp.connect(address(remote), 80, client, pair.nowMs);
      pair.run(() => client.sentBytes === 100_000, 1000);
      assert(pair.packetCount > before);
    });
  }
}

Deno.test("a full link stops TCP, which goes on when it drains; nothing is lost", () => {
  const pair = new StackPair({ gso: false });
  const { stack, link } = pair.a.scene;
  const sockets = stack.udp.bind(null, 9, { onDatagram: () => {} })!;
  // Before each turn the link is almost full of datagrams that nobody takes.
  const { flush } = stack;
  stack.flush = (nowMs) => {
    while (link.freeSlots > 3) sockets.sendBytesTo(address("10.0.0.77"), 9, new Uint8Array(4));
    flush.call(stack, nowMs);
  };
  exchange(pair, PEER4, pattern(60_000), new Uint8Array());
  assertEquals(pair.a.scene.takeDrops(), {});
});

Deno.test("a SYN to a port where nobody listens is refused", () => {
  for (const remote of [PEER4, PEER6]) {
    const pair = new StackPair();
    const client = new Peer(pair.a.scene, new Uint8Array());
    pair.a.scene.stack.tcp.connect(address(remote), 81, client, pair.nowMs);
    pair.run(() => client.end !== null);
    assertEquals(client.end, TcpEnd.Refused);
    assertEquals(pair.b.scene.takeDrops(), { TcpUnmatched: 1 });
  }
});

Deno.test("in forwarding mode a connection to any destination is the forwarder's", () => {
  for (const remote of ["192.168.44.1", "2001:db8::44"]) {
    const pair = new StackPair();
    const { stack } = pair.b.scene;
    stack.acceptsAny = true;
    const server = new Peer(pair.b.scene, pattern(1000, 3));
    const asked: string[] = [];
    stack.tcp.forwarder = {
      onSyn(pending) {
        asked.push(`${pending.flow.localAddress.join()} ${pending.flow.localPort}`);
        pending.accept(server);
      },
      onPendingGone: () => {},
    };
    const client = new Peer(pair.a.scene, pattern(1000, 4));
    pair.a.scene.stack.tcp.connect(address(remote), 443, client, pair.nowMs);
    assert(pair.run(() => client.end !== null && server.end !== null));
    assertEquals(asked, [`${address(remote).join()} 443`]);
    assert(same(server.whole(), pattern(1000, 4)) && same(client.whole(), pattern(1000, 3)));
  }
});

Deno.test("a listener on all of our addresses does not answer for others", () => {
  const pair = new StackPair();
  const { stack } = pair.b.scene;
  stack.acceptsAny = true;
  const server = new Peer(pair.b.scene, new Uint8Array());
  stack.tcp.listen(null, 80, {
    onSyn: (pending) => void pending.accept(server),
    onPendingGone: () => {},
  });
  const client = new Peer(pair.a.scene, new Uint8Array());
  pair.a.scene.stack.tcp.connect(address("192.168.44.1"), 80, client, pair.nowMs);
  pair.run(() => client.end !== null);
  assertEquals(client.end, TcpEnd.Refused);
});

Deno.test("a forwarder's unreachable ends a connection attempt", () => {
  for (const remote of ["192.168.44.1", "2001:db8::44"]) {
    const pair = new StackPair();
    const { stack } = pair.b.scene;
    stack.acceptsAny = true;
    stack.tcp.forwarder = {
      onSyn: (pending) => pending.unreachable(),
      onPendingGone: () => {},
    };
    const client = new Peer(pair.a.scene, new Uint8Array());
    pair.a.scene.stack.tcp.connect(address(remote), 80, client, pair.nowMs);
    pair.run(() => client.end !== null, 400_000);
    assertEquals(client.end, TcpEnd.Unreachable);
  }
});

Deno.test("closing a stack discards what is queued, counts it, and refuses the rest", () => {
  const pair = new StackPair();
  const { stack, link } = pair.a.scene;
  const socket = stack.udp.bind(null, 9, { onDatagram: () => {} })!;
  for (let i = 0; i < 5; i++) socket.sendBytesTo(address(PEER4), 9, pattern(1000));
  stack.close();
  assertEquals(pair.a.scene.takeDrops(), { LinkClosed: 5 });
  assert(link.isClosed && link.isEmpty);
  assertEquals(pair.a.scene.pool.usedBytes, 0);
  stack.tcp.connect(address(PEER4), 80, new Peer(pair.a.scene, new Uint8Array()), pair.nowMs);
  stack.flush(pair.nowMs);
  assertEquals(link.numQueued, 0);
});

Deno.test("an embedder may drive a stack by injectInbound and readAsync alone", async () => {
  const { scene } = new StackPair().a;
  const { stack, link } = scene;
  assert(link.isAttached);
  stack.acceptsAny = true;
  assert(stack.acceptsAny);
  const answer = link.readAsync();
  const request = ip4({ protocol: 1, destination: OWN4 }, icmp4(8, 0, 5, pattern(600)));
  assert(link.injectInbound(request));
  const { payload, destination } = parse((await answer)!.bytes);
  assertEquals([destination, payload[0]], [PEER4, 0]);
  assertEquals(payload.slice(8), pattern(600));
  assertEquals(scene.pool.usedBytes, 0);
  stack.close();
  assertEquals(await link.readAsync(), null);
});

Deno.test("a stack lists its connections and sockets, and counts by name", () => {
  const pair = new StackPair();
  const { stack } = pair.a.scene;
  const silent = { onDatagram: () => {} };
  stack.udp.bind(null, 53, silent);
  stack.udp.connect(address(PEER6), 123, silent, undefined, 4000);
  const client = new Peer(pair.a.scene, new Uint8Array());
  stack.tcp.connect(address(PEER4), 80, client, pair.nowMs, { port: 5000 });
  const unacknowledgedBytes = 0;
  assertEquals([...stack.flows()], [
    {
      protocol: "tcp",
      localAddress: address(OWN4),
      localPort: 5000,
      remoteAddress: address(PEER4),
      remotePort: 80,
      state: "SynSent",
      unacknowledgedBytes,
    },
    {
      protocol: "udp",
      localAddress: null,
      localPort: 53,
      remoteAddress: null,
      remotePort: 0,
      state: "Bound",
      unacknowledgedBytes,
    },
    {
      protocol: "udp",
      localAddress: address(OWN6),
      localPort: 4000,
      remoteAddress: address(PEER6),
      remotePort: 123,
      state: "Flow",
      unacknowledgedBytes,
    },
  ]);
  pair.run(() => client.end !== null);
  const counts = stackCounts(stack.counters);
  assertEquals([counts.PacketsIn, counts.BytesIn, counts.UdpIn], [1, 40, 0]);
});

Deno.test("path MTUs of 256 destinations are kept, and the oldest gives way", () => {
  const { stack } = new StackPair().a.scene;
  const { pathMtus } = stack.output;
  for (let i = 0; i < 1000; i++) pathMtus.learn(address(`10.1.${i >> 8}.${i & 255}`), 700 + i, 0);
  assertEquals(pathMtus.count, 256);
  assertEquals(pathMtus.mtuTo(address("10.1.0.5"), 1420, 1), 1420);
  assertEquals(pathMtus.mtuTo(address("10.1.3.231"), 1420, 1), 1420);
  assertEquals(pathMtus.mtuTo(address("10.1.3.0"), 1420, 1), 1420);
  pathMtus.learn(address("10.9.9.9"), 900, 0);
  assertEquals(pathMtus.mtuTo(address("10.9.9.9"), 1420, 599_999), 900);
  assertEquals(pathMtus.mtuTo(address("10.9.9.9"), 800, 1), 800, "the link may be narrower");
  assertEquals(pathMtus.mtuTo(address("10.9.9.9"), 1420, 600_000), 1420);
  assertEquals(pathMtus.count, 255);
});

Deno.test("closing a stack ends its connections and sockets, and all memory comes back", () => {
  const pair = new StackPair();
  const { scene } = pair.a;
  const client = new Peer(scene, pattern(10_000_000));
  const server = new Peer(pair.b.scene, new Uint8Array());
  pair.b.scene.stack.tcp.listen(null, 80, {
    onSyn: (pending) => void pending.accept(server),
    onPendingGone: () => {},
  });
  scene.stack.tcp.connect(address(PEER4), 80, client, pair.nowMs);
  scene.stack.udp.bind(null, 53, { onDatagram: () => {} });
  assert(pair.run(() => server.receivedBytes > 1_000_000));
  scene.receive(ip4({ fragment: 0x2000 }, pattern(800)));
  assert(scene.pool.usedBytes > 0);
  scene.stack.close();
  assertEquals(client.end, TcpEnd.Aborted);
  assertEquals([...scene.stack.flows()], []);
  assertEquals(scene.pool.usedBytes, 0);
  assertEquals(scene.stack.nextTimeoutMs(), Infinity);
});

Deno.test("our own addresses are the sources, the one of the destination's network first", () => {
  const pair = new StackPair();
  const { stack } = pair.a.scene;
  stack.addAddress({ address: address("192.168.5.5"), bits: 24 });
  const local = (remote: string) => stack.output.makePath(address(remote))?.local.join(".");
  assertEquals(local("192.168.5.9"), "192.168.5.5");
  assertEquals(local("10.0.0.9"), OWN4);
  assertEquals(local("8.8.8.8"), OWN4);
  assertEquals(stack.output.makePath(address(PEER6))?.local, address(OWN6));
  stack.setAddresses([]);
  assertEquals(local("8.8.8.8"), undefined);
});
