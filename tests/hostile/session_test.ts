import { assert, assertEquals } from "@std/assert";
import { pause, run, waitFor } from "../netns/command.ts";
import { assertAlive, OWN_PAIRS, pairTest } from "../netns/pair.ts";
import { assertPing, ping, pingUntilAnswered } from "../netns/traffic.ts";
import { newKeyPair } from "../netns/wg.ts";
import { echo4 } from "./packets.ts";
import { RoguePeer, Session } from "./rogue_peer.ts";
import {
  addRogue,
  attackedPair,
  ATTACKER,
  ATTACKER_2,
  ROGUE_INNER,
  type Scene,
  TARGET,
} from "./scene.ts";
import { UdpSocket } from "./sockets.ts";

/** The endpoint that node b has for the peer with this key. */
async function endpointAt({ b }: Scene, publicKey: string): Promise<string | null> {
  return (await b.node.show()).peers.find((peer) => peer.publicKey === publicKey)!.endpoint;
}

/** Routes the attacker's inner address into b's tunnel. */
async function routeRogue({ b }: Scene): Promise<void> {
  await run(["ip", "-n", b.namespace, "route", "replace", `${ROGUE_INNER}/32`, "dev", b.node.name]);
}

/** How many of the datagrams that wait at `socket` are echo replies in `session`. */
function echoReplies(session: Session, socket: UdpSocket): number[] {
  const sequences: number[] = [];
  for (const message of socket.receiveAll()) {
    const opened = session.open(message);
    if (opened === null || opened.packet.length < 28 || opened.packet[20] !== 0) continue;
    sequences.push(opened.packet[26] << 8 | opened.packet[27]);
  }
  return sequences;
}

async function settledReplies(session: Session, socket: UdpSocket): Promise<number[]> {
  const all: number[] = [];
  for (let quiet = 0; quiet < 5;) {
    await pause(60);
    const more = echoReplies(session, socket);
    all.push(...more);
    quiet = more.length === 0 ? quiet + 1 : 0;
  }
  return all;
}

pairTest(
  "hazard 68: a captured initiation sent again from elsewhere gets no answer and moves nobody",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { rogue, publicKey } = await addRogue(scene);
    using socket = new UdpSocket(scene.attacker, { local: ATTACKER });
    using elsewhere = new UdpSocket(scene.attacker, { local: ATTACKER_2 });
    const { message, complete } = rogue.initiation();
    socket.send(message, rogue.to);
    const session = complete(socket.receive(2000)!);
    socket.send(session.seal(0, new Uint8Array(0)), rogue.to);
    const endpoint = await waitFor("an endpoint", 2000, () => endpointAt(scene, publicKey));
    assert(endpoint.startsWith(`${ATTACKER}:`), endpoint);
    for (let i = 0; i < 200; i++) {
      elsewhere.send(message, rogue.to);
      socket.send(message, rogue.to);
      await pause(i % 10 === 0 ? 25 : 0);
    }
    await pause(200);
    assertEquals(elsewhere.receiveAll().length, 0);
    assertEquals(socket.receiveAll().filter((bytes) => bytes.length === 92).length, 0);
    assertEquals(await endpointAt(scene, publicKey), endpoint);
    // The session is as good as before.
    await routeRogue(scene);
    socket.send(session.seal(1, echo4(ROGUE_INNER, scene.b.inner4, 7)), rogue.to);
    assertEquals(await settledReplies(session, socket), [7]);
    // A data message replayed from elsewhere moves nobody either.
    elsewhere.send(session.seal(1, echo4(ROGUE_INNER, scene.b.inner4, 7)), rogue.to);
    await pause(100);
    assertEquals(await endpointAt(scene, publicKey), endpoint);
    assertAlive(scene.a, scene.b);
  },
);

pairTest(
  "hazard 69: data that is sent a hundred thousand times over is delivered once",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { rogue } = await addRogue(scene);
    await routeRogue(scene);
    using socket = new UdpSocket(scene.attacker);
    const session = rogue.connect(socket);
    const message = session.seal(5, echo4(ROGUE_INNER, scene.b.inner4, 5));
    const copies = 60;
    const many = new Uint8Array(new ArrayBuffer(copies * message.length));
    for (let i = 0; i < copies; i++) many.set(message, i * message.length);
    const before = scene.b.node.deviceCounters().receivedPackets;
    for (let i = 0; i < 100_000 / copies; i++) {
      socket.sendRun(many, many.length, rogue.to, message.length);
      if (i % 20 === 0) await pause(1);
    }
    assertEquals(await settledReplies(session, socket), [5]);
    assertEquals(scene.b.node.deviceCounters().receivedPackets - before, 1);
    assertAlive(scene.a, scene.b);
  },
);

