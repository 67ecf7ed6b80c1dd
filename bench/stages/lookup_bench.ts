/**
 * Stages that look something up: allowed IPs, the replay window, the keypair of a receiver index, the
 * peer's endpoint and counts, the flow of a segment. 1,000 packets per call.
 */
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab, RegionAllocator } from "../../src/memory/slab.ts";
import { FlowTable } from "../../src/netstack/flow_table.ts";
import { AllowedIps, allowedIpsBytes, lookupV4, lookupV6 } from "../../src/tables/allowed_ips.ts";
import { EpochTable } from "../../src/tables/epoch.ts";
import { KeypairTable, keypairTableBytes, KeypairWord } from "../../src/tables/keypair_table.ts";
import { REPLAY_WINDOW_BYTES, replayAccept } from "../../src/tables/replay_window.ts";
import { AllowedIpsReference } from "../../tests/reference/allowed_ips_reference.ts";
import { results, stage } from "./stage.ts";

const CALLS = 1000;
const PREFIXES = 100;
const PREFIX_NODES = 4096;
const PEERS = 256;
const FLOWS = 256;

const regions = new RegionAllocator();
const windowAt = regions.reserve(REPLAY_WINDOW_BYTES);
const epochsAt = regions.reserve(1024);
const addressesAt = regions.reserve(CALLS * 16);
const ipsAt = regions.reserve(allowedIpsBytes(PREFIX_NODES));
const keypairsAt = regions.reserve(keypairTableBytes(PEERS));
const flowsAt = regions.reserve(FLOWS * 12);
const slab = createSlab(regions.byteLength);
const random = new SeededRandom(1);

const reference = new AllowedIpsReference();
const ips = new AllowedIps(slab, ipsAt, PREFIX_NODES, new EpochTable(slab, epochsAt, 0));
const prefixes = [4, 16].map((bytes) =>
  Array.from({ length: PREFIXES }, (_, peer) => {
    const address = random.fill(new Uint8Array(bytes));
    const bits = bytes === 4 ? 16 + random.below(17) : 32 + random.below(97);
    ips.insert({ address, bits }, peer);
    reference.insert(address, bits, peer);
    return address;
  })
);
ips.commit();

for (const [index, version] of ([4, 6] as const).entries()) {
  const addresses = Array.from({ length: CALLS }, () => prefixes[index][random.below(PREFIXES)]);
  const at = addressesAt;
  const lookup = version === 4 ? lookupV4 : lookupV6;
  stage(`allowed IPs, IPv${version}`, () => {
    for (let i = 0; i < CALLS; i++) results.sum += reference.lookup(addresses[i]);
  }, () => {
    slab.u8.set(addresses[0], at);
    for (let i = 0; i < CALLS; i++) {
      const address = addresses[i];
      for (let k = 0; k < address.length; k++) slab.u8[at + k] = address[k];
      results.sum += lookup(slab, ipsAt, at);
    }
  });
}

const WINDOW = 8128;
const seen = new Set<number>();
let seenCounter = 0;
let counter = 0;
stage("replay window", () => {
  for (let i = 0; i < CALLS; i++) {
    if (!seen.has(seenCounter)) seen.add(seenCounter);
    seen.delete(seenCounter++ - WINDOW);
  }
}, () => {
  for (let i = 0; i < CALLS; i++) results.sum += replayAccept(slab, windowAt, counter++) ? 1 : 0;
});

const keypairs = new KeypairTable(slab, keypairsAt, PEERS, random.nextUint32());
const byIndex = new Map<string, { readonly peer: number }>();
const indices = Int32Array.from({ length: PEERS }, (_, slot) => {
  const index = keypairs.indexOf(slot, 1, 0);
  keypairs.setWord(slot, KeypairWord.LocalIndex, index);
  keypairs.setWord(slot, KeypairWord.Peer, slot);
  byIndex.set(index.toString(16), { peer: slot });
  return index;
});
stage("keypair and peer of an index", () => {
  for (let i = 0; i < CALLS; i++) {
    results.sum += byIndex.get(indices[i & (PEERS - 1)].toString(16))!.peer;
  }
}, () => {
  for (let i = 0; i < CALLS; i++) {
    const slot = keypairs.find(indices[i & (PEERS - 1)]);
    results.sum += keypairs.word(slot, KeypairWord.Peer);
  }
});

const table = new FlowTable(random);
const flows = new Map<string, number>();
const LOCAL = Uint8Array.of(10, 0, 0, 1);
const remotes = Array.from({ length: FLOWS }, (_, id) => {
  const address = random.fill(new Uint8Array(4)), port = 1 + random.below(65_535);
  table.load(LOCAL, 443, address, port);
  table.insert(id);
  flows.set(`${LOCAL}:443 ${address}:${port}`, id);
  slab.u8.set(LOCAL, flowsAt + id * 12);
  slab.u8.set(address, flowsAt + id * 12 + 4);
  return { address, port };
});
const ports = Int32Array.from(remotes, ({ port }) => port);
stage("flow lookup", () => {
  for (let i = 0; i < CALLS; i++) {
    const { address, port } = remotes[i & (FLOWS - 1)];
    results.sum += flows.get(`${LOCAL}:443 ${address}:${port}`)!;
  }
}, () => {
  for (let i = 0; i < CALLS; i++) {
    const id = i & (FLOWS - 1), at = flowsAt + id * 12;
    table.loadPacket(slab.view, 4, at, at + 4, 443, ports[id]);
    results.sum += table.find();
  }
});
