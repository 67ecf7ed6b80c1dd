import { assertEquals } from "@std/assert";
import { parseAddress } from "../../src/control/address_text.ts";
import { flowFields, parseFlows, peerOfAddress } from "../../src/control/flow_report.ts";
import { formatFlows } from "../../src/control/flow_text.ts";
import { formatField, parseField } from "../../src/control/request.ts";
import { statusJson } from "../../src/control/status_json.ts";
import {
  FLOW_SNAPSHOT_BYTES,
  type FlowFacts,
  FlowKind,
  FlowState,
  readFlowSnapshot,
  SNAPSHOT_FLOWS_MAX,
  writeFlowSnapshot,
} from "../../src/forward/flow_snapshot.ts";
import { createSlab } from "../../src/memory/slab.ts";
import type { DeviceStatus, PeerStatus } from "../../src/wireguard/configuration.ts";
import { peerStatus } from "./peer_status.ts";

const at = (text: string) => parseAddress(text)!;

const FLOWS: FlowFacts[] = [
  {
    kind: FlowKind.Tcp,
    state: FlowState.Dialling,
    client: at("10.0.0.2"),
    clientPort: 40_000,
    destination: at("10.0.0.1"),
    destinationPort: 80,
    target: { address: at("::1"), port: 8080 },
    ageMs: 61_234,
    toHostBytes: 0,
    toPeerBytes: 0,
  },
  {
    kind: FlowKind.Udp,
    state: FlowState.Open,
    client: at("fd00::2"),
    clientPort: 65_535,
    destination: at("fd50::9"),
    destinationPort: 443,
    target: { address: at("fd50::9"), port: 443 },
    ageMs: 7_500_000,
    toHostBytes: 2 ** 40,
    toPeerBytes: 1500,
  },
  {
    kind: FlowKind.Echo,
    state: FlowState.Open,
    client: at("10.0.0.3"),
    clientPort: 7,
    destination: at("192.168.1.9"),
    destinationPort: 0,
    target: null,
    ageMs: 0,
    toHostBytes: 64,
    toPeerBytes: 64,
  },
];

function peer(first: number, ...prefixes: [string, number][]): PeerStatus {
  return peerStatus(first, {
    allowedIps: prefixes.map(([text, bits]) => ({ address: at(text), bits })),
  });
}

const PEERS = [peer(1, ["10.0.0.0", 24]), peer(2, ["10.0.0.3", 32], ["fd00::", 64])];

/** What the other side of the control socket reads. */
function reported(flows: readonly FlowFacts[], missing = 0) {
  return parseFlows(
    Array.from(flowFields(flows, missing), (field) => parseField(formatField(field))!),
  );
}

Deno.test("a snapshot is read as it was written, over an older one as well", () => {
  const slab = createSlab(FLOW_SNAPSHOT_BYTES + 64);
  slab.u8.fill(0xff);
  for (const flows of [FLOWS, FLOWS.slice(1), [], FLOWS.toReversed()]) {
    writeFlowSnapshot(slab, 64, flows);
    assertEquals(readFlowSnapshot(slab, 64), { flows, missing: 0 });
  }
});

Deno.test("flows beyond the room of a snapshot are counted", () => {
  const slab = createSlab(FLOW_SNAPSHOT_BYTES);
  const flows = new Array<FlowFacts>(SNAPSHOT_FLOWS_MAX + 5).fill(FLOWS[0]);
  assertEquals(writeFlowSnapshot(slab, 0, flows), FLOW_SNAPSHOT_BYTES);
  const { flows: read, missing } = readFlowSnapshot(slab, 0);
  assertEquals([read.length, missing], [SNAPSHOT_FLOWS_MAX, 5]);
});

Deno.test("flows go over the control socket in words, and come back", () => {
  const { flows, missing } = reported(FLOWS, 3);
  assertEquals(missing, 3);
  assertEquals(flows[0], {
    protocol: "tcp",
    state: "dialling",
    client: "10.0.0.2",
    clientPort: 40_000,
    destination: "10.0.0.1",
    destinationPort: 80,
    target: "::1",
    targetPort: 8080,
    ageMs: 61_234,
    toHostBytes: 0,
    toPeerBytes: 0,
  });
  assertEquals(flows[1].toHostBytes, 2 ** 40);
  assertEquals([flows[2].protocol, flows[2].target], ["icmp", null]);
});

Deno.test("a flow is of the peer whose allowed IPs hold its client most exactly", () => {
  assertEquals(peerOfAddress(PEERS, at("10.0.0.2")), PEERS[0]);
  assertEquals(peerOfAddress(PEERS, at("10.0.0.3")), PEERS[1]);
  assertEquals(peerOfAddress(PEERS, at("fd00::99")), PEERS[1]);
  assertEquals(peerOfAddress(PEERS, at("10.0.1.2")), null);
});

Deno.test("people get a table, what has moved most first; programs get the same as JSON", () => {
  const report = reported(FLOWS, 2);
  assertEquals(
    formatFlows(report, PEERS),
    [
      "  protocol  peer      from             to                         state     age    to host   to peer",
      "  udp       AgICAgIC  [fd00::2]:65535  [fd50::9]:443              open      2h05m  1.00 TiB  1.46 KiB",
      "  icmp      AgICAgIC  10.0.0.3 id 7    192.168.1.9                open      0s     64 B      64 B",
      "  tcp       AQEBAQEB  10.0.0.2:40000   10.0.0.1:80 -> [::1]:8080  dialling  1m01s  0 B       0 B",
      "  and 2 more",
      "",
    ].join("\n"),
  );
  assertEquals(formatFlows({ flows: [], missing: 0 }, PEERS), "  flows: none\n");
  const status = { privateKey: null, listenPort: 1, fwmark: 0, peers: PEERS } as DeviceStatus;
  const json = statusJson("wg0", status, null, null, report);
  assertEquals(json.flowsMissing, 2);
  assertEquals(json.flows?.map(({ protocol, age }) => [protocol, age]), [
    ["tcp", 61.234],
    ["udp", 7500],
    ["icmp", 0],
  ]);
  assertEquals("flows" in statusJson("wg0", status, null), false, "only for who asks");
});
