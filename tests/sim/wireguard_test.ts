/** Devices against each other over bad networks and bad clocks, in virtual time. */
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { PeerWord } from "../../src/tables/peer_table.ts";
import { compareBytes } from "../../src/wireguard/bytes.ts";
import { DeviceEventCode } from "../../src/wireguard/events.ts";
import { MessageType } from "../../src/wire/wireguard.ts";
import { clampPrivateKey } from "../../src/wireguard/noise.ts";
import { CountingCrypto } from "./wireguard_crypto.ts";
import { connectedPair, SimNetwork, type SimNode, simPair } from "./wireguard_sim.ts";

const { Initiation, Response, Data } = MessageType;

/** What must hold for any pair at any time. */
function checkInvariants(node: SimNode, label: string): void {
  for (const other of node.network.nodes) {
    const slot = node.slotOf(other);
    if (slot < 0) continue;
    const live = [PeerWord.Previous, PeerWord.Current, PeerWord.Next]
      .map((word) => node.peers.word(slot, word)).filter((keypair) => keypair >= 0);
    assertEquals(new Set(live).size, live.length, label);
    for (const keypair of live) {
      const index = node.keypairs.word(keypair, 0);
      assertEquals(node.keypairs.find(index), keypair, label);
    }
  }
}

/** No node sends two initiations to one peer within 5 s. */
function checkInitiationRate(network: SimNetwork, label: string): void {
  const last = new Map<string, number>();
  for (const { type, from, to, atMs } of network.sent) {
    if (type !== Initiation) continue;
    const way = `${from}>${to}`;
    const gapMs = atMs - (last.get(way) ?? -Infinity);
    assert(gapMs >= 5_000, `${label}: ${way} after ${gapMs} ms at ${atMs}`);
    last.set(way, atMs);
  }
}

Deno.test("with 0 to 50 % loss, duplicates and reordering, traffic always comes through again", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const lossRate = (seed - 1) / 10;
    const { network, a, b } = simPair({
      seed,
      lossRate,
      duplicateRate: 0.2,
      delayMs: 15,
      jitterMs: 100,
    });
    const label = `seed ${seed}, loss ${lossRate}`;
    for (let minute = 0; minute < 20; minute++) {
      for (let i = 0; i < 6; i++) {
        a.send(b, `a ${minute}.${i}`);
        if (i % 2 === 0) b.send(a, `b ${minute}.${i}`);
        network.runFor(10_000);
        checkInvariants(a, label);
        checkInvariants(b, label);
      }
    }
    assertEquals(new Set(b.inbox).size, b.inbox.length, `${label}: delivered twice`);
    assert(b.inbox.length >= 120 * (1 - lossRate) * 0.7, `${label}: ${b.inbox.length} of 120`);
    checkInitiationRate(network, label);
    network.lossRate = 0;
    network.runFor(120_000);
    a.send(b, "at last");
    b.send(a, "at last");
    network.runFor(12_000);
    assertEquals([a.inbox.at(-1), b.inbox.at(-1)], ["at last", "at last"], label);
  }
});

Deno.test("over six hours of traffic, a session is renewed every two minutes and no packet is lost", () => {
  const { network, a, b } = connectedPair({ seed: 3, delayMs: 20 });
  let sent = 1;
  for (let s = 0; s < 6 * 3_600; s += 5) {
    a.send(b, `a ${s}`);
    b.send(a, `b ${s}`);
    sent++;
    network.runFor(5_000);
  }
  network.runFor(1_000);
  assertEquals(b.inbox.length, sent);
  assertEquals(a.inbox.length, sent - 1);
  const handshakes = network.sentSince(0, Initiation).length;
  assert(handshakes >= 170 && handshakes <= 181, `${handshakes} handshakes`);
  assertEquals(network.sentSince(0, Response).length, handshakes);
  assertEquals(network.sentSince(0, Initiation, b).length, 0, "the responder never rekeys");
});

Deno.test("traffic in one direction only is kept up as well, whoever began the session", () => {
  for (const sender of ["a", "b"]) {
    const { network, a, b } = connectedPair({ seed: 4, delayMs: 20 });
    const [from, to] = sender === "a" ? [a, b] : [b, a];
    const before = to.inbox.length;
    for (let s = 0; s < 1_800; s += 5) {
      from.send(to, `${s}`);
      network.runFor(5_000);
    }
    assertEquals(to.inbox.length - before, 360, `sent by ${sender}`);
  }
});

