import { assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import { ENDPOINT_BYTES } from "../../src/tables/endpoint.ts";
import { PeerTable, peerTableBytes } from "../../src/tables/peer_table.ts";

const RECORD_AT = 64, READ_AT = RECORD_AT + ENDPOINT_BYTES, TABLE_AT = 256;

function setUp() {
  const slab = createSlab(TABLE_AT + peerTableBytes(2));
  const table = new PeerTable(slab, TABLE_AT, 2);
  const write = (byte: number, replaced?: number) => {
    slab.u8.fill(byte, RECORD_AT, RECORD_AT + ENDPOINT_BYTES);
    return table.tryWriteEndpoint(1, RECORD_AT, replaced);
  };
  const read = () => {
    const version = table.readEndpoint(1, READ_AT);
    return { version, byte: slab.u8[READ_AT], last: slab.u8[READ_AT + ENDPOINT_BYTES - 1] };
  };
  return { write, read };
}

Deno.test("the endpoint that was written last is read, whole", () => {
  const { write, read } = setUp();
  for (let byte = 1; byte < 6; byte++) {
    assertEquals(write(byte), true);
    assertEquals([read().byte, read().last], [byte, byte]);
  }
});

Deno.test("a correction of an endpoint that has been replaced meanwhile is not made", () => {
  const { write, read } = setUp();
  write(1);
  const { version } = read();
  write(2);
  assertEquals(write(3, version), false);
  assertEquals(read().byte, 2);
  assertEquals(write(4, read().version), true);
  assertEquals(read().byte, 4);
});
