import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab, RegionAllocator } from "../../src/memory/slab.ts";
import { epochBytes, EpochTable } from "../../src/tables/epoch.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_SEND_KEY,
  KeypairTable,
  keypairTableBytes,
  KeypairWord,
} from "../../src/tables/keypair_table.ts";
import { PeerTable, peerTableBytes, PeerWord } from "../../src/tables/peer_table.ts";
import { Keypairs } from "../../src/wireguard/keypairs.ts";

const PEER = 1;

function setUp(capacity = 8) {
  const regions = new RegionAllocator();
  const peersAt = regions.reserve(peerTableBytes(2));
  const keypairsAt = regions.reserve(keypairTableBytes(capacity));
  const epochsAt = regions.reserve(epochBytes(1));
  const slab = createSlab(regions.byteLength);
  const peers = new PeerTable(slab, peersAt, 2);
  const table = new KeypairTable(slab, keypairsAt, capacity, 0x5eed);
  const epochs = new EpochTable(slab, epochsAt, 1);
  for (const word of [PeerWord.Current, PeerWord.Previous, PeerWord.Next]) {
    peers.setWord(PEER, word, -1);
  }
  peers.setWord(PEER, PeerWord.Lane, 3);
  const keypairs = new Keypairs(slab, table, peers, epochs, new SeededRandom(1));
  const install = (isInitiator: boolean) => {
    const slot = keypairs.reserve(PEER);
    const keys = {
      fromInitiator: new Uint8Array(32).fill(slot + 1),
      fromResponder: new Uint8Array(32).fill(slot + 101),
    };
    keypairs.install(slot, { isInitiator, remoteIndex: 1000 + slot, keys }, 5_000);
    assertEquals(keys.fromInitiator, new Uint8Array(32));
    return slot;
  };
  const words = () => [
    peers.word(PEER, PeerWord.Previous),
    peers.word(PEER, PeerWord.Current),
    peers.word(PEER, PeerWord.Next),
  ];
  const confirm = () => {
    const next = peers.word(PEER, PeerWord.Next);
    if (next >= 0) table.setWord(next, KeypairWord.ConfirmPosted, 1);
    return keypairs.confirmNext(PEER);
  };
  return { slab, peers, table, epochs, keypairs, install, words, confirm };
}

Deno.test("a slot is found by its index for receiving only once it holds keys", () => {
  const { table, keypairs } = setUp();
  const slot = keypairs.reserve(PEER);
  const index = keypairs.index(slot);
  assertEquals(table.find(index), -1);
  assertEquals([keypairs.find(index), keypairs.owner(slot)], [slot, PEER]);
  assertEquals(index & 63, 3, "the low bits name the lane");
  keypairs.release(slot);
  assertEquals(keypairs.find(index), -1);
});

Deno.test("the initiator seals with the first key and opens with the second, the responder vice versa", () => {
  const { slab, table, install } = setUp();
  for (const isInitiator of [true, false]) {
    const slot = install(isInitiator);
    const at = table.at(slot);
    const sending = slab.u8[at + KEYPAIR_SEND_KEY], receiving = slab.u8[at + KEYPAIR_RECEIVE_KEY];
    assertEquals([sending, receiving].sort((x, y) => x - y), [slot + 1, slot + 101]);
    assertEquals(sending, isInitiator ? slot + 1 : slot + 101);
    assertEquals(table.word(slot, KeypairWord.RemoteIndex), 1000 + slot);
    assertEquals(table.word(slot, KeypairWord.IsInitiator), isInitiator ? 1 : 0);
    assertEquals(table.word(slot, KeypairWord.Peer), PEER);
  }
});

Deno.test("sessions that we begin move current to previous", () => {
  const { words, install, table } = setUp();
  const first = install(true);
  assertEquals(words(), [-1, first, -1]);
  const second = install(true);
  assertEquals(words(), [first, second, -1]);
  const third = install(true);
  assertEquals(words(), [second, third, -1]);
  assertEquals(table.word(first, KeypairWord.LocalIndex), 0);
});

Deno.test("a session that we answer waits as next, drops previous, and rotates when confirmed", () => {
  const { words, install, confirm, table } = setUp();
  const first = install(true), second = install(true);
  const third = install(false);
  assertEquals(words(), [-1, second, third]);
  assertEquals(table.word(first, KeypairWord.LocalIndex), 0);
  assert(confirm());
  assertEquals(words(), [second, third, -1]);
  assert(!confirm());
});

Deno.test("a second answer takes the place of the first one that was never used", () => {
  const { words, install, table } = setUp();
  const first = install(false), second = install(false);
  assertEquals(words(), [-1, -1, second]);
  assertEquals(table.word(first, KeypairWord.LocalIndex), 0);
});

Deno.test("a session that we begin while another waits as next makes that one previous", () => {
  const { words, install, table } = setUp();
  const current = install(true), next = install(false), own = install(true);
  assertEquals(words(), [next, own, -1]);
  assertEquals(table.word(current, KeypairWord.LocalIndex), 0);
  assertEquals(table.find(table.word(next, KeypairWord.LocalIndex)), next);
});

Deno.test("next is not confirmed before the lane has seen it used", () => {
  const { words, install, keypairs } = setUp();
  const slot = install(false);
  assert(!keypairs.confirmNext(PEER));
  assertEquals(words(), [-1, -1, slot]);
});

Deno.test("after sending was stopped, the last session still opens messages", () => {
  const { words, install, keypairs, table } = setUp();
  const first = install(true), second = install(true), third = install(false);
  keypairs.stopSending(PEER);
  assertEquals(words(), [second, -1, -1]);
  for (const slot of [first, third]) assertEquals(table.word(slot, KeypairWord.LocalIndex), 0);
});

Deno.test("a retired slot is reused only after the epoch, with another index", () => {
  const { install, keypairs, epochs, table } = setUp(2);
  epochs.announce(0, epochs.current());
  const slot = install(true);
  const index = keypairs.index(slot);
  keypairs.retireAll(PEER);
  assertEquals(keypairs.find(index), -1);
  keypairs.reclaim();
  assertEquals([keypairs.freeCount, keypairs.hasRetired], [1, true]);
  assertEquals(keypairs.reserve(PEER) >= 0, true);
  assertEquals(keypairs.reserve(PEER), -1);
  epochs.announce(0, epochs.current());
  const again = keypairs.reserve(PEER);
  assertEquals(again, slot);
  assertNotEquals(keypairs.index(again), index);
  assertEquals(table.find(index), -1);
});

Deno.test("in a thousand random rotations no slot is lost, and live words name live slots", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = new SeededRandom(seed);
    const { install, confirm, keypairs, words, table } = setUp(8);
    for (let step = 0; step < 1_000; step++) {
      const actions = [
        () => install(true),
        () => install(false),
        confirm,
        () => keypairs.stopSending(PEER),
        () => keypairs.retireAll(PEER),
        () => keypairs.reclaim(),
        () => keypairs.release(keypairs.reserve(PEER)),
      ];
      actions[random.below(actions.length)]();
      const live = words().filter((slot) => slot >= 0);
      assertEquals(new Set(live).size, live.length, `seed ${seed}, step ${step}`);
      for (const slot of live) {
        assertEquals(table.find(table.word(slot, KeypairWord.LocalIndex)), slot);
      }
    }
    keypairs.retireAll(PEER);
    keypairs.reclaim();
    assertEquals(keypairs.freeCount, 8, `seed ${seed}`);
  }
});
