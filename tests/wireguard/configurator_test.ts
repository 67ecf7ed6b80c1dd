import { assert, assertEquals, assertThrows } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { PeerWord } from "../../src/tables/peer_table.ts";
import {
  ConfigurationError,
  type DeviceChange,
  type PeerChange,
  type Prefix,
} from "../../src/wireguard/configuration.ts";
import { DeviceEventCode } from "../../src/wireguard/events.ts";
import { clampPrivateKey } from "../../src/wireguard/noise.ts";
import { MessageType } from "../../src/wire/wireguard.ts";
import { publicOf } from "../reference/noise_reference.ts";
import {
  connectedPair,
  type NodeOptions,
  SimNetwork,
  type SimNode,
  simPair,
} from "../sim/wireguard_sim.ts";

const { Initiation, Response } = MessageType;

const key = (n: number) => new Uint8Array(32).fill(n);
const prefix = (last: number, bits = 32): Prefix => ({
  address: Uint8Array.of(10, 9, 0, last),
  bits,
});
const give = (...prefixes: Prefix[]) => prefixes.map((p) => ({ ...p, remove: false }));
const take = (...prefixes: Prefix[]) => prefixes.map((p) => ({ ...p, remove: true }));

function lone(options: NodeOptions = {}): SimNode {
  return new SimNetwork().node(1, options);
}

/** The change to one peer that does nothing but what is named. */
function peer(publicKey: Uint8Array, change: Partial<PeerChange> = {}): PeerChange {
  return { publicKey, allowedIps: [], ...change };
}

function peerStatus(node: SimNode, publicKey: Uint8Array) {
  return node.device.status().peers.find((peer) => peer.publicKey.join() === publicKey.join());
}

/** Which of the keys 1 to 9 owns an address. */
function ownerOf(node: SimNode, last: number): number {
  const slot = node.allowedIps.lookup(Uint8Array.of(10, 9, 0, last));
  for (let n = 1; n <= 9; n++) if (slot >= 0 && node.device.slotOf(key(n)) === slot) return n;
  return -1;
}

Deno.test("a new device has no peers, a peer has what it was given", () => {
  const node = lone();
  assertEquals(node.device.status(), {
    privateKey: node.privateKey,
    listenPort: 0,
    fwmark: 0,
    peers: [],
  });
  const endpoint = { address: Uint8Array.of(192, 0, 2, 1), port: 7 };
  node.configure(
    peer(key(1), {
      presharedKey: key(8),
      endpoint,
      keepaliveSeconds: 25,
      allowedIps: give(prefix(1), prefix(0, 24)),
    }),
  );
  const peers = node.device.status().peers
    .map((status) => ({ ...status, allowedIps: [...status.allowedIps] }));
  assertEquals(peers, [{
    publicKey: key(1),
    presharedKey: key(8),
    endpoint,
    keepaliveSeconds: 25,
    lastHandshakeWallNs: 0n,
    rxBytes: 0,
    txBytes: 148,
    allowedIps: [prefix(1), prefix(0, 24)],
  }]);
});

Deno.test("the private key is clamped; all zero clears it, and nobody is greeted any more", () => {
  const { network, a, b } = connectedPair();
  const raw = key(0xff);
  a.device.apply({ privateKey: raw, peers: [] });
  assertEquals(a.device.status().privateKey, clampPrivateKey(raw.slice()));
  a.device.apply({ privateKey: key(0), peers: [] });
  assertEquals(a.device.status().privateKey, null);
  const sinceMs = network.nowMs + 1;
  a.send(b, "nobody");
  network.runFor(20_000);
  assertEquals(network.sentSince(sinceMs, undefined, a), []);
  assert(a.count(DeviceEventCode.NoPrivateKey) > 0);
});

Deno.test("what a change does not name stays as it is", () => {
  const node = lone();
  node.configure(
    peer(key(1), { presharedKey: key(8), keepaliveSeconds: 3, allowedIps: give(prefix(1)) }),
  );
  node.configure(peer(key(1), { allowedIps: give(prefix(2)) }));
  const status = peerStatus(node, key(1))!;
  assertEquals(status.presharedKey, key(8));
  assertEquals(status.keepaliveSeconds, 3);
  assertEquals([...status.allowedIps], [prefix(1), prefix(2)]);
});

Deno.test("update_only changes no peer that is not there", () => {
  const node = lone();
  node.configure(peer(key(1), { updateOnly: true, allowedIps: give(prefix(1)) }));
  assertEquals(node.device.status().peers, []);
  assertEquals(node.allowedIps.lookup(Uint8Array.of(10, 9, 0, 1)), -1);
  node.configure(peer(key(1)));
  node.configure(peer(key(1), { updateOnly: true, keepaliveSeconds: 9 }));
  assertEquals(peerStatus(node, key(1))!.keepaliveSeconds, 9);
});

