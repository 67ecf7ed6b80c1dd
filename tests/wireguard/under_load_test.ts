import { assert, assertEquals } from "@std/assert";
import { DeviceEventCode } from "../../src/wireguard/events.ts";
import { MessageType } from "../../src/wire/wireguard.ts";
import { CookieGenerator } from "../../src/wireguard/mac_cookie.ts";
import { decodeEndpoint } from "../../src/wireguard/socket_address.ts";
import {
  addressText,
  connectedPair,
  SimNetwork,
  type SimNode,
  simPair,
} from "../sim/wireguard_sim.ts";

const { Initiation, Response, CookieReply } = MessageType;

function endpointOf(node: SimNode, peer: SimNode): string {
  const at = node.peers.endpointAt(node.slotOf(peer));
  return addressText(decodeEndpoint(node.slab.u8.slice(at, at + 64)));
}

/** An initiation of `a` to `b` that `b` has not seen. */
function freshInitiation(network: SimNetwork, a: SimNode, b: SimNode): Uint8Array {
  network.passes = () => false;
  a.send(b, "hello");
  network.passes = () => true;
  return network.sentSince(0, Initiation, a).at(-1)!.bytes;
}

Deno.test("under load an initiation gets a cookie, and the retry with it a session", () => {
  const { network, a, b } = simPair();
  b.underLoad = true;
  a.send(b, "hello");
  network.runFor(4_000);
  assertEquals(network.sent.map(({ type }) => type), [Initiation, CookieReply]);
  const before = b.crypto.calls.x25519;
  assertEquals(before, 0);
  network.runFor(2_000);
  assertEquals(network.sent.map(({ type }) => type).slice(2, 4), [Initiation, Response]);
  assert(network.sent[2].bytes.slice(-16).some((byte) => byte !== 0));
  assertEquals(b.inbox, ["hello"]);
  assertEquals(a.count(DeviceEventCode.CookieAccepted), 1);
});

Deno.test("a response is held back under load too, and its sender accepts the cookie", () => {
  const { network, a, b } = simPair();
  a.underLoad = true;
  a.send(b, "hello");
  network.runFor(0);
  assertEquals(network.sent.map(({ type }) => type), [Initiation, Response, CookieReply]);
  assertEquals(b.count(DeviceEventCode.CookieAccepted), 1);
  network.runFor(6_000);
  assertEquals(b.inbox, ["hello"]);
});

Deno.test("load is over 1 s after the queue was last seen filling", () => {
  const { network, a, b } = simPair();
  b.underLoad = true;
  const garbage = new Uint8Array(148);
  garbage[0] = 1;
  b.receive(garbage, b.seenFrom(a.address));
  b.underLoad = false;
  const initiation = freshInitiation(network, a, b);
  network.nowMs += 999;
  b.receive(initiation, b.seenFrom(a.address));
  assertEquals(network.sentSince(0, CookieReply).length, 1);
  network.nowMs += 1;
  b.receive(initiation, b.seenFrom(a.address));
  assertEquals(network.sentSince(0, Response).length, 1);
});

Deno.test("a wrong mac1 gets nothing, under load or not", () => {
  const { network, a, b } = simPair();
  const initiation = freshInitiation(network, a, b).slice();
  initiation[120] ^= 1;
  const before = network.sent.length;
  for (const underLoad of [false, true]) {
    b.underLoad = underLoad;
    b.receive(initiation, b.seenFrom(a.address));
  }
  assertEquals(network.sent.length, before);
  assertEquals(b.count(DeviceEventCode.MacInvalid), 2);
});

Deno.test("a cookie reply never changes the endpoint", () => {
  const { network, a, b } = simPair();
  b.underLoad = true;
  network.passes = ({ type }) => type !== CookieReply;
  a.send(b, "hello");
  network.runFor(0);
  const reply = network.sentSince(0, CookieReply)[0];
  network.deliver(reply, { address: Uint8Array.of(10, 0, 0, 66), port: 666 });
  assertEquals(a.count(DeviceEventCode.CookieAccepted), 1);
  assertEquals(endpointOf(a, b), "10.0.0.2:51820");
});