pairTest(
  "data reordered by up to 8,000 arrives, later data does not, and each arrives once",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { rogue } = await addRogue(scene);
    await routeRogue(scene);
    using socket = new UdpSocket(scene.attacker);
    const session = rogue.connect(socket);
    const send = (counter: number) =>
      socket.send(session.seal(counter, echo4(ROGUE_INNER, scene.b.inner4, counter)), rogue.to);
    const got: number[] = [];
    const sendAll = async (counters: number[]) => {
      for (const [i, counter] of counters.entries()) {
        send(counter);
        if (i % 32 === 31) {
          await pause(2);
          got.push(...echoReplies(session, socket));
        }
      }
      got.push(...await settledReplies(session, socket));
    };
    // The newest first, then those that lag behind, from the oldest that is still accepted.
    await sendAll([20_000]);
    const late = Array.from({ length: 300 }, (_, i) => 20_000 - 8128 + i * 27);
    await sendAll([...late, ...late.toReversed()]);
    await sendAll([20_000 - 8129, 20_000 - 9000, 0, 1, 20_000]);
    assertEquals(got.toSorted((x, y) => x - y), [...late, 20_000].toSorted((x, y) => x - y));
    // A leap of the counter as far as it goes leaves a window behind it.
    got.length = 0;
    const far = 2 ** 53 - 2 ** 13 - 3;
    socket.send(session.seal(far, echo4(ROGUE_INNER, scene.b.inner4, 1)), rogue.to);
    socket.send(session.seal(far, echo4(ROGUE_INNER, scene.b.inner4, 1)), rogue.to);
    socket.send(session.seal(far - 8000, echo4(ROGUE_INNER, scene.b.inner4, 2)), rogue.to);
    socket.send(session.seal(20_001, echo4(ROGUE_INNER, scene.b.inner4, 3)), rogue.to);
    socket.send(session.seal(far + 4, echo4(ROGUE_INNER, scene.b.inner4, 4)), rogue.to);
    got.push(...await settledReplies(session, socket));
    assertEquals(got.toSorted(), [1, 2]);
    assertAlive(scene.a, scene.b);
  },
);

pairTest(
  "hazard 71: a peer that speaks for another one is not heard, though its endpoint moves",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { a, b } = scene;
    const { rogue, publicKey } = await addRogue(scene);
    await routeRogue(scene);
    using socket = new UdpSocket(scene.attacker, { local: ATTACKER });
    using moved = new UdpSocket(scene.attacker, { local: ATTACKER_2 });
    const session = rogue.connect(socket);
    const before = b.node.deviceCounters().receivedPackets;
    const sources = [a.inner4, b.inner4, "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"];
    sources.forEach((source, i) =>
      moved.send(session.seal(i, echo4(source, b.inner4, i)), rogue.to)
    );
    // Inner packets that are none: no version, too long for the message, a header too short.
    const broken = echo4(ROGUE_INNER, b.inner4, 9);
    const variants = [0x00, 0x55, 0xff, 0x44, 0x40, 0x60].map((first) => {
      const packet = broken.slice();
      packet[0] = first;
      return packet;
    });
    const tooLong = broken.slice();
    tooLong.set([0xff, 0xff], 2);
    const tooShort = broken.slice();
    tooShort.set([0, 19], 2);
    [...variants, tooLong, tooShort, broken.slice(0, 19), Uint8Array.of(0x45)].forEach((
      packet,
      i,
    ) => moved.send(session.seal(100 + i, packet), rogue.to));
    await pause(200);
    assertEquals(b.node.deviceCounters().receivedPackets, before);
    const endpoint = await endpointAt(scene, publicKey);
    assert(endpoint!.startsWith(`${ATTACKER_2}:`), endpoint!);
    await assertPing(a.namespace, b.inner4);
    assertAlive(a, b);
  },
);

