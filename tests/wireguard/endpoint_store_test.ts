import { assert, assertEquals } from "@std/assert";
import { createSlab, RegionAllocator } from "../../src/memory/slab.ts";
import { PeerTable, peerTableBytes, PeerWord } from "../../src/tables/peer_table.ts";
import { EndpointStore } from "../../src/wireguard/endpoint_store.ts";
import { encodeEndpoint } from "../../src/wireguard/socket_address.ts";

function setUp() {
  const regions = new RegionAllocator();
  const peersAt = regions.reserve(peerTableBytes(2));
  const scratchAt = regions.reserve(64), laneScratchAt = regions.reserve(64);
  const slab = createSlab(regions.byteLength);
  const peers = new PeerTable(slab, peersAt, 2);
  return { slab, peers, laneScratchAt, store: new EndpointStore(slab, peers, scratchAt) };
}

const record = encodeEndpoint({ address: Uint8Array.of(1, 2, 3, 4), port: 5 });
const withSource = record.slice();
withSource[32] = 9;
withSource.set([10, 0, 0, 1], 36);

Deno.test("an endpoint is unknown until it is written", () => {
  const { store } = setUp();
  assert(!store.has(1));
  store.write(1, withSource);
  assert(store.has(1));
  assert(!store.has(0));
  assertEquals(store.read(1), withSource);
});

Deno.test("forgetting the source leaves the address, and does nothing when there is none", () => {
  const { peers, store } = setUp();
  store.write(1, withSource);
  store.forgetSource(1);
  assertEquals(store.read(1), record);
  const version = peers.word(1, PeerWord.EndpointVersion);
  store.forgetSource(1);
  assertEquals(peers.word(1, PeerWord.EndpointVersion), version);
});

Deno.test("an equal record is not written again", () => {
  const { peers, store } = setUp();
  store.write(1, record);
  const version = peers.word(1, PeerWord.EndpointVersion);
  store.write(1, record.slice());
  assertEquals(peers.word(1, PeerWord.EndpointVersion), version);
});

Deno.test("a lane that roams while main forgets the source is not undone", () => {
  const { slab, peers, laneScratchAt, store } = setUp();
  store.write(1, withSource);
  const elsewhere = encodeEndpoint({ address: Uint8Array.of(9, 9, 9, 9), port: 9 });
  const readEndpoint = peers.readEndpoint.bind(peers);
  let roams = true;
  peers.readEndpoint = (peer, to) => {
    const version = readEndpoint(peer, to);
    if (!roams) return version;
    roams = false;
    slab.u8.set(elsewhere, laneScratchAt);
    peers.tryWriteEndpoint(peer, laneScratchAt);
    return version;
  };
  store.forgetSource(1);
  assertEquals(store.read(1), elsewhere);
});