Deno.test("a cookie is of no use from another port or address", () => {
  const { network, a, b } = simPair();
  b.underLoad = true;
  a.send(b, "hello");
  network.runFor(4_000);
  const retry = () => network.sentSince(2_000, Initiation).at(-1)!;
  network.passes = ({ type }) => type !== Initiation;
  network.runFor(2_000);
  network.passes = () => true;
  const before = network.sentSince(0, Response).length;
  network.deliver(retry(), { address: a.address.address, port: 4 });
  network.deliver(retry(), { address: Uint8Array.of(10, 0, 0, 9), port: 51820 });
  assertEquals(network.sentSince(0, Response).length, before);
  network.deliver(retry(), a.address);
  assertEquals(network.sentSince(0, Response).length, before + 1);
});

Deno.test("a flood with valid mac1 is answered with cookies alone, and the victim still connects", () => {
  const network = new SimNetwork();
  const a = network.node(1), b = network.node(2);
  a.addPeer(b);
  b.addPeer(a);
  b.underLoad = true;
  const flood = new CookieGenerator(b.crypto, b.publicKey);
  const attack = (i: number) => {
    const message = network.random.fill(new Uint8Array(148));
    message.set([1, 0, 0, 0]);
    message.fill(0, 116);
    flood.addMacs(message, network.nowMs);
    b.receive(message, b.seenFrom({ address: Uint8Array.of(172, 16, i >> 8, i), port: 7 }));
  };
  for (let i = 0; i < 1_000; i++) attack(i);
  assertEquals(b.crypto.calls.x25519, 0);
  assertEquals(network.sentSince(0, CookieReply, b).length, 1_000);
  a.send(b, "hello");
  for (let i = 0; i < 60; i++) {
    network.runFor(100);
    for (let j = 0; j < 20; j++) attack(j);
  }
  assertEquals(b.inbox, ["hello"]);
});

Deno.test("an address with a cookie gets 5 handshakes computed at once, then 20 a second", () => {
  const { network, a, b } = simPair();
  b.underLoad = true;
  const generator = new CookieGenerator(b.crypto, b.publicKey);
  const from = b.seenFrom(a.address);
  const message = (fill: number) => {
    const bytes = new Uint8Array(148).fill(fill, 4, 116);
    bytes[0] = 1;
    generator.addMacs(bytes, network.nowMs);
    return bytes;
  };
  b.receive(message(1), from);
  const reply = network.sentSince(0, CookieReply).at(-1)!.bytes;
  assert(generator.acceptReply(reply, network.nowMs));
  const before = b.crypto.calls.x25519;
  for (let i = 0; i < 50; i++) b.receive(message(i), from);
  assertEquals(b.crypto.calls.x25519 - before, 5);
  assertEquals(b.count(DeviceEventCode.RateLimited), 45);
  network.nowMs += 1_000;
  for (let i = 0; i < 50; i++) b.receive(message(i), from);
  assertEquals(b.crypto.calls.x25519 - before, 10);
});

Deno.test("the limiter's memory is given back when the load is over", () => {
  const { network, a, b } = simPair();
  b.underLoad = true;
  a.send(b, "hello");
  network.runFor(6_000);
  b.underLoad = false;
  network.runFor(3_600_000);
  assertEquals(b.device.nextTimeoutMs(), Infinity);
});

Deno.test("a cookie for a handshake that is not under way is ignored", () => {
  const { network, a, b } = connectedPair();
  const reply = new Uint8Array(64);
  reply[0] = 3;
  reply[4] = 0x77;
  a.receive(reply, a.seenFrom(b.address));
  assertEquals(a.count(DeviceEventCode.ReceiverUnknown), 1);
  assertEquals(network.sent.length, 3);
});