Deno.test("an allowed IP moves to the last peer that it is given to, and the log says so", () => {
  const node = lone();
  node.configure(
    peer(key(1), { allowedIps: give(prefix(1)) }),
    peer(key(2), { allowedIps: give(prefix(1)) }),
  );
  assertEquals(ownerOf(node, 1), 2);
  assertEquals([...peerStatus(node, key(1))!.allowedIps], []);
  node.configure(peer(key(1), { allowedIps: give(prefix(1)) }));
  assertEquals(ownerOf(node, 1), 1);
  assertEquals(node.count(DeviceEventCode.AllowedIpMoved), 2);
});

Deno.test("allowed IPs can be taken away one by one, and replaced", () => {
  const node = lone();
  node.configure(peer(key(1), { allowedIps: give(prefix(1), prefix(2)) }));
  node.configure(peer(key(2), { allowedIps: take(prefix(1)) }));
  assertEquals(ownerOf(node, 1), 1, "only the owner can lose it");
  node.configure(peer(key(1), { allowedIps: take(prefix(1)) }));
  assertEquals([ownerOf(node, 1), ownerOf(node, 2)], [-1, 1]);
  node.configure(peer(key(1), { replaceAllowedIps: true, allowedIps: give(prefix(3)) }));
  assertEquals([ownerOf(node, 2), ownerOf(node, 3)], [-1, 1]);
});

Deno.test("a removed peer is gone with its allowed IPs, and may come back in the same change", () => {
  const node = lone();
  node.configure(peer(key(1), { presharedKey: key(8), allowedIps: give(prefix(1)) }));
  node.configure(peer(key(1), { remove: true }));
  assertEquals(node.device.status().peers, []);
  assertEquals(ownerOf(node, 1), -1);
  node.configure(
    peer(key(2), { allowedIps: give(prefix(2)) }),
    peer(key(2), { remove: true }),
    peer(key(2), { allowedIps: give(prefix(3)) }),
  );
  assertEquals([ownerOf(node, 2), ownerOf(node, 3)], [-1, 2]);
  node.configure(peer(key(3)), peer(key(3), { remove: true }));
  assertEquals(node.device.slotOf(key(3)), -1);
});

Deno.test("replace_peers leaves only the peers that the change names, as if they were new", () => {
  const { network, a, b } = connectedPair();
  a.configure(peer(key(1), { allowedIps: give(prefix(1)) }));
  a.device.apply({
    replacePeers: true,
    peers: [
      peer(b.publicKey, { endpoint: b.address }),
      peer(key(2), { allowedIps: give(prefix(1)) }),
    ],
  });
  a.pump();
  assertEquals(a.device.status().peers.map(({ publicKey }) => publicKey), [b.publicKey, key(2)]);
  assertEquals(ownerOf(a, 1), 2);
  const status = a.device.status().peers[0];
  assertEquals([status.rxBytes, status.lastHandshakeWallNs], [0, 0n]);
  assertEquals(a.peers.word(a.slotOf(b), PeerWord.Current), -1);
  network.runFor(1_000);
  a.send(b, "a new session");
  network.runFor(1_000);
  assertEquals(b.inbox.at(-1), "a new session");
});

Deno.test("replacing all peers of a full device by themselves needs no room", () => {
  const node = lone({ peerCapacity: 4 });
  const all = [1, 2, 3, 4].map((n) => peer(key(n)));
  node.configure(...all);
  node.device.apply({ replacePeers: true, peers: all });
  node.pump();
  assertEquals(node.device.status().peers.length, 4);
});

Deno.test("a peer equal to our own key is ignored, whichever comes first", () => {
  const node = lone();
  node.configure(peer(node.publicKey, { allowedIps: give(prefix(1)) }), peer(key(1)));
  assertEquals(node.device.status().peers.length, 1);
  assertEquals(node.count(DeviceEventCode.OwnKeyIgnored), 1);
  assertEquals(node.allowedIps.lookup(Uint8Array.of(10, 9, 0, 1)), -1);

  const later = key(77);
  node.configure(peer(publicOf(later), { allowedIps: give(prefix(2)) }));
  node.device.apply({ privateKey: later, peers: [] });
  assertEquals(node.device.status().peers.map(({ publicKey }) => publicKey), [key(1)]);
  assertEquals(node.allowedIps.lookup(Uint8Array.of(10, 9, 0, 2)), -1);

  node.device.apply({
    privateKey: key(78),
    peers: [peer(publicOf(key(78))), peer(publicOf(later))],
  });
  assertEquals(node.device.slotOf(publicOf(key(78))), -1);
  assert(node.device.slotOf(publicOf(later)) >= 0, "the new key counts, not the old one");
});

