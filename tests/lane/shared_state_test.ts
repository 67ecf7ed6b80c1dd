import { assertEquals } from "@std/assert";
import { LaneCommand, LaneNotice, LaneWord } from "../../src/lane/shared_state.ts";
import { PeerCommand, PeerEvent, PeerField, PeerWord } from "../../src/tables/peer_table.ts";
import { KeypairField, KeypairWord } from "../../src/tables/keypair_table.ts";
import { BatchWord } from "../../src/lane/batch.ts";

const layouts = {
  LaneWord,
  LaneCommand,
  LaneNotice,
  PeerWord,
  PeerField,
  PeerCommand,
  PeerEvent,
  KeypairWord,
  KeypairField,
  BatchWord,
};

for (const [name, layout] of Object.entries(layouts)) {
  Deno.test(`no two entries of ${name} share a place`, () => {
    const places = Object.values(layout);
    assertEquals(new Set(places).size, places.length);
  });
}
