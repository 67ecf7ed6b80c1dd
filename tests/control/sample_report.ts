import type { NodeReport } from "../../src/control/node_report.ts";

/** A report with something in each of its fields. */
export const REPORT: NodeReport = {
  version: "0.1.0",
  uptimeMs: 61_234,
  cipher: "openssl-composed",
  lanes: [{ peers: 2, messages: 300, handedOver: 5 }, { peers: 1, messages: 100, handedOver: 0 }],
  encryptors: 1,
  encryptorWork: [{ batches: 12, messages: 345 }],
  mtu: 1420,
  offloads: new Map([["udp-gso", "on"], ["tun-uso", "off"], ["tun-gro", "fallback"]]),
  counters: new Map([
    ["TunReads", 10],
    ["TunReadPackets", 425],
    ["UdpSends", 10],
    ["UdpSendMessages", 400],
  ]),
  drops: [{ reason: "NoRoute", packets: 2 }, { reason: "Replayed", packets: 7 }],
  peers: [
    { keyText: "07".repeat(32), rxBytesPerSecond: 1250.5, txBytesPerSecond: 0, friendlyName: "" },
    {
      keyText: "08".repeat(32),
      rxBytesPerSecond: 0,
      txBytesPerSecond: 125_000,
      friendlyName: "my = phone",
    },
  ],
};
