import { assertEquals } from "@std/assert";
import { statusJson } from "../../src/control/status_json.ts";
import { parsePrefix, parseSocketAddress } from "../../src/control/address_text.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";
import { REPORT } from "./sample_report.ts";
import { peerStatus } from "./peer_status.ts";

const key = (byte: number) => new Uint8Array(32).fill(byte);

Deno.test("a status is numbers and texts, without secrets, the latest handshake first", () => {
  const status = {
    privateKey: key(1),
    listenPort: 51820,
    fwmark: 4660,
    peers: [
      peerStatus(2),
      peerStatus(3, {
        presharedKey: key(9),
        endpoint: parseSocketAddress("[2001:db8::1]:7")!,
        keepaliveSeconds: 25,
        lastHandshakeWallNs: 1_700_000_000_250_000_000n,
        rxBytes: 2 ** 40,
        txBytes: 5,
        allowedIps: [parsePrefix("10.0.0.0/8")!, parsePrefix("::/0")!],
      }),
    ],
  };
  const json = statusJson("wg0", status, key(4));
  assertEquals(JSON.parse(JSON.stringify(json)), {
    name: "wg0",
    publicKey: formatKeyBase64(key(4)),
    listenPort: 51820,
    fwmark: 4660,
    node: null,
    peers: [{
      publicKey: formatKeyBase64(key(3)),
      hasPresharedKey: true,
      endpoint: "[2001:db8::1]:7",
      allowedIps: ["10.0.0.0/8", "::/0"],
      latestHandshake: 1_700_000_000.25,
      receivedBytes: 2 ** 40,
      sentBytes: 5,
      persistentKeepalive: 25,
      friendlyName: null,
      receivedBytesPerSecond: null,
      sentBytesPerSecond: null,
    }, {
      publicKey: formatKeyBase64(key(2)),
      hasPresharedKey: false,
      endpoint: null,
      allowedIps: [],
      latestHandshake: 0,
      receivedBytes: 0,
      sentBytes: 0,
      persistentKeepalive: 0,
      friendlyName: null,
      receivedBytesPerSecond: null,
      sentBytesPerSecond: null,
    }],
  });
});

Deno.test("a device without a key has none to show", () => {
  const status = { privateKey: null, listenPort: 0, fwmark: 0, peers: [] };
  const expected = {
    name: "wg0",
    publicKey: null,
    listenPort: 0,
    fwmark: 0,
    node: null,
    peers: [],
  };
  assertEquals(statusJson("wg0", status, null), expected);
});

Deno.test("a process of ours tells of its data plane, its rates and friendly names", () => {
  const peers = [peerStatus(7), peerStatus(8), peerStatus(9)];
  const status = { privateKey: null, listenPort: 0, fwmark: 0, peers };
  const json = JSON.parse(JSON.stringify(statusJson("wg0", status, null, REPORT)));
  assertEquals(json.node, {
    version: "0.1.0",
    uptime: 61.234,
    cipher: "openssl-composed",
    lanes: [{ peers: 2, messages: 300, handedOver: 5 }, { peers: 1, messages: 100, handedOver: 0 }],
    encryptors: 1,
    encryptorWork: [{ batches: 12, messages: 345 }],
    mtu: 1420,
    offloads: { "udp-gso": "on", "tun-uso": "off", "tun-gro": "fallback" },
    counters: { TunReads: 10, TunReadPackets: 425, UdpSends: 10, UdpSendMessages: 400 },
    drops: { NoRoute: 2, Replayed: 7 },
    batchSizes: { tunRead: 42.5, tunWrite: 0, udpSend: 40, udpReceive: 0 },
  });
  assertEquals(
    json.peers.map((peer: Record<string, unknown>) => [
      peer.friendlyName,
      peer.receivedBytesPerSecond,
      peer.sentBytesPerSecond,
    ]),
    [[null, 1250.5, 0], ["my = phone", 0, 125_000], [null, 0, 0]],
  );
});
