import { assertEquals } from "@std/assert";
import { FfiMemory } from "../../ffi/memory.ts";
import { PACKET_AEAD_SCRATCH_BYTES } from "../../src/crypto/aead_scratch.ts";
import { guardKeys } from "../../src/daemon/node_process.ts";
import { planShared } from "../../src/lane/shared_state.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { keypairTableBytes } from "../../src/tables/keypair_table.ts";

/** The flags of this process's memory at an address, as /proc/self/smaps has them. */
function memoryFlags(address: number): string[] {
  let isHere = false;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (range !== null) {
      const [start, end] = [range[1], range[2]].map((text) => parseInt(text, 16));
      isHere = start <= address && address < end;
    } else if (isHere && line.startsWith("VmFlags:")) {
      return line.split(" ");
    }
  }
  throw new Error(`nothing is mapped at ${address.toString(16)}`);
}

Deno.test("session keys are in no core dump and not in swap: those of the table, and a cipher's last ones", () => {
  const plan = planShared({
    lanes: 1,
    encryptors: 1,
    peerCapacity: 1,
    prefixNodeCapacity: 64,
    sealBatches: 8,
    openBatches: 2,
    indexSecret: 7,
  });
  const memory = new FfiMemory(createSlab(plan.byteLength));
  guardKeys(memory, plan);
  const ciphers = plan.lanes.flatMap((lane) => [lane, ...lane.encryptors]);
  const places = [
    [plan.keypairsAt, keypairTableBytes(plan.keypairCapacity)],
    ...ciphers.map(({ aeadScratchAt }) => [aeadScratchAt, PACKET_AEAD_SCRATCH_BYTES]),
  ];
  for (const [at, byteLength] of places) {
    for (const address of [at, at + byteLength - 1]) {
      const flags = memoryFlags(memory.addressNumber + address);
      assertEquals(["dd", "lo"].filter((flag) => !flags.includes(flag)), [], `${at}`);
    }
  }
});
