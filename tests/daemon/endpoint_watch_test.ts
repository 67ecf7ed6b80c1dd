import { assertEquals } from "@std/assert";
import { EndpointWatch } from "../../src/daemon/endpoint_watch.ts";
import type { PeerTraffic } from "../../src/wireguard/device.ts";

function peer(endpointVersion: number): PeerTraffic {
  const publicKey = new Uint8Array(32);
  return {
    publicKey,
    keyText: "00",
    rxBytes: 0,
    txBytes: 0,
    endpointVersion,
    hasSession: true,
    lastHandshakeWallNs: 0n,
  };
}

Deno.test("a peer that moves is told, a first endpoint and another source address are not", () => {
  const told: string[] = [];
  let port = 0;
  const watch = new EndpointWatch(
    () => port === 0 ? null : { address: Uint8Array.of(192, 0, 2, 1), port },
    (_key, from, to) => told.push(`${from} ${to}`),
  );
  watch.look([peer(0)]);
  port = 1;
  watch.look([peer(1)]);
  // The version counts changes of our own source address, too.
  watch.look([peer(2)]);
  port = 2;
  watch.look([peer(3)]);
  watch.look([peer(3)]);
  assertEquals(told, ["192.0.2.1:1 192.0.2.1:2"]);
});

Deno.test("a peer that was removed and is back elsewhere has not moved", () => {
  const told: string[] = [];
  let port = 1;
  const watch = new EndpointWatch(
    () => ({ address: Uint8Array.of(192, 0, 2, 1), port }),
    (_key, from, to) => told.push(`${from} ${to}`),
  );
  watch.look([peer(1)]);
  watch.look([]);
  port = 2;
  watch.look([peer(1)]);
  assertEquals(told, []);
});

Deno.test("a peer that is noted between looks is told when it moves before the next one", () => {
  const told: string[] = [];
  let port = 1;
  const watch = new EndpointWatch(
    () => ({ address: Uint8Array.of(192, 0, 2, 1), port }),
    (_key, from, to) => told.push(`${from} ${to}`),
  );
  watch.note(new Uint8Array(1));
  watch.note(new Uint8Array(1));
  port = 2;
  watch.look([peer(7)]);
  port = 3;
  watch.note(new Uint8Array(1));
  watch.look([peer(8)]);
  assertEquals(told, ["192.0.2.1:1 192.0.2.1:2", "192.0.2.1:2 192.0.2.1:3"]);
});