Deno.test("a change of the private key ends sending under old keys and begins anew at once", () => {
  const { network, a, b } = connectedPair({ delayMs: 10 });
  network.runFor(100);
  b.send(a, "under way");
  const privateKey = clampPrivateKey(key(42));
  a.device.apply({ privateKey, peers: [] });
  network.runFor(20);
  assertEquals(a.inbox, ["under way"], "what was under way still arrives");
  b.configure(peer(publicOf(privateKey), { endpoint: a.address }));
  a.send(b, "as somebody else");
  network.runFor(50);
  assertEquals(b.inbox.at(-1), "as somebody else");
  const greeted = b.lane.received.at(-1)!.peer;
  assertEquals(greeted, b.device.slotOf(publicOf(privateKey)));
});

Deno.test("setting the same private key again changes nothing", () => {
  const { network, a, b } = connectedPair();
  a.device.apply({ privateKey: a.privateKey, peers: [] });
  a.send(b, "same session");
  network.runFor(0);
  assertEquals(network.sentSince(0, Initiation).length, 1);
});

Deno.test("a change with one bad value changes nothing", () => {
  const node = lone();
  node.configure(peer(key(1), { allowedIps: give(prefix(1)) }));
  const before = node.device.status();
  const good = peer(key(2), { allowedIps: give(prefix(1)) });
  const bad: DeviceChange[] = [
    { privateKey: new Uint8Array(31), peers: [good] },
    { listenPort: 65_536, peers: [good] },
    { fwmark: -1, peers: [good] },
    { peers: [good, peer(new Uint8Array(33))] },
    { peers: [good, peer(key(3), { presharedKey: new Uint8Array(16) })] },
    { peers: [good, peer(key(3), { keepaliveSeconds: 65_536 })] },
    { peers: [good, peer(key(3), { keepaliveSeconds: 1.5 })] },
    { peers: [good, peer(key(3), { endpoint: { address: new Uint8Array(5), port: 1 } })] },
    { peers: [good, peer(key(3), { endpoint: { address: new Uint8Array(4), port: 65_536 } })] },
    { peers: [good, peer(key(3), { allowedIps: give(prefix(1, 33)) })] },
    { peers: [good, peer(key(3), { allowedIps: give({ address: new Uint8Array(3), bits: 0 }) })] },
  ];
  for (const [i, change] of bad.entries()) {
    const error = assertThrows(() => node.device.apply(change), ConfigurationError, "Cannot");
    assertEquals(error.errno, Errno.EINVAL, `change ${i}`);
    assertEquals(node.device.status(), before, `change ${i}`);
  }
  assertEquals(ownerOf(node, 1), 1);
});

Deno.test("when there is no room for all peers or allowed IPs, none is added", () => {
  const node = lone({ peerCapacity: 2 });
  node.configure(peer(key(1)));
  const before = node.device.status();
  const error = assertThrows(
    () => node.configure(peer(key(2)), peer(key(3))),
    ConfigurationError,
    "all places for peers",
  );
  assertEquals(error.errno, Errno.ENOMEM);
  assertEquals(node.device.status(), before);
  const many = Array.from({ length: 200 }, (_, i) => prefix(i));
  assertThrows(
    () => node.configure(peer(key(2), { allowedIps: give(...many) })),
    ConfigurationError,
    "full",
  );
  assertEquals(node.device.status(), before);
  node.configure(peer(key(2), { allowedIps: give(prefix(1)) }));
  assertEquals(ownerOf(node, 1), 2);
});

Deno.test("when the sockets cannot be opened, nothing has changed", () => {
  const asked: unknown[] = [];
  let fails = true;
  const node = lone({
    device: {
      openSockets: (settings) => {
        asked.push(settings);
        if (fails) throw new ConfigurationError("Cannot bind", Errno.EADDRINUSE);
        return settings.listenPort === 0 ? 40_000 : settings.listenPort;
      },
    },
  });
  const before = node.device.status();
  const change = { privateKey: key(1), listenPort: 51820, fwmark: 3, peers: [peer(key(2))] };
  assertThrows(() => node.device.apply(change), ConfigurationError, "Cannot bind");
  assertEquals(node.device.status(), before);
  fails = false;
  node.device.apply(change);
  assertEquals([node.device.status().listenPort, node.device.status().fwmark], [51820, 3]);
  node.device.apply(change);
  assertEquals(asked.length, 2, "nothing to do for the sockets");
  node.device.apply({ listenPort: 0, peers: [] });
  assertEquals(node.device.status().listenPort, 40_000);
  assertEquals(asked.at(-1), { listenPort: 0, fwmark: 3 });
});

