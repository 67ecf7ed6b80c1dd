import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { PeerEvent, PeerField, PeerWord } from "../../src/tables/peer_table.ts";
import { DeviceEventCode } from "../../src/wireguard/events.ts";
import { MessageType } from "../../src/wire/wireguard.ts";
import { connectedPair, type SimNode, simPair } from "../sim/wireguard_sim.ts";

const { Initiation, Response, Data } = MessageType;
const START_MS = 1_000;

function word(node: SimNode, peer: SimNode, word: number): number {
  return node.peers.word(node.slotOf(peer), word);
}

function times(datagrams: { atMs: number }[]): number[] {
  return datagrams.map(({ atMs }) => atMs);
}

function timeOf(node: SimNode, code: DeviceEventCode): number {
  return node.events.find((event) => event.code === code)!.atMs;
}

Deno.test("an unanswered handshake is retried every 5 s and 0 to 333 ms, 20 tries in all, then given up", () => {
  const { network, a, b } = simPair();
  network.passes = () => false;
  a.send(b, "never");
  network.runFor(200_000);
  const sentMs = times(network.sentSince(0, Initiation));
  assertEquals(sentMs.length, 20);
  assertEquals(sentMs[0], START_MS);
  for (let i = 1; i < sentMs.length; i++) {
    const gap = sentMs[i] - sentMs[i - 1];
    assert(gap >= 5_000 && gap <= 5_333, `gap ${gap}`);
  }
  assert(new Set(sentMs.map((ms, i) => ms - sentMs[i - 1])).size > 10, "there is jitter");
  assertEquals(a.count(DeviceEventCode.NoReply), 19);
  const gaveUp = a.events.find(({ code }) => code === DeviceEventCode.GaveUp)!;
  assertEquals(gaveUp.detail, 20);
  const lastGap = gaveUp.atMs - sentMs[19];
  assert(lastGap >= 5_000 && lastGap <= 5_333);
  assertEquals(a.lane.counts.dropped, 1);
  assertEquals(word(a, b, PeerWord.HandshakeWanted), 0);
});

Deno.test("every try has an ephemeral key and an index of its own", () => {
  const { network, a, b } = simPair();
  network.passes = () => false;
  a.send(b, "never");
  network.runFor(30_000);
  const tries = network.sentSince(0, Initiation).map(({ bytes }) => bytes);
  assertEquals(new Set(tries.map((bytes) => bytes.slice(8, 40).join())).size, tries.length);
  assertEquals(new Set(tries.map((bytes) => bytes.slice(4, 8).join())).size, tries.length);
});

Deno.test("giving up arms the wiping of keys at 540 s, but does not put it off", () => {
  const fresh = simPair();
  fresh.network.passes = () => false;
  fresh.a.send(fresh.b, "never");
  fresh.network.runFor(700_000);
  const gaveUpMs = timeOf(fresh.a, DeviceEventCode.GaveUp);
  assertEquals(timeOf(fresh.a, DeviceEventCode.KeysZeroed), gaveUpMs + 540_000);

  const { network, a, b } = connectedPair();
  network.runFor(200_000);
  network.passes = () => false;
  a.send(b, "never");
  network.runFor(600_000);
  assertEquals(a.count(DeviceEventCode.GaveUp), 1);
  assertEquals(timeOf(a, DeviceEventCode.KeysZeroed), START_MS + 540_000);
});

Deno.test("after giving up, the next packet begins a handshake at once", () => {
  const { network, a, b } = simPair();
  network.passes = () => false;
  a.send(b, "never");
  network.runFor(150_000);
  network.passes = () => true;
  a.send(b, "now");
  network.runFor(0);
  assertEquals(b.inbox, ["now"]);
});

Deno.test("data that wants a handshake starts the count of retries again", () => {
  const { network, a, b } = simPair();
  network.passes = () => false;
  for (let i = 0; i < 20; i++) {
    a.send(b, `packet ${i}`);
    network.runFor(30_000);
  }
  assertEquals(a.count(DeviceEventCode.GaveUp), 0);
  assert(network.sentSince(0, Initiation).length >= 600_000 / 5_334);
});

Deno.test("each retry forgets the cached source address, and nothing else of the endpoint", () => {
  const { network, a, b } = connectedPair();
  b.send(a, "so that the source is known");
  network.runFor(0);
  const at = () => a.peers.endpointAt(a.slotOf(b));
  assertEquals(a.slab.i32[(at() + 32) >> 2], 7);
  const before = a.slab.u8.slice(at(), at() + 32);
  network.runFor(200_000);
  network.passes = () => false;
  a.send(b, "rekey");
  network.runFor(4_999);
  assertEquals(a.slab.i32[(at() + 32) >> 2], 7);
  network.runFor(400);
  assertEquals(a.slab.u8.slice(at() + 32, at() + 64), new Uint8Array(32));
  assertEquals(a.slab.u8.slice(at(), at() + 32), before);
});

