import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { KEYPAIR_REPLAY, KeypairWord } from "../../src/tables/keypair_table.ts";
import { PeerEvent, PeerField, PeerWord } from "../../src/tables/peer_table.ts";
import { DeviceEventCode, explainDeviceEvent } from "../../src/wireguard/events.ts";
import { MessageType } from "../../src/wire/wireguard.ts";
import { decodeEndpoint } from "../../src/wireguard/socket_address.ts";
import { referenceDatagrams } from "../reference/noise_reference.ts";
import {
  addressText,
  connectedPair,
  SimNetwork,
  type SimNode,
  simPair,
} from "../sim/wireguard_sim.ts";

const { Initiation, Response, CookieReply, Data } = MessageType;

function endpointOf(node: SimNode, peer: SimNode): string {
  const record = new Uint8Array(
    node.slab.u8.slice(node.peers.endpointAt(node.slotOf(peer))).slice(0, 64),
  );
  return addressText(decodeEndpoint(record));
}

const slots = (node: SimNode, peer: SimNode) =>
  [PeerWord.Previous, PeerWord.Current, PeerWord.Next].map((word) =>
    node.peers.word(node.slotOf(peer), word) >= 0
  );

/** Delivers a datagram that was sent before, as if from another address. */
function replay(network: SimNetwork, index: number, port = 51820): void {
  const datagram = network.sent[index];
  network.deliver(datagram, { address: Uint8Array.of(10, 0, 0, 99), port });
}

Deno.test("a packet brings up a session in one round trip and arrives", () => {
  const { network, a, b } = simPair({ delayMs: 5 });
  a.send(b, "hello");
  network.runFor(20);
  assertEquals(network.sent.map(({ type, bytes }) => [type, bytes.length]), [
    [Initiation, 148],
    [Response, 92],
    [Data, 37],
  ]);
  assertEquals(b.inbox, ["hello"]);
  b.send(a, "and back");
  network.runFor(20);
  assertEquals(a.inbox, ["and back"]);
});

Deno.test("the datagrams equal the reference, given the same ephemeral keys and stamp", () => {
  const ephemerals: Uint8Array[] = [];
  const network = new SimNetwork();
  const a = network.node(1), b = network.node(2);
  for (const node of [a, b]) {
    const publicKey = node.crypto.x25519PublicKey.bind(node.crypto);
    node.crypto.x25519PublicKey = (key) => {
      ephemerals.push(key.slice());
      return publicKey(key);
    };
  }
  const presharedKey = new Uint8Array(32).fill(7);
  a.addPeer(b, { presharedKey });
  b.addPeer(a, { presharedKey });
  a.send(b, "hello");
  network.runFor(0);
  const [initiation, response] = network.sent.map(({ bytes }) => bytes);
  const word = (bytes: Uint8Array, at: number) => new DataView(bytes.buffer).getUint32(at, true);
  const expected = referenceDatagrams(
    {
      initiatorStatic: a.privateKey,
      responderStatic: b.privateKey,
      initiatorEphemeral: ephemerals[0],
      responderEphemeral: ephemerals[1],
      presharedKey,
    },
    a.device.lastTimestamp(),
    word(initiation, 4),
    word(response, 4),
  );
  assertEquals(initiation, expected.initiation);
  assertEquals(response, expected.response);
});

Deno.test("the initiator uses the session at once and confirms it with a keepalive when idle", () => {
  const { network, a, b } = simPair();
  a.device.onPeerEvent(a.slotOf(b), PeerEvent.WantHandshake, network.nowMs);
  network.runFor(0);
  assertEquals(network.sent.map(({ type, bytes }) => [type, bytes.length]), [
    [Initiation, 148],
    [Response, 92],
    [Data, 32],
  ]);
  assertEquals(slots(a, b), [false, true, false]);
});

