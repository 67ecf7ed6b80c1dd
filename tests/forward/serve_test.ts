/** Flows of peers into the network of the host: what leads where, what is told, what is counted. */
import { assert, assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { HostEvent } from "../../src/forward/host_sockets.ts";
import { RESOLVER } from "../../src/forward/local_services.ts";
import { address, addressText, type Parsed } from "../netstack/packets.ts";
import { kindOf, OWN4, OWN6, PEER4, PEER6, prefix, quoteOf, ServeScene } from "./serve_scene.ts";

const LAN4 = "192.168.1.9";
const LAN6 = "fd50::9";
const SECOND_MS = 1000;
const FAMILIES = [[LAN4, PEER4, OWN4], [LAN6, PEER6, OWN6]] as const;

const kinds = (packets: Parsed[]) => packets.map(kindOf);

Deno.test("TCP goes to the address that the peer has named, and is answered when that has", () => {
  for (const [lan] of FAMILIES) {
    const scene = new ServeScene();
    assertEquals(scene.syn(lan, 8080), []);
    const { last } = scene.host;
    assertEquals([addressText(last.address), last.port], [lan, 8080]);
    scene.host.dialled(last);
    const [answer] = scene.settle();
    assertEquals([answer.source, kindOf(answer)], [lan, "TCP"]);
  }
});

Deno.test("a refused dial is a reset, one without a way an ICMP error", () => {
  for (const [lan] of FAMILIES) {
    const scene = new ServeScene();
    scene.syn(lan, 1);
    scene.host.dialled(scene.host.last, -Errno.ECONNREFUSED);
    assertEquals(kinds(scene.settle()), ["RST"]);
    scene.syn(lan, 2);
    scene.host.dialled(scene.host.last, -Errno.EHOSTUNREACH);
    assertEquals(kinds(scene.settle()), [lan === LAN4 ? "3/1" : "1/3"]);
    scene.syn(lan, 3);
    assertEquals(kinds(scene.pass(11 * SECOND_MS)), [lan === LAN4 ? "3/1" : "1/3"]);
    assertEquals(scene.takeDrops().DestinationUnreachable, 2);
    scene.assertEmpty();
  }
});

Deno.test("hazard 44: packets from impossible sources reach nobody", () => {
  const scene = new ServeScene();
  for (const from of ["127.0.0.1", "224.0.0.1", OWN4, "0.0.0.0", "255.255.255.255"]) {
    scene.syn(LAN4, 80, 1000, from);
  }
  for (const from of ["::1", "ff02::1", OWN6, "::"]) scene.syn(LAN6, 80, 1000, from);
  assertEquals(scene.takeDrops(), { IpSourceInvalid: 9 });
  scene.assertEmpty();
});

Deno.test("destinations outside of Serve and of our addresses are dropped and counted", () => {
  const scene = new ServeScene({ served: [prefix("192.168.1.0/24")] });
  assertEquals(scene.syn("192.168.2.1"), []);
  assertEquals(scene.datagram("8.8.8.8"), []);
  assertEquals(scene.echo("8.8.8.8"), []);
  assertEquals(scene.syn(LAN6), []);
  assertEquals(scene.takeDrops(), { IpDestinationForeign: 4 });
  scene.assertEmpty();
});

Deno.test("hazard 76: this host's own addresses are prohibited unless they are listed in full", () => {
  for (const [lan] of FAMILIES) {
    const scene = new ServeScene();
    scene.own(lan);
    const prohibited = lan === LAN4 ? "3/13" : "1/1";
    assertEquals(kinds(scene.syn(lan, 22)), [prohibited]);
    assertEquals(kinds(scene.datagram(lan, 51_820)), [prohibited]);
    assertEquals(kinds(scene.echo(lan)), [prohibited]);
    assertEquals(scene.takeDrops().DestinationProhibited, 3);
    scene.assertEmpty();
    const bits = lan === LAN4 ? 32 : 128;
    const listed = new ServeScene({ served: [prefix(`${lan}/${bits}`)] });
    listed.own(lan);
    assertEquals(listed.syn(lan, 22), []);
    assertEquals(listed.host.open.length, 1);
  }
});

Deno.test("hazard 76: loopback and link-local are prohibited under a prefix of everything", () => {
  const scene = new ServeScene();
  for (const to of ["127.0.0.1", "169.254.169.254"]) {
    assertEquals(kinds(scene.syn(to)), ["3/13"], to);
    assertEquals(kinds(scene.datagram(to)), ["3/13"], to);
  }
  for (const to of ["::1", "fe80::1", "::ffff:7f00:1"]) {
    assertEquals(kinds(scene.syn(to)), ["1/1"], to);
  }
  assertEquals(scene.takeDrops(), { DestinationProhibited: 7 });
  scene.assertEmpty();
});

Deno.test("multicast and broadcast are dropped without a word", () => {
  const scene = new ServeScene();
  for (const to of ["224.0.0.1", "255.255.255.255", "10.0.0.255", "ff02::1"]) {
    assertEquals(scene.datagram(to), [], to);
  }
  assertEquals(scene.takeDrops(), { IpDestinationForeign: 4 });
});

Deno.test("hazard 72: what belongs to a peer is not forwarded to, unless Serve is as exact", () => {
  const scene = new ServeScene({ served: [prefix("0.0.0.0/0"), prefix("192.168.1.0/24")] });
  scene.peerBits.set("10.0.0.3", 32);
  assertEquals(kinds(scene.syn("10.0.0.3")), ["3/13"]);
  assertEquals(kinds(scene.echo("10.0.0.3")), ["3/13"]);
  // A peer that is our own way out to everything does not take the LAN away.
  scene.peerBits.set(LAN4, 0);
  assertEquals(scene.syn(LAN4), []);
  assertEquals(scene.host.open.length, 1);
});

Deno.test("hazard 74: a tunnel is not carried in itself: UDP to a peer's endpoint is prohibited", () => {
  const endpoint = { address: address("203.0.113.7"), port: 51_820 };
  const scene = new ServeScene({ endpoints: [endpoint] });
  assertEquals(kinds(scene.datagram("203.0.113.7", 51_820)), ["3/13"]);
  scene.assertEmpty();
  assertEquals(scene.datagram("203.0.113.7", 53), []);
  assertEquals(scene.host.open.length, 1);
  scene.own("198.51.100.1");
  assertEquals(kinds(scene.datagram("198.51.100.1", 51_820)), ["3/13"]);
});

Deno.test("services at our own addresses stay what they are beside what is served", () => {
  const service = { firstPort: 80, lastPort: 80, host: address("127.0.0.1"), port: 8080 };
  const scene = new ServeScene({
    services: [
      { ...service, transport: "tcp" },
      { ...service, transport: "udp", firstPort: 53, lastPort: 53, host: RESOLVER, port: 53 },
    ],
    resolvers: [address("192.168.1.1")],
  });
  scene.syn(OWN4, 80);
  assertEquals([addressText(scene.host.last.address), scene.host.last.port], ["127.0.0.1", 8080]);
  assertEquals(kinds(scene.syn(OWN4, 22)), ["RST"]);
  scene.datagram(OWN4, 53);
  assertEquals([addressText(scene.host.last.address), scene.host.last.port], ["192.168.1.1", 53]);
  assertEquals(kinds(scene.echo(OWN4)), ["0/0"]);
});

Deno.test("a name server that does not answer gives way to the next one", () => {
  const scene = new ServeScene({
    services: [{ transport: "udp", firstPort: 53, lastPort: 53, host: RESOLVER, port: 53 }],
    resolvers: [address("192.168.1.1"), address("192.168.1.2")],
  });
  scene.datagram(OWN4, 53, [1], 5000);
  assertEquals(addressText(scene.host.last.address), "192.168.1.1");
  scene.pass(4 * SECOND_MS);
  scene.datagram(OWN4, 53, [1], 5001);
  const { last } = scene.host;
  assertEquals(addressText(last.address), "192.168.1.2");
  scene.host.giveDatagram(last, [2]);
  scene.settle();
  scene.pass(20 * SECOND_MS);
  scene.datagram(OWN4, 53, [1], 5002);
  assertEquals(addressText(scene.host.last.address), "192.168.1.2");
});

Deno.test("a hop limit of 1 is told from here, one of more goes on less one", () => {
  for (const [lan, , own] of FAMILIES) {
    const scene = new ServeScene();
    const exceeded = lan === LAN4 ? "11/0" : "3/0";
    for (const ttl of [0, 1]) {
      const answers = [
        ...scene.syn(lan, 80, 40_000, undefined, ttl),
        ...scene.datagram(lan, 53, [1], 5000, { ttl, hopLimit: ttl }),
        ...scene.echo(lan, 1, ttl),
      ];
      assertEquals(kinds(answers), [exceeded, exceeded, exceeded]);
      assertEquals(answers[0].source, own);
    }
    scene.assertEmpty();
    scene.datagram(lan, 53, [1], 5000, { ttl: 2, hopLimit: 2 });
    assertEquals(scene.host.last.hopLimit, 1);
    scene.datagram(lan, 53, [1], 5000, { ttl: 30, hopLimit: 30 });
    assertEquals(scene.host.last.hopLimit, 29);
    scene.echo(lan, 1, 5);
    assertEquals(scene.host.last.hopLimit, 4);
  }
});

Deno.test("routers on the way are heard by the peer, as they said it", () => {
  for (const [lan, peer] of FAMILIES) {
    const router = lan === LAN4 ? "192.168.1.1" : "fd50::1";
    const type = lan === LAN4 ? 11 : 3;
    const scene = new ServeScene();
    scene.datagram(lan, 33_434, [1, 2, 3], 6000);
    const error = { errno: Errno.EHOSTUNREACH, isIcmp: true, type, code: 0, from: address(router) };
    scene.host.giveErrors(scene.host.last, Errno.EHOSTUNREACH, error);
    const [told] = scene.settle();
    assertEquals([told.source, kindOf(told)], [router, `${type}/0`]);
    assertEquals(quoteOf(told), `17 ${peer} 6000 ${lan} 33434`);
    assertEquals(scene.host.open.length, 1, "the flow goes on");
    // The next datagram finds the error first, and is sent all the same.
    scene.host.giveErrors(scene.host.last, Errno.EHOSTUNREACH, error);
    scene.datagram(lan, 33_434, [4], 6000);
    assertEquals(scene.host.last.datagramsWritten, [[1, 2, 3], [4]]);
  }
});

Deno.test("a dead port is told at once, and ends the flow", () => {
  for (const [lan, peer] of FAMILIES) {
    const [type, code] = lan === LAN4 ? [3, 3] : [1, 4];
    const scene = new ServeScene();
    scene.datagram(lan, 9, [1], 6000);
    scene.host.giveErrors(scene.host.last, Errno.ECONNREFUSED, {
      isIcmp: true,
      type,
      code,
      from: address(lan),
    });
    const [told] = scene.settle();
    assertEquals([told.source, kindOf(told)], [lan, `${type}/${code}`]);
    assertEquals(quoteOf(told), `17 ${peer} 6000 ${lan} 9`);
    scene.assertEmpty();
  }
});

Deno.test("a datagram too long for the path is told by the MTU that fits, or cut if it may be", () => {
  const scene = new ServeScene();
  scene.datagram(LAN4, 53, [1]);
  const { last } = scene.host;
  last.pathMtu = 1000;
  const long = new Array(1200).fill(5);
  const [told] = scene.datagram(LAN4, 53, long, 5000, { fragment: 0x4000 });
  assertEquals(kindOf(told), "3/4");
  assertEquals(new DataView(told.payload.buffer, told.payload.byteOffset).getUint16(6), 1000);
  assertEquals(last.datagramsWritten.length, 1);
  assertEquals(scene.datagram(LAN4, 53, long, 5000, { fragment: 0 }), []);
  assertEquals(last.datagramsWritten.at(-1), long);
  assertEquals(last.pathMtu, 1000, "only that one");

  scene.datagram(LAN6, 53, [1]);
  scene.host.last.pathMtu = 1280;
  const [big] = scene.datagram(LAN6, 53, new Array(1300).fill(6));
  assertEquals(kindOf(big), "2/0");
  assertEquals(new DataView(big.payload.buffer, big.payload.byteOffset).getUint32(4), 1280);
});

Deno.test("an echo request goes out with its own header, and its answer has the peer's numbers", () => {
  for (const [lan, peer] of FAMILIES) {
    const [request, reply] = lan === LAN4 ? [8, 0] : [128, 129];
    const scene = new ServeScene();
    assertEquals(scene.echo(lan, 3), []);
    const { last } = scene.host;
    assertEquals(addressText(last.address), lan);
    assertEquals(last.datagramsWritten[0].filter((_, i) => i !== 2 && i !== 3), [
      ...[request, 0, 0xbe, 0xef, 0, 3],
      ...[7, 8, 9],
    ]);
    // The kernel answers with the identifier of its own.
    scene.host.giveDatagram(last, [reply, 0, 0, 0, 0x11, 0x22, 0, 3, 7, 8, 9]);
    const [answer] = scene.settle();
    assertEquals([answer.source, answer.destination], [lan, peer]);
    assertEquals([...answer.payload].filter((_, i) => i !== 2 && i !== 3), [
      ...[reply, 0, 0xbe, 0xef, 0, 3],
      ...[7, 8, 9],
    ]);
    scene.echo(lan, 4);
    assertEquals(scene.host.open.length, 1, "one flow for one program and destination");
    scene.pass(61 * SECOND_MS);
    scene.assertEmpty();
  }
});

Deno.test("an echo request that a router lets expire is told with its own sequence number", () => {
  const scene = new ServeScene();
  for (const sequence of [1, 2]) scene.echo(LAN4, sequence, 2);
  scene.host.giveErrors(scene.host.last, Errno.EHOSTUNREACH, {
    isIcmp: true,
    type: 11,
    code: 0,
    from: address("192.168.1.1"),
    sequence: 1,
  });
  const [told] = scene.settle();
  assertEquals([told.source, kindOf(told)], ["192.168.1.1", "11/0"]);
  assertEquals([...told.payload.slice(28 + 4, 28 + 8)], [0xbe, 0xef, 0, 1]);
});

Deno.test("where ping sockets are not allowed, pings are dropped and the rest goes on", () => {
  const scene = new ServeScene();
  scene.host.openErrors.push(-Errno.EACCES);
  assertEquals(scene.echo(LAN4), []);
  assertEquals(scene.takeDrops(), { IcmpIgnored: 1 });
  scene.syn(LAN4);
  assertEquals(scene.host.open.length, 1);
});

Deno.test("one port of a peer is one port of the host, whatever it talks to", () => {
  const scene = new ServeScene();
  scene.datagram("192.168.1.1", 3478, [1], 7000);
  scene.datagram("192.168.1.2", 3478, [2], 7000);
  scene.datagram("192.168.1.2", 3479, [3], 7000);
  scene.datagram("192.168.1.1", 3478, [4], 7001);
  const ports = scene.host.sockets.map(({ localPort }) => localPort);
  assertEquals(new Set(ports.slice(0, 3)).size, 1);
  assert(ports[3] !== ports[0]);
  for (const [i, socket] of scene.host.sockets.entries()) {
    scene.host.giveDatagram(socket, [i]);
    const [answer] = scene.settle();
    assertEquals(answer.source, addressText(socket.address));
    assertEquals([...answer.payload.slice(8)], [i]);
  }
});

Deno.test("the port of the host is kept while one flow has it, and found anew afterwards", () => {
  const scene = new ServeScene();
  scene.datagram("192.168.1.1", 3478, [1], 7000);
  const first = scene.host.last.localPort;
  scene.pass(20 * SECOND_MS);
  scene.datagram("192.168.1.2", 3478, [1], 7000);
  scene.pass(15 * SECOND_MS);
  assertEquals(scene.host.open.length, 1, "the first has ended");
  scene.datagram("192.168.1.3", 3478, [1], 7000);
  assertEquals(scene.host.last.localPort, first);
  scene.pass(60 * SECOND_MS);
  scene.assertEmpty();
  scene.datagram("192.168.1.1", 3478, [1], 7000);
  assert(scene.host.last.localPort !== first);
});

Deno.test("a port of the host that is taken is replaced by another one", () => {
  const scene = new ServeScene();
  scene.datagram("192.168.1.1", 3478, [1], 7000);
  scene.host.openErrors.push(-Errno.EADDRINUSE);
  scene.datagram("192.168.1.2", 3478, [2], 7000);
  assertEquals(scene.host.last.datagramsWritten, [[2]]);
});

Deno.test("hazard 52: dials to a black hole leave room for others, of the same client and of all", () => {
  const scene = new ServeScene();
  for (let i = 0; i < 1000; i++) scene.syn("192.168.1.66", 80, 1024 + i);
  assertEquals(scene.forwarder.tcp.dialCount, 128);
  assertEquals(scene.takeDrops(), { FlowLimit: 872 });
  scene.syn(LAN4, 80, 5000);
  scene.host.dialled(scene.host.last);
  assertEquals(kinds(scene.settle()), ["TCP"]);
  // All over the network: the client's own share is used up, the others' is not.
  for (let i = 0; i < 1000; i++) scene.syn(`192.168.2.${i % 250}`, 80, 6000 + i);
  // The connection above is not complete: it counts among the client's half-open ones.
  assertEquals(scene.forwarder.tcp.dialCount, 255);
  scene.syn(LAN4, 81, 5000, "10.0.0.77");
  scene.host.dialled(scene.host.last);
  assertEquals(kinds(scene.settle()).filter((kind) => kind === "TCP"), ["TCP"]);
  scene.pass(11 * SECOND_MS);
  assertEquals(scene.forwarder.tcp.dialCount, 0);
});

Deno.test("a peer with many addresses has the share of one", () => {
  const scene = new ServeScene({}, { udpFlowsPerClientMax: 3 });
  for (let i = 0; i < 300; i++) {
    const from = `11.0.${i >> 8}.${i & 255}`;
    scene.peers.set(from, 7);
    scene.syn(`192.168.2.${i % 250}`, 80, 1024, from);
  }
  assertEquals(scene.forwarder.tcp.dialCount, 256);
  scene.peers.set(PEER4, 7);
  scene.peers.set(PEER6, 7);
  for (const port of [1, 2, 3]) scene.datagram(LAN4, port);
  scene.datagram(LAN6, 4);
  assertEquals(scene.forwarder.udp.flowCount, 3);
});

Deno.test("hazard 51: a SYN that comes again while its dial is under way makes no second one", () => {
  const scene = new ServeScene();
  for (let i = 0; i < 5; i++) scene.syn(LAN4, 80, 40_000);
  assertEquals(scene.host.sockets.length, 1);
});

Deno.test("hazard 50: a flood from a million sources is bounded, and a legitimate connect succeeds", () => {
  const scene = new ServeScene();
  for (let i = 0; i < 20_000; i++) {
    const from = `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    scene.syn(`192.168.${i % 7}.1`, 80, 1024 + (i % 60_000), from);
  }
  assert(scene.forwarder.tcp.dialCount <= 1024, `${scene.forwarder.tcp.dialCount} dials`);
  assert(scene.host.open.length <= 1024);
  // Its first SYN may be lost among them; a later one finds room.
  let answers: Parsed[] = [];
  for (let i = 0; i < 20 && answers.length === 0; i++) {
    const before = scene.host.sockets.length;
    answers = scene.syn("192.168.99.1", 443, 50_000).filter(({ source }) =>
      source === "192.168.99.1"
    );
    if (scene.host.sockets.length > before) {
      scene.host.dialled(scene.host.last);
      answers = scene.settle().filter(({ source }) => source === "192.168.99.1");
    }
    scene.pass(1000);
  }
  assertEquals(kinds(answers), ["TCP"]);
});

Deno.test("hazard 36: without descriptors new flows are shed, those that exist go on", () => {
  const scene = new ServeScene();
  scene.syn(LAN4, 80, 5000);
  scene.host.dialled(scene.host.last);
  scene.settle();
  const existing = scene.host.last;
  scene.datagram(LAN4, 53, [1], 5001);
  const udp = scene.host.last;
  const exhausted = [Errno.EMFILE, Errno.ENFILE, Errno.ENOMEM].map((errno) => -errno);
  for (const errno of exhausted) {
    scene.host.openErrors.push(errno, errno, errno);
    assertEquals(kinds(scene.syn(LAN4, 81, 6000 - errno)), ["RST"]);
    assertEquals(scene.datagram(LAN4, 54, [1], 6000 - errno), []);
    assertEquals(scene.echo(LAN4), []);
  }
  assertEquals([existing.state, udp.state], ["open", "open"]);
  scene.datagram(LAN4, 53, [2], 5001);
  assertEquals(udp.datagramsWritten, [[1], [2]]);
});

Deno.test("hazard 37: with little memory left new flows are refused first", () => {
  const scene = new ServeScene();
  scene.syn(LAN4, 80, 5000);
  scene.host.dialled(scene.host.last);
  scene.settle();
  while (scene.pool.usedBytes < scene.pool.totalBytes * 0.97) {
    if (scene.pool.allocate(256 * 1024) === 0) break;
  }
  assertEquals(scene.syn(LAN4, 81, 5001), []);
  assertEquals(scene.takeDrops().TcpConnectionsFull, 1);
  assertEquals(scene.host.open.length, 1);
});

Deno.test("hazards 59 and 60: a flow that does not move ends, and all of it comes back", () => {
  const scene = new ServeScene();
  const before = scene.pool.usedBytes;
  scene.syn(LAN4, 80, 5000);
  scene.host.dialled(scene.host.last);
  scene.settle();
  // The peer never completes its handshake, whatever the host says.
  scene.host.give(scene.host.last, [1, 2, 3]);
  scene.pass(6 * 60 * SECOND_MS);
  scene.assertEmpty();
  scene.pass(2 * 60 * SECOND_MS);
  assertEquals(scene.pool.usedBytes, before);
});

Deno.test("flows are listed with what they are and have moved", () => {
  const scene = new ServeScene();
  scene.syn(LAN4, 80, 5000);
  scene.datagram(LAN6, 53, [1, 2, 3], 5001);
  scene.host.giveDatagram(scene.host.last, [1, 2]);
  scene.settle();
  scene.echo(LAN4);
  scene.pass(2 * SECOND_MS);
  const facts = [...scene.forwarder.facts()].map((flow) => ({
    ...flow,
    client: addressText(flow.client),
    destination: addressText(flow.destination),
    target: flow.target && `${addressText(flow.target.address)} ${flow.target.port}`,
  }));
  const common = { ageMs: 2000, toHostBytes: 0, toPeerBytes: 0 };
  assertEquals(facts, [
    {
      ...common,
      ...{ kind: 0, state: 0, client: PEER4, clientPort: 5000 },
      ...{ destination: LAN4, destinationPort: 80, target: `${LAN4} 80` },
    },
    {
      ...common,
      ...{ kind: 1, state: 2, client: PEER6, clientPort: 5001, toHostBytes: 3, toPeerBytes: 2 },
      ...{ destination: LAN6, destinationPort: 53, target: `${LAN6} 53` },
    },
    {
      ...common,
      ...{ kind: 2, state: 2, client: PEER4, clientPort: 0xbeef, toHostBytes: 11 },
      ...{ destination: LAN4, destinationPort: 0, target: `${LAN4} 0` },
    },
  ]);
});

Deno.test("a client's echo flows are bounded: its longest idle one makes room", () => {
  const scene = new ServeScene({}, { echoFlowsPerClientMax: 3, echoFlowsMax: 5 });
  for (let i = 1; i <= 3; i++) scene.echo(`192.168.1.${i}`);
  scene.echo("192.168.1.1");
  scene.echo("192.168.1.4");
  assertEquals(
    scene.host.open.map((socket) => addressText(socket.address)),
    ["192.168.1.1", "192.168.1.3", "192.168.1.4"],
  );
  scene.forwarder.close();
  scene.assertEmpty();
});

Deno.test("events of a socket whose flow is over mean nothing", () => {
  const scene = new ServeScene();
  scene.echo(LAN4);
  const { last } = scene.host;
  scene.host.raise(last, HostEvent.Readable);
  scene.pass(61 * SECOND_MS);
  scene.host.raise(last, HostEvent.Readable);
  assertEquals(scene.settle(), []);
  scene.assertEmpty();
});