Deno.test("at most one initiation goes out within 5 s, whoever asks", () => {
  const { network, a, b } = simPair();
  network.passes = () => false;
  a.device.onPeerEvent(a.slotOf(b), PeerEvent.WantHandshake, network.nowMs);
  for (let i = 0; i < 49; i++) {
    network.runFor(100);
    a.device.onPeerEvent(a.slotOf(b), PeerEvent.WantHandshake, network.nowMs);
  }
  a.pump();
  assertEquals(network.sentSince(0, Initiation).length, 1);
});

Deno.test("a request that was put off lets the lane ask again after 5 s", () => {
  const { network, a, b } = simPair();
  network.passes = ({ type }) => type !== Data;
  a.send(b, "lost");
  network.runFor(1_000);
  b.send(a, "too soon after the response");
  assertEquals(network.sentSince(0, Initiation, b).length, 0);
  assertEquals(word(b, a, PeerWord.HandshakeWanted), 1);
  network.runFor(3_999);
  assertEquals(word(b, a, PeerWord.HandshakeWanted), 1);
  network.runFor(1);
  assertEquals(word(b, a, PeerWord.HandshakeWanted), 0);
  b.send(a, "now");
  assertEquals(network.sentSince(0, Initiation, b).length, 1);
});

Deno.test("who has received data and sent nothing answers with a keepalive after 10 s, once", () => {
  const { network, a, b } = connectedPair();
  network.runFor(100_000);
  assertEquals(times(network.sentSince(START_MS + 1)), [START_MS + 10_000]);
  assertEquals(network.sent.at(-1)!.from, "10.0.0.2:51820");
  assertEquals([a.lane.counts.keepalives, b.lane.counts.keepalives], [1, 0]);
});

Deno.test("an answer in time makes the keepalive needless", () => {
  const { network, a, b } = connectedPair();
  network.runFor(9_000);
  b.send(a, "answer");
  network.runFor(9_999);
  assertEquals(network.sentSince(START_MS + 1).length, 1);
  network.runFor(1);
  const last = network.sent.at(-1)!;
  assertEquals([last.from, last.atMs, last.bytes.length], [
    "10.0.0.1:51820",
    START_MS + 19_000,
    32,
  ]);
});

Deno.test("more data before the keepalive is due does not put it off or double it", () => {
  const { network, a, b } = connectedPair();
  network.runFor(6_000);
  a.send(b, "more");
  network.runFor(60_000);
  assertEquals(times(network.sentSince(0, Data, b)), [START_MS + 10_000]);
  assertEquals(word(b, a, PeerWord.NeedAnotherKeepalive), 0);
});

Deno.test("a keepalive that could not be sent is tried once more when more data had come", () => {
  const { network, a, b } = connectedPair();
  const slot = b.slotOf(a);
  network.runFor(1_000);
  a.send(b, "more");
  network.runFor(0);
  assertEquals(word(b, a, PeerWord.NeedAnotherKeepalive), 1);
  network.passes = () => false;
  let keepalives = 0;
  b.lane.onCommand = () => void keepalives++;
  network.run(START_MS + 10_000);
  assertEquals(keepalives, 1);
  network.run(START_MS + 19_999);
  assertEquals(keepalives, 1);
  network.run(START_MS + 20_000);
  assertEquals(keepalives, 2);
  network.runFor(60_000);
  assertEquals(keepalives, 2);
  assertEquals(b.peers.field(slot, PeerField.UnacknowledgedSinceMs), 0);
});

Deno.test("who has sent data and hears nothing for 15 s and 0 to 333 ms begins a handshake", () => {
  const { network, a, b } = connectedPair();
  network.runFor(50_000);
  network.passes = () => false;
  a.send(b, "unheard");
  const sentMs = network.nowMs;
  network.runFor(16_000);
  const [atMs] = times(network.sentSince(sentMs, Initiation));
  assert(atMs >= sentMs + 15_000 && atMs <= sentMs + 15_333, `${atMs - sentMs}`);
  assertEquals(timeOf(a, DeviceEventCode.StoppedHearing), atMs);
});

Deno.test("the 15 s run from the first unanswered packet, not from the last one", () => {
  const { network, a, b } = connectedPair();
  network.runFor(50_000);
  network.passes = () => false;
  const sentMs = network.nowMs;
  for (let i = 0; i < 15; i++) {
    a.send(b, `unheard ${i}`);
    network.runFor(1_000);
  }
  network.runFor(400);
  assertEquals(network.sentSince(sentMs, Initiation).length, 1);
});

