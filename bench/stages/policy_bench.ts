/** What is decided once per super-packet: filter, translation, flow statistics. 1,000 per call. */
import { createSlab, RegionAllocator } from "../../src/memory/slab.ts";
import {
  FLOW_STATISTICS_BYTES,
  FlowRecorder,
  FlowStatistics,
} from "../../src/lane/flow_statistics.ts";
import {
  FILTER_BYTES,
  FilterAction,
  FilterDirection,
  type FilterRule,
  FilterTable,
  FilterView,
} from "../../src/nat/filter.ts";
import { NAT_COPY_BYTES, NatTable, natTableBytes } from "../../src/nat/nat_table.ts";
import { translateInbound, translateOutbound } from "../../src/nat/translate.ts";
import { describeSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import { EpochTable } from "../../src/tables/epoch.ts";
import { buildPacket, TCP, transportOffset, UDP } from "../../tests/offload/packet_builder.ts";
import { filterReference } from "../../tests/reference/filter_reference.ts";
import { withAddress } from "../../tests/reference/nat_reference.ts";
import { results, stage } from "./stage.ts";

const CALLS = 1000;
const FLOWS = 128;
const PACKET_BYTES = 2048;
const PEER = 3;

const regions = new RegionAllocator();
const epochsAt = regions.reserve(1024);
const filterAt = regions.reserve(FILTER_BYTES);
const natAt = regions.reserve(natTableBytes(16));
const natCopyAt = regions.reserve(NAT_COPY_BYTES);
const statisticsAt = regions.reserve(FLOW_STATISTICS_BYTES);
const packetsAt = regions.reserve(FLOWS * PACKET_BYTES);
const slab = createSlab(regions.byteLength);
const epochs = new EpochTable(slab, epochsAt, 1);

const { In, Out } = FilterDirection;
const { Allow, Deny } = FilterAction;
const payload = new Uint8Array(1300);
const packets = Array.from(
  { length: FLOWS },
  (_, i) => buildPacket({ sourcePort: 1024 + i, destinationPort: 443, payload }),
);
const descriptions = packets.map((packet, i) => {
  const sp = new SuperPacket();
  slab.u8.set(packet, packetsAt + i * PACKET_BYTES);
  const reason = describeSuperPacket(slab, packetsAt + i * PACKET_BYTES, packet.length, sp);
  if (reason !== 0) throw new Error(`the packet is dropped for reason ${reason}`);
  return sp;
});
const source = packets[0].slice(12, 16), destination = packets[0].slice(16, 20);

/** Eight rules that do not match, then one that does. */
const rules: FilterRule[] = [
  ...Array.from({ length: 4 }, (_, i): FilterRule => ({
    action: Deny,
    directions: In | Out,
    protocol: TCP,
    ports: { first: 1000 + i, last: 2000 + i },
  })),
  ...Array.from({ length: 3 }, (_, i): FilterRule => ({
    action: Deny,
    directions: In | Out,
    prefix: { address: Uint8Array.of(198, 51, 100 + i, 0), bits: 24 },
  })),
  { action: Deny, directions: In | Out, protocol: UDP },
  { action: Allow, directions: Out, prefix: { address: destination, bits: 24 } },
];
new FilterTable(slab, filterAt, epochs).set(rules);
const filter = new FilterView(slab, filterAt);
const filtered = {
  remote: destination,
  own: source,
  protocol: TCP,
  destinationPort: 443,
  isLaterFragment: false,
};
stage("filter", () => {
  for (let i = 0; i < CALLS; i++) results.sum += filterReference(rules, filtered, Out) ? 1 : 0;
}, () => {
  for (let i = 0; i < CALLS; i++) {
    results.sum += filter.allows(descriptions[i & (FLOWS - 1)], Out) ? 1 : 0;
  }
});

const theirs = Uint8Array.of(192, 168, 7, 7);
const nat = new NatTable(slab, natAt);
nat.set(PEER, [{ own: source, theirs }]);
const transport = transportOffset({ payload });
// There and back, so that the packet is as it was.
const [sp] = descriptions;
stage("translate an address", () => {
  for (let i = 0; i < CALLS / 2; i++) {
    const there = withAddress(packets[0], 12, theirs, transport, TCP);
    results.sum += withAddress(there, 12, source, transport, TCP).length;
  }
}, () => {
  for (let i = 0; i < CALLS / 2; i++) {
    const families = nat.read(PEER, natCopyAt);
    translateOutbound(slab, sp, natCopyAt, families, false);
    turn(sp);
    translateInbound(slab, sp, natCopyAt, families, false);
    turn(sp);
  }
});

/** Source and destination change their roles, as in an answer. */
function turn(sp: SuperPacket): void {
  const { sourceAt } = sp;
  sp.sourceAt = sp.destinationAt;
  sp.destinationAt = sourceAt;
}

new FlowStatistics(slab, statisticsAt, epochs).start();
const recorder = new FlowRecorder(slab, statisticsAt);
const counts = new Map<string, { packets: number; bytes: number }>();
stage("flow statistics", () => {
  for (let i = 0; i < CALLS; i++) {
    const packet = packets[i & (FLOWS - 1)];
    const key = `${packet[9]} ${packet.subarray(12, 20)} ${packet.subarray(20, 24)}`;
    const count = counts.get(key) ?? { packets: 0, bytes: 0 };
    count.packets++;
    count.bytes += packet.length;
    counts.set(key, count);
  }
}, () => {
  for (let i = 0; i < CALLS; i++) recorder.note(descriptions[i & (FLOWS - 1)], true, 1, 1352);
});
