import { assertEquals } from "@std/assert";
import {
  byLatestHandshake,
  formatAge,
  formatBytes,
  formatDuration,
  formatStatus,
} from "../../src/control/status_text.ts";
import { REPORT } from "./sample_report.ts";
import type { DeviceStatus } from "../../src/wireguard/configuration.ts";
import { peerStatus } from "./peer_status.ts";

const NOW = 1_700_000_000_500_000_000n;
const SECOND = 1_000_000_000n;

const STATUS: DeviceStatus = {
  privateKey: new Uint8Array(32).fill(2),
  listenPort: 51820,
  fwmark: 0xca6c,
  peers: [
    peerStatus(7),
    peerStatus(8, {
      presharedKey: new Uint8Array(32).fill(3),
      endpoint: { address: Uint8Array.of(192, 0, 2, 1), port: 51821 },
      keepaliveSeconds: 25,
      lastHandshakeWallNs: NOW - 125n * SECOND,
      rxBytes: 1536,
      txBytes: 3 * 2 ** 20,
      allowedIps: [
        { address: Uint8Array.of(10, 0, 0, 2), bits: 32 },
        { address: new Uint8Array(16), bits: 0 },
      ],
    }),
  ],
};

Deno.test("a status reads as that of `wg show`, with secret keys hidden", () => {
  const publicKey = new Uint8Array(32).fill(9);
  assertEquals(
    formatStatus(STATUS, { interfaceName: "wg0", publicKey, nowWallNs: NOW }),
    `interface: wg0
  public key: CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=
  private key: (hidden)
  listening port: 51820
  fwmark: 0xca6c

peer: CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=
  preshared key: (hidden)
  endpoint: 192.0.2.1:51821
  allowed ips: 10.0.0.2/32, ::/0
  latest handshake: 2 minutes, 5 seconds ago
  transfer: 1.50 KiB received, 3.00 MiB sent
  persistent keepalive: every 25 seconds

peer: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=
  allowed ips: (none)
`,
  );
});

Deno.test("secret keys are printed only when asked for", () => {
  const options = { interfaceName: "wg0", publicKey: null, nowWallNs: NOW, showKeys: true };
  const lines = formatStatus(STATUS, options).split("\n");
  assertEquals(lines[1], "  private key: AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=");
});

Deno.test("a device without anything is its name", () => {
  const status = { privateKey: null, listenPort: 0, fwmark: 0, peers: [] };
  const options = { interfaceName: "wg0", publicKey: null, nowWallNs: NOW };
  assertEquals(formatStatus(status, options), "interface: wg0\n");
});

Deno.test("peers stand in the order of their latest handshake, the others behind them", () => {
  const peers = [0n, 5n, 9n, 0n, 7n].map((time, i) =>
    peerStatus(1, { lastHandshakeWallNs: time * SECOND, keepaliveSeconds: i })
  );
  assertEquals(byLatestHandshake(peers).map((peer) => peer.keepaliveSeconds), [2, 4, 1, 0, 3]);
});

Deno.test("an age is told in its largest units", () => {
  const ages: [bigint, string][] = [
    [0n, "Now"],
    [1n, "1 second ago"],
    [59n, "59 seconds ago"],
    [60n, "1 minute ago"],
    [3661n, "1 hour, 1 minute, 1 second ago"],
    [2n * 86_400n, "2 days ago"],
    [366n * 86_400n + 7200n, "1 year, 1 day, 2 hours ago"],
    [-1n, "(System clock wound backward; connection problems may ensue.)"],
  ];
  for (const [age, text] of ages) assertEquals(formatAge(NOW - age * SECOND, NOW), text);
  assertEquals(formatDuration(65_535), "18 hours, 12 minutes, 15 seconds");
});

Deno.test("sizes are told in binary units with two decimals", () => {
  const sizes: [number, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [1536, "1.50 KiB"],
    [2 ** 20, "1.00 MiB"],
    [5.25 * 2 ** 30, "5.25 GiB"],
    [2 ** 50, "1024.00 TiB"],
  ];
  for (const [bytes, text] of sizes) assertEquals(formatBytes(bytes), text);
});

Deno.test("what a process of ours tells follows the lines of wg in each paragraph", () => {
  const options = { interfaceName: "wg0", publicKey: null, nowWallNs: NOW, report: REPORT };
  assertEquals(
    formatStatus(STATUS, options),
    `interface: wg0
  private key: (hidden)
  listening port: 51820
  fwmark: 0xca6c
  running for: 1 minute, 1 second (longhaul 0.1.0)
  mtu: 1420
  data plane: openssl-composed, encrypting in a thread of its own
  offloads: udp-gso; off: tun-uso; refused by the kernel: tun-gro
  rate: 10.0 kbit/s received, 1.00 Mbit/s sent
  batches: 42.5 packets per TUN read, 40.0 per UDP send
  lanes: 2 peers (75 %), 1 peer (25 %); 5 packets handed over
  drops: Replayed 7, NoRoute 2

peer: CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=
  preshared key: (hidden)
  endpoint: 192.0.2.1:51821
  allowed ips: 10.0.0.2/32, ::/0
  latest handshake: 2 minutes, 5 seconds ago
  transfer: 1.50 KiB received, 3.00 MiB sent
  persistent keepalive: every 25 seconds
  rate: 0 bit/s received, 1.00 Mbit/s sent
  friendly name: my = phone

peer: BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=
  allowed ips: (none)
  rate: 10.0 kbit/s received, 0 bit/s sent
`,
  );
});