Deno.test("the responder holds the session as next until the first packet, then sends what waits", () => {
  const { network, a, b } = simPair();
  network.passes = ({ type }) => type !== Data;
  a.send(b, "lost");
  network.runFor(0);
  assertEquals(slots(b, a), [false, false, true]);
  assertEquals(b.count(DeviceEventCode.SessionEstablished), 0);
  b.send(a, "staged");
  network.runFor(0);
  assertEquals(a.inbox, []);
  network.passes = () => true;
  a.send(b, "confirms");
  network.runFor(0);
  assertEquals(slots(b, a), [false, true, false]);
  assertEquals([a.inbox, b.inbox], [["staged"], ["confirms"]]);
});

Deno.test("previous, current and next keys all open messages", () => {
  const { network, a, b } = connectedPair({ delayMs: 1 });
  network.runFor(10);
  const held: typeof network.sent = [];
  network.passes = (datagram) => {
    if (datagram.type === Data) held.push(datagram);
    return datagram.type !== Data;
  };
  a.send(b, "under the first key");
  network.runFor(130_000);
  a.send(b, "still under the first key, and rekeys");
  network.runFor(10);
  a.send(b, "under the second key");
  assertEquals(slots(b, a), [false, true, true]);
  network.passes = () => true;
  const late = held.filter(({ from }) => from === "10.0.0.1:51820");
  for (const datagram of late.reverse()) network.deliver(datagram, a.address);
  network.runFor(10);
  assertEquals(slots(b, a), [true, true, false]);
  assertEquals(b.inbox.sort(), [
    "hello",
    "still under the first key, and rekeys",
    "under the first key",
    "under the second key",
  ]);
});

Deno.test("a note about a next session that has been replaced changes nothing", () => {
  const { network, a, b } = simPair();
  network.passes = ({ type }) => type !== Data;
  a.send(b, "lost");
  network.runFor(0);
  b.device.onPeerEvent(b.slotOf(a), PeerEvent.ConfirmedNext, network.nowMs);
  assertEquals(slots(b, a), [false, false, true]);
  assertEquals(b.peers.word(b.slotOf(a), PeerWord.Current), -1);
});

Deno.test("with equal preshared keys a session comes about, with different ones none", () => {
  const presharedKey = new Uint8Array(32).fill(5);
  const { network, a, b } = simPair({}, { presharedKey });
  a.send(b, "secret");
  network.runFor(0);
  assertEquals(b.inbox, ["secret"]);

  const other = simPair({}, { presharedKey });
  other.b.configure({
    publicKey: other.a.publicKey,
    presharedKey: new Uint8Array(32),
    allowedIps: [],
  });
  other.a.send(other.b, "secret");
  other.network.runFor(20_000);
  assertEquals(other.b.inbox, []);
  assert(other.a.count(DeviceEventCode.ResponseInvalid) >= 3);
  assertEquals(slots(other.a, other.b), [false, false, false]);
});

Deno.test("a preshared key that is set later is used by the next handshake", () => {
  const { network, a, b } = connectedPair();
  const presharedKey = new Uint8Array(32).fill(5);
  a.configure({ publicKey: b.publicKey, presharedKey, allowedIps: [] });
  a.send(b, "the old session goes on");
  network.runFor(121_000);
  a.send(b, "rekey fails");
  network.runFor(1_000);
  assertEquals(a.count(DeviceEventCode.ResponseInvalid), 1);
  b.configure({ publicKey: a.publicKey, presharedKey, allowedIps: [] });
  network.runFor(6_000);
  assertEquals(a.count(DeviceEventCode.SessionEstablished), 2);
});

Deno.test("a handshake from an unknown static key is met with silence", () => {
  const network = new SimNetwork();
  const a = network.node(1), b = network.node(2);
  a.addPeer(b);
  a.send(b, "hello");
  network.runFor(1_000);
  assertEquals(network.sentSince(0, undefined, b), []);
  const event = b.events.find(({ code }) => code === DeviceEventCode.UnknownPeer)!;
  assertEquals(event.publicKey, a.publicKey);
  assertEquals(event.peer, -1);
});

