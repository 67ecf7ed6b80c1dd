/** Where a lane's rehearsal has its tables: a small node of its own behind the real one's. */
import { planShared, type SharedPlan } from "../lane/shared_state.ts";

/** Nodes of the trie: a few prefixes. */
export const REHEARSAL_PREFIX_NODES = 16;

/** The tables for the rehearsal of each lane, behind those of the node in the same slab. */
export function planRehearsals(plan: SharedPlan): SharedPlan[] {
  let firstAt = plan.byteLength;
  return plan.lanes.map(({ encryptors }) => {
    const rehearsal = planShared({
      lanes: 1,
      peerCapacity: 1,
      prefixNodeCapacity: REHEARSAL_PREFIX_NODES,
      sealBatches: 4,
      openBatches: 2,
      encryptors: encryptors.length,
      indexSecret: 0,
      firstAt,
    });
    firstAt = rehearsal.byteLength;
    return rehearsal;
  });
}
