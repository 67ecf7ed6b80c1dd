import { assertEquals } from "@std/assert";
import { createSlab } from "../../src/memory/slab.ts";
import * as wireguard from "../../src/wire/wireguard.ts";
import { dataCounter, dataReceiver, MessageType, messageType } from "../../src/wire/wireguard.ts";

const { u8, view } = createSlab(65_536);
const AT = 333;

Deno.test("the messages are 148, 92 and 64 bytes, and 32 more than the packet", () => {
  const { INITIATION_BYTES, RESPONSE_BYTES, COOKIE_REPLY_BYTES, DATA_OVERHEAD_BYTES } = wireguard;
  assertEquals([INITIATION_BYTES, RESPONSE_BYTES, COOKIE_REPLY_BYTES], [148, 92, 64]);
  assertEquals([DATA_OVERHEAD_BYTES, wireguard.KEEPALIVE_BYTES], [32, 32]);
});

Deno.test("the fields of each handshake message follow one another without a gap", () => {
  const w = wireguard;
  const initiation = [
    [w.HANDSHAKE_SENDER, 4],
    [w.INITIATION_EPHEMERAL, 32],
    [w.INITIATION_STATIC, 48],
    [w.INITIATION_TIMESTAMP, 28],
    [w.INITIATION_BYTES - w.MACS_BYTES, w.MACS_BYTES],
    [w.INITIATION_BYTES, 0],
  ];
  const response = [
    [w.HANDSHAKE_SENDER, 4],
    [w.RESPONSE_RECEIVER, 4],
    [w.RESPONSE_EPHEMERAL, 32],
    [w.RESPONSE_EMPTY, 16],
    [w.RESPONSE_BYTES - w.MACS_BYTES, w.MACS_BYTES],
    [w.RESPONSE_BYTES, 0],
  ];
  const cookieReply = [
    [w.COOKIE_REPLY_RECEIVER, 4],
    [w.COOKIE_REPLY_NONCE, 24],
    [w.COOKIE_REPLY_COOKIE, 32],
    [w.COOKIE_REPLY_BYTES, 0],
  ];
  for (const message of [initiation, response, cookieReply]) {
    let at = 4;
    for (const [place, bytes] of message) {
      assertEquals(place, at);
      at += bytes;
    }
  }
});

Deno.test("messageType() knows the four types with their lengths and nothing else", () => {
  const lengths = { 1: 148, 2: 92, 3: 64 } as Record<number, number>;
  for (let type = 0; type < 256; type++) {
    u8.set([type, 0, 0, 0], AT);
    for (const bytes of [0, 4, 16, 31, 32, 63, 64, 65, 91, 92, 93, 147, 148, 149, 1500]) {
      const isRight = type === 4 ? bytes >= 32 : lengths[type] === bytes;
      assertEquals(messageType(view, AT, bytes), isRight ? type : 0, `type ${type}, ${bytes}`);
    }
  }
});

Deno.test("messageType() refuses reserved bytes that are not zero", () => {
  for (let at = 1; at < 4; at++) {
    u8.set([MessageType.Data, 0, 0, 0], AT);
    u8[AT + at] = 1;
    assertEquals(messageType(view, AT, 100), 0);
  }
});

Deno.test("writeDataHeader() writes receiver and counter little-endian", () => {
  u8.fill(0xcc, AT, AT + 17);
  wireguard.writeDataHeader(view, AT, 0x89abcdef, 0x0011223344556677);
  const expected = [4, 0, 0, 0, 0xef, 0xcd, 0xab, 0x89];
  assertEquals([...u8.subarray(AT, AT + 8)], expected);
  assertEquals(dataReceiver(view, AT), 0x89abcdef);
  assertEquals(dataCounter(view, AT), 0x0011223344556677);
  assertEquals(u8[AT + 16], 0xcc);
});

Deno.test("counters are exact up to 2^53 - 1 and stay above it beyond", () => {
  for (const counter of [0, 1, 0xffffffff, 0x100000000, 2 ** 53 - 1]) {
    wireguard.writeDataHeader(view, AT, 1, counter);
    assertEquals(dataCounter(view, AT), counter);
    assertEquals(view.getBigUint64(AT + 8, true), BigInt(counter));
  }
  view.setBigUint64(AT + 8, 2n ** 64n - 1n, true);
  assertEquals(dataCounter(view, AT) > 2 ** 53, true);
});
