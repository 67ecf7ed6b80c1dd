import { assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import {
  clearVnetHeader,
  VNET_HEADER_BYTES,
  vnetCsumOffset,
  vnetCsumStart,
  vnetFlags,
  vnetGsoSize,
  vnetGsoType,
  vnetHdrLen,
  writeVnetHeader,
} from "../../src/wire/virtio_net.ts";

const { u8, view } = createSlab(65_536);
const AT = 777;

Deno.test("rule 1: the virtio header is 10 bytes: two bytes, then four little-endian words", () => {
  u8.fill(0xcc, AT - 1, AT + 11);
  writeVnetHeader(view, AT, 1, 0x84, 0x0102, 0x0304, 0x0506, 0x0708);
  assertEquals(VNET_HEADER_BYTES, 10);
  assertEquals([...u8.subarray(AT - 1, AT + 11)], [0xcc, 1, 0x84, 2, 1, 4, 3, 6, 5, 8, 7, 0xcc]);
});

Deno.test("the accessors read what was written", () => {
  writeVnetHeader(view, AT, 1, 0x84, 0x0102, 0x0304, 0x0506, 0x0708);
  assertEquals(
    [vnetFlags(view, AT), vnetGsoType(view, AT), vnetHdrLen(view, AT), vnetGsoSize(view, AT)],
    [1, 0x84, 0x0102, 0x0304],
  );
  assertEquals([vnetCsumStart(view, AT), vnetCsumOffset(view, AT)], [0x0506, 0x0708]);
});

Deno.test("rule 25: the header of a plain packet is ten zeros", () => {
  u8.fill(0xcc, AT - 1, AT + 11);
  clearVnetHeader(view, AT);
  assertEquals([...u8.subarray(AT - 1, AT + 11)], [0xcc, ...Array(10).fill(0), 0xcc]);
});
