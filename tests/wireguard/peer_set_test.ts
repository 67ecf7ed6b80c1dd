import { assertEquals } from "@std/assert";
import { createSlab, RegionAllocator } from "../../src/memory/slab.ts";
import { epochBytes, EpochTable } from "../../src/tables/epoch.ts";
import { PeerField, PeerTable, peerTableBytes, PeerWord } from "../../src/tables/peer_table.ts";
import { Peer } from "../../src/wireguard/peer.ts";
import { PeerSet } from "../../src/wireguard/peer_set.ts";
import { CountingCrypto } from "../sim/wireguard_crypto.ts";

function setUp(capacity = 3) {
  const regions = new RegionAllocator();
  const peersAt = regions.reserve(peerTableBytes(capacity));
  const epochsAt = regions.reserve(epochBytes(1));
  const slab = createSlab(regions.byteLength);
  const table = new PeerTable(slab, peersAt, capacity);
  const epochs = new EpochTable(slab, epochsAt, 1);
  const set = new PeerSet(table, epochs, (slot) => slot + 10);
  const crypto = new CountingCrypto();
  const make = (slot: number, n: number) => new Peer(slot, new Uint8Array(32).fill(n), crypto);
  const keypairWords = (slot: number) =>
    [PeerWord.Current, PeerWord.Previous, PeerWord.Next].map((word) => table.word(slot, word));
  return { table, epochs, set, make, keypairWords };
}

Deno.test("from being taken on no slot ever names keypair 0 by accident", () => {
  const { table, set, make, keypairWords } = setUp();
  const slot = set.takeSlot();
  assertEquals(keypairWords(slot), [-1, -1, -1]);
  const setWord = table.setWord.bind(table);
  table.setWord = (slot, word, value) => {
    setWord(slot, word, value);
    assertEquals(keypairWords(slot), [-1, -1, -1]);
  };
  const peer = make(slot, 1);
  set.add(peer);
  set.replace(make(peer.slot, 1));
  set.remove(set.find(peer.keyText)!);
});

Deno.test("a peer is found by key and by slot, with a fresh record on its lane", () => {
  const { table, set, make } = setUp();
  const slot = set.takeSlot();
  table.setField(slot, PeerField.RxBytes, 7);
  table.setWord(slot, PeerWord.HandshakeWanted, 1);
  const peer = make(slot, 1);
  set.add(peer);
  assertEquals(set.at(slot), peer);
  assertEquals(set.find("01".repeat(32)), peer);
  assertEquals(table.word(slot, PeerWord.InUse), 1);
  assertEquals(table.word(slot, PeerWord.Lane), slot + 10);
  assertEquals(table.word(slot, PeerWord.HandshakeWanted), 0);
  assertEquals(table.field(slot, PeerField.RxBytes), 0);
});

Deno.test("a removed slot waits for the lane's last command and then for the epoch", () => {
  const { epochs, set, make } = setUp(1);
  const peer = make(set.takeSlot(), 1);
  set.add(peer);
  epochs.announce(0, epochs.current());
  set.remove(peer);
  assertEquals([set.size, set.find(peer.keyText), set.at(peer.slot)], [0, undefined, undefined]);
  epochs.announce(0, 0);
  set.reclaim(() => true);
  set.reclaim(() => true);
  assertEquals(set.takeSlot(), -1, "the command has not been handed over");
  epochs.announce(0, epochs.current());
  set.reclaim(() => false);
  set.reclaim(() => false);
  assertEquals(set.takeSlot(), -1, "the lane may still be at it");
  epochs.announce(0, epochs.current());
  set.reclaim(() => false);
  assertEquals([set.hasRemoved, set.takeSlot()], [false, peer.slot]);
});
