import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { isEmptyChange, syncDevice } from "../../src/config/device_sync.ts";
import { toDeviceChange } from "../../src/config/device_change.ts";
import type { DeviceConfig } from "../../src/config/types.ts";
import { formatPrefix, formatSocketAddress } from "../../src/control/address_text.ts";
import { toHex } from "../../src/wireguard/bytes.ts";
import type { DeviceStatus } from "../../src/wireguard/configuration.ts";
import { DeviceReference } from "../reference/device_reference.ts";

const key = (number: number) => new Uint8Array(32).fill(number);

const peerConfig = fc.record({
  publicKey: fc.integer({ min: 1, max: 6 }).map(key),
  presharedKey: fc.option(fc.integer({ min: 1, max: 3 }).map(key), { nil: undefined }),
  endpoint: fc.option(
    fc.integer({ min: 1, max: 3 }).map((port) => ({ address: Uint8Array.of(192, 0, 2, 1), port })),
    { nil: undefined },
  ),
  keepaliveSeconds: fc.option(fc.constantFrom(0, 25), { nil: undefined }),
  allowedIps: fc.array(
    fc.integer({ min: 0, max: 9 }).map((n) => ({ address: Uint8Array.of(10, n, 0, 0), bits: 16 })),
    { maxLength: 4 },
  ),
  line: fc.constant(1),
}, { requiredKeys: ["publicKey", "allowedIps", "line"] });

/** A config whose peers have keys of their own; what is undefined is absent, as the parser has it. */
const deviceConfig: fc.Arbitrary<DeviceConfig> = fc.record({
  privateKey: fc.constantFrom(key(64), key(72)),
  listenPort: fc.constantFrom(1, 2),
  fwmark: fc.constantFrom(0, 7),
  peers: fc.uniqueArray(peerConfig, { selector: (peer) => toHex(peer.publicKey), maxLength: 6 }),
}, { requiredKeys: ["peers"] }).map((config) => ({
  ...config,
  peers: config.peers.map((peer) =>
    Object.fromEntries(Object.entries(peer).filter(([, value]) => value !== undefined))
  ) as unknown as DeviceConfig["peers"],
}));

/** What of a status a config decides on, in a form that compares. */
function told(status: DeviceStatus, withEndpoints: boolean): unknown {
  return status.peers.map((peer) => ({
    key: toHex(peer.publicKey),
    presharedKey: toHex(peer.presharedKey),
    endpoint: withEndpoints && peer.endpoint !== null ? formatSocketAddress(peer.endpoint) : "",
    keepalive: peer.keepaliveSeconds,
    allowedIps: Array.from(peer.allowedIps, formatPrefix).sort(),
  })).sort((a, b) => a.key < b.key ? -1 : 1);
}

const resolve = () => null;

for (const incremental of [false, true]) {
  const how = incremental ? "prefix by prefix" : "by whole lists";
  Deno.test(`a synchronised device is what the config says, ${how}, and kept peers live on`, () => {
    fc.assert(
      fc.property(deviceConfig, deviceConfig, (before, after) => {
        const device = new DeviceReference(), fresh = new DeviceReference();
        device.apply(toDeviceChange(before, resolve));
        fresh.apply(toDeviceChange(after, resolve));
        const lives = before.peers.map((peer) => device.lifeOf(peer.publicKey));
        const change = syncDevice(after, device.status(), {
          resolve,
          removeAbsent: true,
          incremental,
        });
        device.apply(change);
        assertEquals(told(device.status(), false), told(fresh.status(), false));
        for (const peer of after.peers) {
          const at = before.peers.findIndex((old) =>
            toHex(old.publicKey) === toHex(peer.publicKey)
          );
          if (at >= 0) assertEquals(device.lifeOf(peer.publicKey), lives[at], "its sessions go on");
          if (peer.endpoint === undefined) continue;
          const now = device.status().peers.find((one) =>
            toHex(one.publicKey) === toHex(peer.publicKey)
          )!;
          assertEquals(now.endpoint, peer.endpoint);
        }
        const again = syncDevice(after, device.status(), {
          resolve,
          removeAbsent: true,
          incremental,
        });
        assert(isEmptyChange(again), "nothing is left to be done");
      }),
      { numRuns: 500 },
    );
  });
}

Deno.test("an endpoint that the config has not changed stays where the peer has roamed to", () => {
  const at = (port: number) => ({ address: Uint8Array.of(192, 0, 2, 1), port });
  const config = (port: number): DeviceConfig => ({
    peers: [{ publicKey: key(1), endpoint: at(port), allowedIps: [], line: 1 }],
  });
  const device = new DeviceReference();
  device.apply(toDeviceChange(config(1), resolve));
  device.apply({ peers: [{ publicKey: key(1), endpoint: at(77), allowedIps: [] }] });
  const sync = (config: DeviceConfig, previous: DeviceConfig) =>
    syncDevice(config, device.status(), {
      resolve,
      removeAbsent: true,
      incremental: true,
      previous,
    });
  assert(isEmptyChange(sync(config(1), config(1))));
  assertEquals(sync(config(2), config(1)).peers[0].endpoint, at(2));
});

Deno.test("a private key is compared as the device keeps it: clamped", () => {
  const device = new DeviceReference();
  const clamped = key(255);
  clamped[0] = 248;
  clamped[31] = 127;
  device.apply({ privateKey: clamped, peers: [] });
  const options = { resolve, removeAbsent: true, incremental: true };
  assert(isEmptyChange(syncDevice({ privateKey: key(255), peers: [] }, device.status(), options)));
});