Deno.test("a captured initiation from another address gets no answer and moves no endpoint", () => {
  const { network, a, b } = connectedPair();
  const before = network.sent.length;
  for (let i = 0; i < 5; i++) {
    network.runFor(1_000);
    replay(network, 0);
  }
  network.runFor(0);
  assertEquals(network.sentSince(0, Response).length, 1);
  assertEquals(network.sent.length, before);
  assertEquals(endpointOf(b, a), "10.0.0.1:51820");
  assertEquals(b.count(DeviceEventCode.TimestampReplayed), 5);
});

Deno.test("an initiation older than the last one is refused, with a hint at the peer's clock", () => {
  const { network, a, b } = connectedPair();
  const restarted = network.node(3, { privateKey: a.privateKey });
  network.nodes.splice(0, 1);
  restarted.address = a.address;
  restarted.jumpWall(-3_600_000);
  restarted.addPeer(b);
  network.runFor(30_000);
  restarted.send(b, "locked out");
  network.runFor(0);
  assertEquals(network.sentSince(31_000, Response), []);
  const event = b.events.find(({ code }) => code === DeviceEventCode.TimestampReplayed)!;
  assertEquals(event.peer, b.slotOf(a));
  assert(Math.abs(event.detail - 3_570) <= 1);
  assert(explainDeviceEvent(event).includes("clock may have jumped back"));
});

Deno.test("of two initiations within 20 ms of one peer only the first is answered", () => {
  const { network, a, b } = simPair();
  network.passes = ({ from }) => from !== "10.0.0.1:51820";
  const made: typeof network.sent = [];
  for (let i = 0; i < 3; i++) {
    a.device.onPeerEvent(a.slotOf(b), PeerEvent.WantHandshake, network.nowMs);
    a.pump();
    made.push(network.sent.at(-1)!);
    network.runFor(5_333);
  }
  network.passes = () => false;
  const answers = () => network.sentSince(0, Response).length;
  network.deliver(made[0], a.address);
  network.nowMs += 19;
  network.deliver(made[1], a.address);
  assertEquals(answers(), 1);
  assertEquals(b.count(DeviceEventCode.InitiationTooSoon), 1);
  network.nowMs += 1;
  network.deliver(made[2], a.address);
  assertEquals(answers(), 2);
});

Deno.test("when both sides begin at once, the jitter of the retry decides, and data flows both ways", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { network, a, b } = simPair({ seed, delayMs: 20 });
    a.send(b, "from a");
    b.send(a, "from b");
    network.runFor(30_000);
    assertEquals([a.inbox, b.inbox], [["from b"], ["from a"]], `seed ${seed}`);
    const firstRound = network.sentSince(0).filter(({ atMs }) => atMs < 2_000);
    assertEquals(firstRound.map(({ type }) => type), [Initiation, Initiation, Response, Response]);
  }
});

Deno.test("both sides beginning at once get through even where a message takes longer than the jitter", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { network, a, b } = simPair({ seed, delayMs: 90, jitterMs: 400 });
    a.send(b, "from a");
    b.send(a, "from b");
    network.runFor(90_000);
    assertEquals([a.inbox, b.inbox], [["from b"], ["from a"]], `seed ${seed}`);
  }
});

Deno.test("a response that comes twice, late, or for a finished handshake is ignored", () => {
  const { network, a, b } = connectedPair();
  const current = a.peers.word(a.slotOf(b), PeerWord.Current);
  network.deliver(network.sent[1], b.address);
  assertEquals(a.count(DeviceEventCode.ReceiverUnknown), 1);
  assertEquals(a.peers.word(a.slotOf(b), PeerWord.Current), current);
});

Deno.test("a response to an earlier try does not fit the one under way", () => {
  const { network, a, b } = simPair();
  const responses: typeof network.sent = [];
  network.passes = (datagram) => {
    if (datagram.type === Response) responses.push(datagram);
    return datagram.type !== Response;
  };
  a.send(b, "hello");
  network.runFor(5_400);
  network.passes = () => true;
  network.deliver(responses[0], b.address);
  assertEquals(a.count(DeviceEventCode.ReceiverUnknown), 1);
  network.deliver(responses[1], b.address);
  network.runFor(0);
  assertEquals(b.inbox, ["hello"]);
});