Deno.test("two idle peers are silent: keepalives do not answer keepalives", () => {
  const { network, a, b } = connectedPair();
  b.send(a, "answer");
  network.runFor(30_000);
  const quietMs = network.nowMs;
  network.runFor(3_600_000);
  assertEquals(network.sentSince(quietMs), []);
});

Deno.test("a wall clock that jumps moves no timer", () => {
  for (const jumpMs of [-3_600_000, 75 * 365 * 86_400_000]) {
    const { network, a, b } = connectedPair({}, {});
    a.configure({ publicKey: b.publicKey, keepaliveSeconds: 20, allowedIps: [] });
    network.runFor(5_000);
    a.jumpWall(jumpMs);
    b.jumpWall(jumpMs);
    const sinceMs = network.nowMs;
    network.runFor(60_000);
    const kept = network.sentSince(sinceMs, Data, a).map(({ atMs }) => atMs);
    // 20 s after the keepalive with which b answers "hello" at 11 s.
    assertEquals(kept, [31_000, 51_000], `jump ${jumpMs}`);
    assertEquals(network.sentSince(sinceMs, Initiation), []);
  }
});

Deno.test("after the wall clock was set back an hour, handshakes go on and the log says why", () => {
  const { network, a, b } = connectedPair();
  a.jumpWall(-3_600_000);
  network.runFor(200_000);
  a.send(b, "rekeyed");
  network.runFor(100);
  assertEquals(b.inbox.at(-1), "rekeyed");
  const behind = a.events.find(({ code }) => code === DeviceEventCode.WallClockBehind)!;
  assert(behind.detail > 3_000 && behind.detail <= 3_600);
});

Deno.test("a wall clock in 2100 and back locks nobody out, also after a restart with the stored stamp", () => {
  const network = new SimNetwork();
  const a = network.node(1), b = network.node(2);
  a.addPeer(b);
  b.addPeer(a);
  const to2100Ms = 76 * 365 * 86_400_000;
  a.jumpWall(to2100Ms);
  a.send(b, "from the future");
  network.runFor(200_000);
  a.jumpWall(-to2100Ms);
  a.send(b, "from the present");
  network.runFor(200_000);
  assertEquals(b.inbox, ["from the future", "from the present"]);
  assertEquals(a.count(DeviceEventCode.WallClockBehind), 1);

  network.nodes.splice(network.nodes.indexOf(a), 1);
  const restarted = network.node(3, {
    privateKey: a.privateKey,
    device: { lastTimestamp: a.device.lastTimestamp() },
  });
  restarted.address = a.address;
  restarted.addPeer(b);
  restarted.send(b, "restarted");
  network.runFor(100);
  assertEquals(b.inbox.at(-1), "restarted");
  assert(compareBytes(restarted.device.lastTimestamp(), a.device.lastTimestamp()) > 0);
});

Deno.test("after ten minutes of sleep the old keys are gone and one handshake brings new ones", () => {
  const { network, a, b } = connectedPair();
  a.configure({ publicKey: b.publicKey, keepaliveSeconds: 25, allowedIps: [] });
  network.runFor(60_000);
  const old = a.peers.word(a.slotOf(b), PeerWord.Current);
  a.isAsleep = true;
  network.runFor(600_000);
  a.isAsleep = false;
  const wokenMs = network.nowMs;
  const oldKey = a.slab.u8.slice(a.keypairs.at(old) + 64, a.keypairs.at(old) + 128);
  network.runFor(1_000);
  assertEquals(network.sentSince(wokenMs, Initiation, a).length, 1);
  assertEquals(network.sentSince(wokenMs, Response, b).length, 1);
  assertEquals(a.count(DeviceEventCode.KeysZeroed), 1);
  const now = a.slab.u8.slice(a.keypairs.at(old) + 64, a.keypairs.at(old) + 128);
  assert(now.join() !== oldKey.join(), "the old key is wiped");
  a.send(b, "awake");
  network.runFor(100);
  assertEquals(b.inbox.at(-1), "awake");
});

Deno.test("a peer that restarts without its keys is found again within 20 s of being sent to", () => {
  const { network, a, b } = connectedPair({ delayMs: 5 });
  network.runFor(60_000);
  network.nodes.splice(network.nodes.indexOf(b), 1);
  const restarted = network.node(9, { privateKey: b.privateKey });
  restarted.address = b.address;
  restarted.addPeer(a, { endpoint: undefined });
  for (let s = 0; s < 20; s++) {
    a.send(b, `packet ${s}`);
    network.runFor(1_000);
  }
  assert(restarted.inbox.length > 0);
});

