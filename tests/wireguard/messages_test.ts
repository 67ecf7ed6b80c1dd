import { assertEquals } from "@std/assert";
import {
  createCookieReply,
  createInitiation,
  createResponse,
  handshakeMessageType,
  readWord,
} from "../../src/wireguard/messages.ts";

Deno.test("the three messages have 148, 92 and 64 bytes and name their indexes", () => {
  const initiation = createInitiation(-2);
  const response = createResponse(0x01020304, 0x7fffffff);
  const reply = createCookieReply(5);
  assertEquals([initiation.length, response.length, reply.length], [148, 92, 64]);
  assertEquals([...initiation.slice(0, 8)], [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
  assertEquals([...response.slice(0, 12)], [2, 0, 0, 0, 4, 3, 2, 1, 0xff, 0xff, 0xff, 0x7f]);
  assertEquals([...reply.slice(0, 8)], [3, 0, 0, 0, 5, 0, 0, 0]);
  assertEquals(readWord(initiation, 4), -2);
});

Deno.test("type and length must go together, and the reserved bytes must be zero", () => {
  for (let length = 0; length <= 200; length++) {
    for (let type = 0; type <= 5; type++) {
      const bytes = new Uint8Array(length);
      if (length > 0) bytes[0] = type;
      const fits = (type === 1 && length === 148) || (type === 2 && length === 92) ||
        (type === 3 && length === 64);
      assertEquals(handshakeMessageType(bytes), fits ? type : 0, `type ${type}, ${length} bytes`);
    }
  }
  for (const at of [1, 2, 3]) {
    const initiation = createInitiation(1);
    initiation[at] = 1;
    assertEquals(handshakeMessageType(initiation), 0);
  }
});