Deno.test("any authenticated packet, a keepalive too, ends the wait for an answer", () => {
  const { network, a, b } = connectedPair();
  for (let i = 0; i < 5; i++) {
    network.runFor(14_000);
    a.send(b, `packet ${i}`);
  }
  network.runFor(60_000);
  assertEquals(network.sentSince(START_MS + 1, Initiation).length, 0);
});

Deno.test("an initiation of the peer ends the wait for an answer as well", () => {
  const { network, a, b } = connectedPair();
  network.runFor(50_000);
  network.passes = ({ type }) => type !== Data;
  a.send(b, "unheard");
  network.runFor(10_000);
  b.device.onPeerEvent(b.slotOf(a), PeerEvent.WantHandshake, network.nowMs);
  b.pump();
  network.runFor(0);
  assertEquals(a.peers.field(a.slotOf(b), PeerField.UnansweredSinceMs), 0);
  network.runFor(20_000);
  assertEquals(network.sentSince(START_MS + 1, Initiation, a).length, 0);
});

Deno.test("all keys are wiped 540 s after the last handshake, to the millisecond", () => {
  const { network, a, b } = connectedPair();
  network.run(START_MS + 539_999);
  assertNotEquals(word(a, b, PeerWord.Current), -1);
  assertNotEquals(word(b, a, PeerWord.Current), -1);
  const slot = word(a, b, PeerWord.Current);
  network.run(START_MS + 540_000);
  assertEquals([word(a, b, PeerWord.Current), word(b, a, PeerWord.Current)], [-1, -1]);
  network.runFor(20);
  const at = a.keypairs.at(slot);
  assertEquals(a.slab.u8.slice(at, at + 192), new Uint8Array(192));
});

Deno.test("a configured keepalive begins a handshake at once and repeats to the millisecond", () => {
  const { network, a, b } = simPair();
  a.configure({ publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] });
  network.runFor(0);
  assertEquals(network.sent.map(({ type }) => type), [Initiation, Response, Data]);
  network.passes = ({ from }) => from === "10.0.0.1:51820";
  network.runFor(100_000);
  const kept = network.sentSince(START_MS + 1, Data, a);
  assertEquals(times(kept), [26_000, 51_000, 76_000, 101_000]);
  assert(kept.every(({ bytes }) => bytes.length === 32));
});

Deno.test("what is received puts the persistent keepalive off as well", () => {
  const { network, a, b } = connectedPair();
  network.runFor(15_000);
  a.configure({ publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] });
  const onMs = network.nowMs;
  network.runFor(10_000);
  network.passes = ({ from }) => from === "10.0.0.2:51820";
  for (let i = 0; i < 3; i++) {
    b.lane.onCommand(b.slotOf(a), 2);
    network.runFor(20_000);
  }
  assertEquals(times(network.sentSince(onMs, Data, a)), [onMs]);
  network.run(onMs + 10_000 + 40_000 + 25_000);
  assertEquals(times(network.sentSince(onMs, Data, a)), [onMs, onMs + 75_000]);
});

Deno.test("an endpoint that becomes known later starts the persistent keepalive at once", () => {
  const { network, a, b } = simPair({}, { endpoint: undefined });
  a.configure({ publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] });
  network.runFor(10_000);
  assertEquals(network.sent, []);
  a.configure({ publicKey: b.publicKey, endpoint: b.address, allowedIps: [] });
  network.runFor(0);
  assertEquals(network.sent.map(({ type }) => type), [Initiation, Response, Data]);
});

Deno.test("turning the persistent keepalive off ends it", () => {
  const { network, a, b } = connectedPair();
  for (const keepaliveSeconds of [1, 0]) {
    network.runFor(5_000);
    a.configure({ publicKey: b.publicKey, keepaliveSeconds, allowedIps: [] });
  }
  assert(network.sentSince(START_MS + 5_000, Data, a).length > 4);
  const offMs = network.nowMs;
  network.runFor(60_000);
  assertEquals(network.sentSince(offMs + 1), []);
});

Deno.test("the initiator rekeys when it sends on a key of 120 s, the responder never", () => {
  const { network, a, b } = connectedPair();
  network.run(START_MS + 119_999);
  a.send(b, "young");
  b.send(a, "young");
  assertEquals(network.sentSince(START_MS + 1, Initiation).length, 0);
  network.run(START_MS + 120_000);
  b.send(a, "old, but not mine to renew");
  network.runFor(0);
  assertEquals(network.sentSince(START_MS + 1, Initiation).length, 0);
  a.send(b, "old");
  network.runFor(0);
  assertEquals(times(network.sentSince(START_MS + 1, Initiation, a)), [START_MS + 120_000]);
  assertEquals(b.inbox.at(-1), "old");
});