Deno.test("a change of port forgets the source addresses that peers were answered from", () => {
  const { network, a, b } = connectedPair();
  b.send(a, "known");
  network.runFor(0);
  const source = () =>
    a.slab.u8.slice(a.peers.endpointAt(a.slotOf(b)) + 32, a.peers.endpointAt(a.slotOf(b)) + 64);
  assert(source().some((byte) => byte !== 0));
  a.device.apply({ listenPort: 1, peers: [] });
  assert(source().every((byte) => byte === 0));
});

Deno.test("a peer removed in mid-handshake takes no part in it any more", () => {
  const initiator = simPair({ delayMs: 10 });
  initiator.a.send(initiator.b, "hello");
  initiator.network.runFor(15);
  initiator.a.configure(peer(initiator.b.publicKey, { remove: true }));
  initiator.network.runFor(60_000);
  assertEquals(initiator.a.count(DeviceEventCode.SessionEstablished), 0);
  assertEquals(initiator.a.count(DeviceEventCode.ReceiverUnknown), 1);
  assertEquals(initiator.network.sentSince(1_011, undefined, initiator.a), []);
  assertEquals(initiator.a.lane.counts.dropped, 1);

  const responder = simPair({ delayMs: 10 });
  responder.a.send(responder.b, "hello");
  responder.network.runFor(15);
  responder.b.configure(peer(responder.a.publicKey, { remove: true }));
  responder.network.runFor(60_000);
  assertEquals(responder.b.inbox, []);
  assertEquals(responder.network.sentSince(1_011, Response), []);
});

Deno.test("the slot of a removed peer is free only after the lanes have passed an epoch", () => {
  const node = lone({ peerCapacity: 1 });
  node.configure(peer(key(1)));
  node.epochs.announce(0, node.epochs.current());
  node.device.apply({ peers: [peer(key(1), { remove: true })] });
  node.network.runFor(100);
  const full = () =>
    assertThrows(() => node.device.apply({ peers: [peer(key(2))] }), ConfigurationError);
  full();
  node.pump();
  node.network.runFor(100);
  full();
  node.epochs.announce(0, node.epochs.current());
  node.network.runFor(20);
  node.device.apply({ peers: [peer(key(2))] });
  assertEquals(node.device.slotOf(key(2)), 0);
});

Deno.test("a peer that comes back is asked for a handshake at once, but old initiations stay old", () => {
  const { network, a, b } = connectedPair();
  const initiation = network.sentSince(0, Initiation)[0];
  network.runFor(100);
  b.device.apply({ replacePeers: true, peers: [peer(a.publicKey, { endpoint: a.address })] });
  b.pump();
  network.deliver(initiation, a.address);
  assertEquals(network.sentSince(0, Response).length, 1);
  b.send(a, "hello again");
  network.runFor(0);
  assertEquals(a.inbox, ["hello again"]);
});

Deno.test("a peer configured afresh within one tick of the clock is greeted with a newer stamp", () => {
  const { network, a, b } = connectedPair();
  network.passes = () => false;
  a.device.apply({
    replacePeers: true,
    peers: [peer(b.publicKey, { endpoint: b.address, keepaliveSeconds: 1 })],
  });
  a.pump();
  network.passes = () => true;
  const second = network.sentSince(0, Initiation, a)[1];
  network.runFor(30);
  network.deliver(second, a.address);
  assertEquals(network.sentSince(0, Response, b).length, 2);
});

Deno.test("peers that come and go within one change leave no slot behind", () => {
  const node = lone({ peerCapacity: 2 });
  for (let i = 0; i < 5; i++) node.configure(peer(key(9)), peer(key(9), { remove: true }));
  node.configure(peer(key(1)), peer(key(2)));
  assertEquals(node.device.status().peers.length, 2);
});

Deno.test("closing zeroes every key", () => {
  const { network, a, b } = connectedPair({}, { presharedKey: key(5) });
  network.runFor(130_000);
  a.send(b, "two sessions");
  network.runFor(0);
  a.device.close();
  assertEquals(a.device.status().privateKey, null);
  assertEquals(a.device.status().peers[0].presharedKey, key(0));
  for (let slot = 0; slot < a.keypairs.capacity; slot++) {
    const at = a.keypairs.at(slot);
    assertEquals(a.slab.u8.slice(at, at + 192), new Uint8Array(192), `slot ${slot}`);
  }
});

Deno.test("events hold no secret", () => {
  const { a, b, network } = connectedPair({}, { presharedKey: key(5) });
  network.runFor(10_000);
  const text = JSON.stringify([...a.events, ...b.events]);
  for (const secret of [a.privateKey, b.privateKey, key(5)]) {
    assert(!text.includes(JSON.stringify(secret)));
  }
});