Deno.test("a peer that roams is answered at its new address after one packet", () => {
  const { network, a, b } = connectedPair();
  a.address = { address: Uint8Array.of(10, 0, 0, 77), port: 1234 };
  a.send(b, "from elsewhere");
  network.runFor(0);
  b.send(a, "there you are");
  network.runFor(0);
  assertEquals(a.inbox, ["there you are"]);
});

Deno.test("wrong keys, removed peers and changed secrets in any order never stop the others", () => {
  for (let seed = 1; seed <= 4; seed++) {
    const network = new SimNetwork({ seed, lossRate: 0.1, delayMs: 5, jitterMs: 30 });
    const nodes = [1, 2, 3, 4].map((host) => network.node(host));
    const [hub, ...spokes] = nodes;
    for (const spoke of spokes) {
      hub.addPeer(spoke);
      spoke.addPeer(hub);
    }
    const random = new SeededRandom(seed);
    for (let step = 0; step < 120; step++) {
      const spoke = spokes[random.below(2)];
      const presharedKey = new Uint8Array(32).fill(random.below(2));
      switch (random.below(5)) {
        case 0:
          hub.configure({ publicKey: spoke.publicKey, remove: true, allowedIps: [] });
          break;
        case 1:
          hub.addPeer(spoke);
          break;
        case 2:
          spoke.configure({ publicKey: hub.publicKey, presharedKey, allowedIps: [] });
          break;
        case 3:
          if (hub.slotOf(spoke) >= 0) hub.send(spoke, `to spoke ${step}`);
          break;
        case 4:
          spoke.send(hub, `from spoke ${step}`);
      }
      spokes[2].send(hub, `steady ${step}`);
      network.runFor(random.below(7_000));
      checkInvariants(hub, `seed ${seed}, step ${step}`);
    }
    const steady = hub.inbox.filter((text) => text.startsWith("steady")).length;
    assert(steady >= 100, `seed ${seed}: ${steady} of 120`);
  }
});

/** X25519 replaced by something that commutes and costs nothing, for runs with many peers. */
class CheapCrypto extends CountingCrypto {
  override x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
    const ours = this.x25519PublicKey(privateKey);
    const [low, high] = compareBytes(ours, publicKey) < 0 ? [ours, publicKey] : [publicKey, ours];
    return this.hash(low, high);
  }

  override x25519PublicKey(privateKey: Uint8Array): Uint8Array {
    return this.hash(privateKey);
  }
}

Deno.test("10,000 peers are configured, greeted, timed and removed", () => {
  const count = 10_000;
  const network = new SimNetwork();
  const random = new SeededRandom(1);
  const crypto = new CheapCrypto();
  const node = network.node(1, { peerCapacity: count, device: { crypto } });
  network.passes = () => false;
  const keys = Array.from(
    { length: count },
    () => crypto.x25519PublicKey(clampPrivateKey(random.fill(new Uint8Array(32)))),
  );
  const change = (publicKey: Uint8Array, i: number) => ({
    publicKey,
    endpoint: { address: Uint8Array.of(172, 16, i >> 8, i), port: 1 },
    keepaliveSeconds: 25,
    allowedIps: [{ address: Uint8Array.of(10, 1, i >> 8, i), bits: 32, remove: false }],
  });
  node.device.apply({ peers: keys.map(change) });
  assertEquals(node.device.status().peers.length, count);
  const transmits = () => {
    let sent = 0;
    while (node.device.pollTransmit() !== null) sent++;
    return sent;
  };
  assertEquals(transmits(), count);
  const startMs = network.nowMs;
  assert(node.device.nextTimeoutMs() >= startMs + 5_000);
  let retries = 0;
  for (let nextMs = node.device.nextTimeoutMs(); nextMs <= startMs + 5_333;) {
    node.device.onTimeout(nextMs);
    retries += transmits();
    nextMs = node.device.nextTimeoutMs();
  }
  assertEquals(retries, count);
  node.device.apply({ replacePeers: true, peers: [] });
  while (node.device.pollCommand() !== null);
  node.device.onTimeout(network.nowMs + 10_000);
  node.device.onTimeout(network.nowMs + 20_000);
  assertEquals(node.device.nextTimeoutMs(), Infinity);
  assertEquals(node.device.status().peers, []);
});