Deno.test("the initiator rekeys once when it receives on a key of 165 s, the responder never", () => {
  const { network, a, b } = connectedPair();
  network.run(START_MS + 164_999);
  b.send(a, "not yet");
  network.runFor(0);
  assertEquals(network.sentSince(START_MS + 1, Initiation).length, 0);
  network.run(START_MS + 165_000);
  network.passes = ({ type }) => type === Data;
  b.send(a, "now");
  b.send(a, "not again");
  network.runFor(4_000);
  assertEquals(times(network.sentSince(START_MS + 1, Initiation)), [START_MS + 165_000]);
});

Deno.test("receiving on an old key leads to one handshake per session, however often the lane asks", () => {
  const { network, a, b } = connectedPair();
  network.run(START_MS + 165_000);
  network.passes = () => false;
  for (const count of [1, 1]) {
    a.device.onPeerEvent(a.slotOf(b), PeerEvent.ReceivedOnOldKey, network.nowMs);
    a.pump();
    assertEquals(network.sentSince(START_MS + 1, Initiation, a).length, count);
    network.nowMs += 5_334;
  }
  network.passes = () => true;
  network.runFor(1_000);
  const renewedMs =
    a.events.findLast(({ code }) => code === DeviceEventCode.SessionEstablished)!.atMs;
  assert(renewedMs > START_MS + 165_000);
  network.run(renewedMs + 165_000);
  b.send(a, "old again");
  network.runFor(0);
  assertEquals(network.sentSince(renewedMs + 1, Initiation, a).length, 1);
});

Deno.test("a handshake message puts the persistent keepalive off as well", () => {
  const { network, a, b } = connectedPair();
  network.runFor(15_000);
  b.configure({ publicKey: a.publicKey, keepaliveSeconds: 25, allowedIps: [] });
  const onMs = network.nowMs;
  network.runFor(20_000);
  network.passes = ({ type }) => type !== Data;
  a.device.onPeerEvent(a.slotOf(b), PeerEvent.WantHandshake, network.nowMs);
  a.pump();
  network.run(onMs + 60_000);
  assertEquals(times(network.sentSince(onMs, Data, b)), [onMs, onMs + 45_000]);
});

Deno.test("a change that has nothing to do with keepalives sends none", () => {
  const { network, a, b } = connectedPair();
  a.configure({ publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] });
  network.runFor(12_000);
  const sent = network.sent.length;
  a.configure({ publicKey: b.publicKey, keepaliveSeconds: 30, allowedIps: [] });
  a.configure({ publicKey: b.publicKey, endpoint: b.address, allowedIps: [] });
  assertEquals(network.sent.length, sent);
});

Deno.test("a key of 180 s neither seals nor opens", () => {
  const { network, a, b } = connectedPair();
  network.run(START_MS + 180_000);
  network.passes = ({ type }) => type === Data;
  const before = a.lane.counts.sealed;
  a.send(b, "waits for a new key");
  assertEquals(a.lane.counts.sealed, before);
  network.passes = () => true;
  network.runFor(6_000);
  assertEquals(b.inbox.at(-1), "waits for a new key");
});

Deno.test("an idle pair has no timers left, and wakes up after hours", () => {
  const { network, a, b } = connectedPair();
  network.runFor(2 * 3_600_000);
  assertEquals(a.device.nextTimeoutMs(), Infinity);
  assertEquals([word(a, b, PeerWord.Watch), word(b, a, PeerWord.Watch)], [0, 0]);
  b.send(a, "good morning");
  network.runFor(0);
  assertEquals(a.inbox, ["good morning"]);
});

Deno.test("a time that the lane notes while main stops watching is not missed", () => {
  const { network, b, a } = connectedPair();
  const slot = b.slotOf(a);
  // The keepalive at 10 s was the last thing to watch for; a look at 11 s is still to come.
  network.run(START_MS + 10_500);
  assertEquals(word(b, a, PeerWord.Watch), 0);
  b.peers.setField(slot, PeerField.UnacknowledgedSinceMs, network.nowMs);
  const sinceMs = network.nowMs;
  network.run(sinceMs + 20_000);
  assertEquals(times(network.sentSince(sinceMs, Data, b)), [sinceMs + 10_000]);
});

Deno.test("a deadline that begins while main watches for the other one is met to the millisecond", () => {
  const { network, a, b } = connectedPair();
  network.runFor(50_000);
  network.passes = ({ from }) => from === "10.0.0.2:51820";
  a.send(b, "lost");
  network.runFor(3_456);
  b.send(a, "wants an answer");
  const sinceMs = network.nowMs;
  network.runFor(12_000);
  assertEquals(times(network.sentSince(sinceMs, Data, a)), [sinceMs + 10_000]);
});

Deno.test("a peer that is removed has no timers", () => {
  const { network, a, b } = connectedPair({}, { keepaliveSeconds: 3 });
  network.runFor(10_000);
  a.configure({ publicKey: b.publicKey, remove: true, allowedIps: [] });
  network.runFor(100);
  assertEquals(a.device.nextTimeoutMs(), Infinity);
});
