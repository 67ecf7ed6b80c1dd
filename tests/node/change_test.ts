import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { Flow, hostPrefix } from "../sim/flows.ts";
import { SimNetwork, type SimNode } from "../sim/node_pair.ts";

const A = 0x0a640001, B = 0x0a640002, C = 0x0a640003, MOVING = 0x0a640099;

function range(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** A with peers B and C, each pair with a session. */
function makeStar(seed = 1) {
  const net = new SimNetwork(seed);
  const [a, b, c] = [net.add(), net.add(), net.add()];
  net.connect(a, b, { ofA: [hostPrefix(A)], ofB: [hostPrefix(B)] });
  net.connect(a, c, { ofA: [hostPrefix(A)], ofB: [hostPrefix(C)] });
  const flows = {
    toB: new Flow(a, A, B),
    toC: new Flow(a, A, C),
    fromB: new Flow(b, B, A),
    fromC: new Flow(c, C, A),
  };
  const step = (count = 1) => {
    for (const flow of Object.values(flows)) flow.send(count);
    net.runFor(100);
  };
  flows.toB.send();
  flows.toC.send();
  net.runFor(1000);
  return { net, a, b, c, flows, step };
}

function remove(at: SimNode, peer: SimNode): void {
  at.node.control.apply({ peers: [{ publicKey: peer.publicKey, remove: true, allowedIps: [] }] });
}

Deno.test("peers added and removed under traffic do not touch the other flows", () => {
  const { net, a, b, c, flows, step } = makeStar();
  for (let round = 0; round < 10; round++) {
    step(3);
    remove(a, c);
    step(3);
    net.introduce(a, c, [hostPrefix(C)]);
    // C does not know that A has lost the session: A's next packet makes a new one.
    step(3);
    net.runFor(6000);
  }
  assertEquals(flows.toB.arrivedAt(b), range(flows.toB.sent));
  assertEquals(flows.fromB.arrivedAt(a), range(flows.fromB.sent));
  const toC = flows.toC.arrivedAt(c);
  assertEquals(new Set(toC).size, toC.length);
  assert(toC.length >= flows.toC.sent * 2 / 3 - 1, `${toC.length} of ${flows.toC.sent}`);
  assertEquals(toC, [...toC].sort((x, y) => x - y));
});

Deno.test("what is under way from a removed peer is refused, and its slot serves another", () => {
  const { net, a, b, flows, step } = makeStar();
  step();
  const before = flows.fromC.arrivedAt(a).length;
  remove(a, net.nodes[2]);
  for (let i = 0; i < 20; i++) step();
  assertEquals(flows.fromC.arrivedAt(a).length, before);
  assert(a.node.lane.channels.counters.dropped(DropReason.ReceiverUnknown) > 0);
  const d = net.add();
  const D = 0x0a640004;
  net.connect(a, d, { ofA: [hostPrefix(A)], ofB: [hostPrefix(D)] });
  const toD = new Flow(a, A, D), fromD = new Flow(d, D, A);
  for (let i = 0; i < 20; i++) {
    toD.send();
    step();
    fromD.send();
  }
  net.runFor(100);
  assertEquals(toD.arrivedAt(d), range(20));
  assertEquals(fromD.arrivedAt(a), range(20));
  assertEquals(flows.toB.arrivedAt(b), range(flows.toB.sent));
  assertEquals(flows.fromC.arrivedAt(a).length, before);
});

Deno.test("a prefix that moves between two peers under traffic always has one owner", () => {
  const { a, b, c, step } = makeStar();
  const moving = new Flow(a, A, MOVING);
  const give = (to: SimNode) =>
    a.node.control.apply({
      peers: [{
        publicKey: to.publicKey,
        allowedIps: [{ ...hostPrefix(MOVING), remove: false }],
      }],
    });
  give(b);
  for (let i = 0; i < 200; i++) {
    moving.send(5);
    if (i % 3 === 0) give(i % 2 === 0 ? c : b);
    step();
  }
  // B and C take packets for any destination; each one has arrived at exactly one of them.
  const all = [...moving.arrivedAt(b), ...moving.arrivedAt(c)].sort((x, y) => x - y);
  assertEquals(all, range(1000));
  assertEquals(a.node.lane.channels.counters.dropped(DropReason.NoRoute), 0);
});

Deno.test("packets from a prefix that has moved away are refused from that moment on", () => {
  const { net, a, b, c } = makeStar();
  const fromB = new Flow(b, MOVING, A);
  const give = (to: SimNode) =>
    a.node.control.apply({
      peers: [{
        publicKey: to.publicKey,
        allowedIps: [{ ...hostPrefix(MOVING), remove: false }],
      }],
    });
  give(b);
  fromB.send(3);
  net.runFor(10);
  give(c);
  fromB.send(3);
  net.runFor(10);
  give(b);
  fromB.send(3);
  net.runFor(10);
  assertEquals(fromB.arrivedAt(a), [0, 1, 2, 6, 7, 8]);
  assertEquals(a.node.lane.channels.counters.dropped(DropReason.SourceNotAllowed), 3);
});

Deno.test("both sides roam, by turns and at once, and no packet is lost but what hits the old place", () => {
  const { net, a, b, flows } = makeStar();
  const { toB, fromB } = flows;
  const port = { next: 40_000 };
  for (let i = 0; i < 30; i++) {
    const who = i % 2 === 0 ? a : b;
    who.udp.port = port.next++;
    // The one that has moved speaks first, so the other hears where it is now.
    (who === a ? toB : fromB).send();
    net.runFor(10);
    toB.send();
    fromB.send();
    net.runFor(500);
  }
  assertEquals(toB.arrivedAt(b), range(toB.sent));
  assertEquals(fromB.arrivedAt(a), range(fromB.sent));
  const endpointOf = (at: SimNode, of: SimNode) =>
    at.node.control.status().peers.find(({ publicKey }) =>
      publicKey.every((byte, i) => byte === of.publicKey[i])
    )?.endpoint?.port;
  assertEquals(endpointOf(a, b), b.udp.port);
  assertEquals(endpointOf(b, a), a.udp.port);
});

Deno.test("a new private key under traffic: the old session ends, a new one begins, others live on", () => {
  const { net, a, b, c, flows, step } = makeStar();
  step(3);
  const privateKey = net.random.fill(new Uint8Array(32));
  const publicKey = net.crypto.x25519PublicKey(privateKey);
  b.node.control.apply({ privateKey, peers: [] });
  remove(a, b);
  net.introduce(a, { ...b, publicKey }, [hostPrefix(B)]);
  for (let i = 0; i < 100; i++) step();
  assertEquals(flows.toC.arrivedAt(c), range(flows.toC.sent));
  const toB = flows.toB.arrivedAt(b);
  assertEquals(toB.at(-1), flows.toB.sent - 1);
  assert(toB.length >= flows.toB.sent - 3, `${toB.length} of ${flows.toB.sent}`);
});