Deno.test("a damaged or forged response leaves the handshake to the right one", () => {
  const { network, a, b } = simPair();
  let response: Uint8Array | null = null;
  network.passes = (datagram) => {
    if (datagram.type === Response) response = datagram.bytes;
    return datagram.type !== Response;
  };
  a.send(b, "hello");
  network.runFor(0);
  const forged = response!.slice();
  forged[50] ^= 1;
  // The forger knows a's public key, so mac1 is right.
  forged.set(a.crypto.mac(mac1Key(a), forged.slice(0, -32)), 60);
  a.receive(forged, a.seenFrom(b.address));
  assertEquals(a.count(DeviceEventCode.ResponseInvalid), 1);
  a.receive(response!, a.seenFrom(b.address));
  network.passes = () => true;
  a.send(b, "again");
  network.runFor(0);
  assertEquals(b.inbox, ["hello", "again"]);
});

function mac1Key(node: SimNode): Uint8Array {
  return node.crypto.hash(new TextEncoder().encode("mac1----"), node.publicKey);
}

Deno.test("a peer whose public key is a low-order point gets no initiation", () => {
  const network = new SimNetwork();
  const a = network.node(1);
  const publicKey = new Uint8Array(32);
  publicKey[0] = 1;
  a.configure({
    publicKey,
    endpoint: { address: Uint8Array.of(10, 0, 0, 2), port: 1 },
    keepaliveSeconds: 1,
    allowedIps: [],
  });
  network.runFor(10_000);
  assertEquals(network.sent, []);
  assert(a.count(DeviceEventCode.PeerKeyUnusable) >= 1);
});

Deno.test("garbage costs no Diffie-Hellman and gets no answer", () => {
  const { network, a, b } = connectedPair();
  const before = { ...b.crypto.calls }, sent = network.sent.length;
  for (let i = 0; i < 2_000; i++) {
    const length = [148, 92, 64, 148, 3, 1500][i % 6];
    const bytes = network.random.fill(new Uint8Array(length));
    if (length >= 64) bytes.set([1 + (i % 3), 0, 0, 0]);
    b.receive(bytes, b.seenFrom({ address: Uint8Array.of(192, 0, 2, i), port: i }));
  }
  assertEquals(b.crypto.calls.x25519, before.x25519);
  assertEquals(b.crypto.calls.aead, before.aead);
  assertEquals(b.crypto.calls.xaead, before.xaead);
  assertEquals(network.sent.length, sent);
  a.send(b, "still there");
  network.runFor(0);
  assertEquals(b.inbox.at(-1), "still there");
});

Deno.test("an oversized or empty datagram is dropped and counted", () => {
  const { network, b } = connectedPair();
  for (const length of [0, 1, 3, 4, 31, 149, 65_535]) {
    const bytes = new Uint8Array(length);
    if (length > 0) bytes[0] = 1;
    b.device.onMessage(
      bytes,
      b.seenFrom({ address: Uint8Array.of(1, 1, 1, 1), port: 1 }),
      false,
      network.nowMs,
    );
  }
  assertEquals(b.count(DeviceEventCode.MessageMalformed), 7);
});

Deno.test("no answer is larger than its question", () => {
  const sizes = new Map<number, number>([[Response, 148], [CookieReply, 92]]);
  const { network, a, b } = simPair();
  b.underLoad = true;
  a.send(b, "hello");
  network.runFor(30_000);
  for (const { type, bytes } of network.sentSince(0, undefined, b)) {
    if (type !== Data) assert(bytes.length <= sizes.get(type)!, `type ${type}`);
  }
  assert(network.sentSince(0, CookieReply, b).length > 0);
});

