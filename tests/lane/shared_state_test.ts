import { assert, assertEquals } from "@std/assert";
import { ENCRYPTORS, LANES } from "../../src/config/worker_counts.ts";
import { LaneCommand, LaneNotice, LaneWord, planShared } from "../../src/lane/shared_state.ts";
import { PeerCommand, PeerEvent, PeerField, PeerWord } from "../../src/tables/peer_table.ts";
import { KeypairField, KeypairWord } from "../../src/tables/keypair_table.ts";
import { BatchWord } from "../../src/lane/batch.ts";
import { planRehearsals } from "../../src/worker/rehearsal_plan.ts";

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

Deno.test("the largest node that can be asked for, with its rehearsals, fits the slab", () => {
  const plan = planShared({
    lanes: LANES.max,
    encryptors: ENCRYPTORS.max,
    sealBatches: 16 + 8 * ENCRYPTORS.max,
    openBatches: 16 + 8 * ENCRYPTORS.max,
    indexSecret: 1,
  });
  assert(planRehearsals(plan).at(-1)!.byteLength < 2 ** 31);
});