pairTest(
  "hazard 72: peers reach each other through a node only if its host forwards",
  OWN_PAIRS.slice(0, 1),
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { a, b } = scene;
    const { rogue } = await addRogue(scene);
    await routeRogue(scene);
    await net.ip(a.namespace, [`route replace ${ROGUE_INNER}/32 dev ${a.node.name}`]);
    await a.node.set(
      ...["peer", b.key.publicKey],
      ...["allowed-ips", `${b.inner4}/32,${ROGUE_INNER}/32`],
    );
    using socket = new UdpSocket(scene.attacker);
    const session = rogue.connect(socket);
    socket.send(session.seal(0, echo4(ROGUE_INNER, b.inner4, 1)), rogue.to);
    assertEquals(await settledReplies(session, socket), [1]);
    socket.send(session.seal(1, echo4(ROGUE_INNER, a.inner4, 2)), rogue.to);
    assertEquals(await settledReplies(session, socket), []);
    await net.forward(b.namespace);
    socket.send(session.seal(2, echo4(ROGUE_INNER, a.inner4, 3)), rogue.to);
    assertEquals(await settledReplies(session, socket), [3]);
    assertAlive(a, b);
  },
);

pairTest(
  "hazard 73: a peer removed in the middle of a handshake leaves nothing behind, in either role",
  OWN_PAIRS,
  async (net, kinds) => {
    const scene = await attackedPair(net, kinds);
    const { b } = scene;
    const key = newKeyPair();
    using socket = new UdpSocket(scene.attacker, { port: 4444 });
    const add = () =>
      b.node.set(
        ...["peer", key.publicKey, "allowed-ips", `${ROGUE_INNER}/32`],
        ...["endpoint", `${ATTACKER}:4444`, "persistent-keepalive", "1"],
      );
    const rogue = new RoguePeer(key, b.key.publicKey, TARGET, b.port);
    for (let round = 0; round < 10; round++) {
      await add();
      // b begins at once, for the keepalive; we never answer. We begin too, and b answers.
      const { message, complete } = rogue.initiation();
      socket.send(message, rogue.to);
      const response = await waitFor("a response", 3000, () => {
        const answer = socket.receive(50);
        if (answer === null) socket.send(rogue.initiation().message, rogue.to);
        return answer?.length === 92 ? answer : null;
      }).catch(() => null);
      await b.node.set("peer", key.publicKey, "remove");
      if (response === null) continue;
      // The first data of a session whose peer is gone: no answer, no crash.
      try {
        const session = complete(response);
        socket.send(session.seal(0, echo4(ROGUE_INNER, b.inner4, 1)), rogue.to);
      } catch {
        // It was the answer to a later initiation of ours.
      }
    }
    await pause(100);
    socket.receiveAll();
    assertEquals((await b.node.show()).peers.length, 1);
    // Nothing more comes to the peer that is no more, and one that is added again works.
    assertEquals(socket.receive(1500), null);
    await add();
    await routeRogue(scene);
    const session = rogue.connect(socket);
    socket.send(session.seal(0, echo4(ROGUE_INNER, b.inner4, 11)), rogue.to);
    assertEquals(await settledReplies(session, socket), [11]);
    await assertPing(scene.a.namespace, b.inner4);
    assertAlive(scene.a, b);
  },
);

pairTest(
  "hazard 74: a tunnel whose endpoint is routed into itself, kept alive, loops within bounds",
  OWN_PAIRS.slice(0, 1),
  async (net, kinds) => {
    const { a, b, endpointB } = await attackedPair(net, kinds);
    await a.node.rests();
    await a.node.set(
      ...["peer", b.key.publicKey, "persistent-keepalive", "1"],
      ...["allowed-ips", "0.0.0.0/0,::/0"],
    );
    const outer = (await a.node.show()).peers[0].endpoint!.split(":")[0];
    const loop = `route add ${outer}/32 dev ${a.node.name}`;
    await net.ip(a.namespace, [loop]);
    // A fresh endpoint: no sticky source, with its interface, stands against the loop.
    await a.node.set("peer", b.key.publicKey, "endpoint", endpointB);
    await ping(a.namespace, b.inner4, { count: 20, size: 1300, waitMs: 200 });
    const before = a.node.deviceCounters().sentPackets;
    const cpuBefore = a.node.cpuSeconds();
    await pause(2000);
    const looped = a.node.deviceCounters().sentPackets - before;
    const cpu = a.node.cpuSeconds() - cpuBefore;
    console.log(`${looped} packets and ${cpu.toFixed(2)} CPU seconds in two seconds`);
    assert(cpu < 1, `${cpu} CPU seconds`);
    assert(a.node.residentBytes() < 400e6, `${a.node.residentBytes()} bytes`);
    await net.ip(a.namespace, [loop.replace("add", "del")]);
    await pingUntilAnswered(a.namespace, b.inner4, 16_000);
    assertAlive(a, b);
  },
);