Deno.test("every handshake message that is valid moves the endpoint, sticky source included", () => {
  const { network, a, b } = simPair();
  a.address = { address: Uint8Array.of(10, 0, 0, 50), port: 4000 };
  a.send(b, "from a new place");
  network.runFor(0);
  assertEquals(endpointOf(b, a), "10.0.0.50:4000");
  const at = b.peers.endpointAt(b.slotOf(a));
  assertEquals(b.slab.i32[(at + 32) >> 2], 7);
  assertEquals([...b.slab.u8.slice(at + 36, at + 40)], [10, 0, 0, 2]);
  assertEquals(b.inbox, ["from a new place"]);
});

Deno.test("a peer without an endpoint is not greeted, and the lane may ask again", () => {
  const network = new SimNetwork();
  const a = network.node(1), b = network.node(2);
  a.addPeer(b, { endpoint: undefined });
  b.addPeer(a);
  a.send(b, "kept");
  network.runFor(30_000);
  assertEquals(network.sent, []);
  assertEquals(a.peers.word(a.slotOf(b), PeerWord.HandshakeWanted), 0);
  b.send(a, "hello");
  network.runFor(0);
  assertEquals([a.inbox, b.inbox], [["hello"], ["kept"]]);
});

Deno.test("the bytes of handshakes are counted apart from those of the lane", () => {
  const { a, b } = connectedPair();
  const field = (node: SimNode, peer: SimNode, field: number) =>
    node.peers.field(node.slotOf(peer), field);
  assertEquals(field(a, b, PeerField.HandshakeTxBytes), 148);
  assertEquals(field(a, b, PeerField.HandshakeRxBytes), 92);
  assertEquals(field(b, a, PeerField.HandshakeTxBytes), 92);
  assertEquals(field(b, a, PeerField.HandshakeRxBytes), 148);
  assertEquals(b.device.status().peers[0].rxBytes, 148 + 37);
  assertEquals(a.device.status().peers[0].txBytes, 148 + 37);
});

Deno.test("the wall time of the last handshake is set when the session can be used", () => {
  const { network, a, b } = simPair();
  network.passes = ({ type }) => type !== Data;
  a.send(b, "lost");
  network.runFor(0);
  assertEquals(a.device.status().peers[0].lastHandshakeWallNs, a.wallNs());
  assertEquals(b.device.status().peers[0].lastHandshakeWallNs, 0n);
  network.passes = () => true;
  network.runFor(500);
  a.send(b, "arrives");
  network.runFor(0);
  assertEquals(b.device.status().peers[0].lastHandshakeWallNs, b.wallNs());
});

Deno.test("retired keys are wiped only after every lane has passed the epoch", () => {
  const { network, a, b } = connectedPair();
  a.epochs.announce(0, a.epochs.current());
  const slot = a.peers.word(a.slotOf(b), PeerWord.Current);
  const key = () => a.slab.u8.slice(a.keypairs.at(slot) + 64, a.keypairs.at(slot) + KEYPAIR_REPLAY);
  a.device.apply({ peers: [{ publicKey: b.publicKey, remove: true, allowedIps: [] }] });
  assertEquals(a.keypairs.word(slot, KeypairWord.LocalIndex), 0);
  network.runFor(1_000);
  assertNotEquals(key(), new Uint8Array(128));
  a.epochs.announce(0, 0);
  network.runFor(20);
  assertEquals(key(), new Uint8Array(128));
});

Deno.test("when all keypair slots are taken a handshake is put off, and nothing else suffers", () => {
  const network = new SimNetwork();
  const a = network.node(1, { keypairCapacity: 1 });
  const b = network.node(2), c = network.node(3);
  for (const node of [b, c]) {
    node.addPeer(a);
    a.addPeer(node);
  }
  a.send(b, "first");
  a.send(c, "second");
  network.runFor(0);
  assertEquals([b.inbox, c.inbox], [["first"], []]);
  assertEquals(a.count(DeviceEventCode.NoKeypairSlot), 1);
  c.send(a, "no slot to answer with");
  network.runFor(0);
  assertEquals(a.inbox, []);
  network.runFor(600_000);
  a.send(c, "third");
  network.runFor(1_000);
  assert(c.inbox.includes("third"));
});
