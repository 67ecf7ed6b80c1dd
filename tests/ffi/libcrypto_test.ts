import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  octetParameters,
  openLibcrypto,
  openLibcryptoFrom,
  unsignedParameter,
} from "../../ffi/libcrypto.ts";
import { addressOfBytes } from "../../ffi/memory.ts";

Deno.test("libcrypto is found, opened once, and tells its version", () => {
  const library = openLibcrypto().library!;
  assertMatch(library.version, /^OpenSSL \d/);
  assertEquals(openLibcrypto().library, library);
});

Deno.test("an absent libcrypto is a reason, not an exception", () => {
  const { library, reason } = openLibcryptoFrom(["liblonghaul-absent.so.3", "/nowhere/lib.so"]);
  assertEquals(library, null);
  assertMatch(reason!, /^no usable libcrypto: .*liblonghaul-absent/);
});

Deno.test("a library that lacks the functions is passed over", () => {
  assertEquals(openLibcryptoFrom(["libc.so.6"]).library, null);
  const { library } = openLibcryptoFrom(["libc.so.6", "libcrypto.so.3"]);
  assertEquals(library?.path, "libcrypto.so.3");
});

Deno.test("an algorithm that is not provided is an error that names it", () => {
  const library = openLibcrypto().library!;
  assertThrows(() => library.fetchCipher("ChaCha21"), Error, "Cannot use ChaCha21: OpenSSL");
  assertThrows(() => library.fetchMac("POLY1306"), Error, "POLY1306");
  assertThrows(() => library.fetchDigest("BLAKE9"), Error, "BLAKE9");
});

Deno.test("unsignedParameter has the layout of OSSL_PARAM and an end mark", () => {
  const { bytes, keepAlive } = unsignedParameter("size", 16);
  const view = new DataView(bytes.buffer);
  assertEquals(bytes.length, 80);
  assertEquals(view.getBigUint64(0, true), addressOfBytes(keepAlive[0]));
  assertEquals(view.getUint32(8, true), 2);
  assertEquals(view.getBigUint64(16, true), addressOfBytes(keepAlive[1]));
  assertEquals(view.getBigUint64(24, true), 8n);
  assert(bytes.subarray(40).every((byte) => byte === 0));
  assertEquals(keepAlive[1][0], 16);
});

Deno.test("octetParameters names each string in turn, where it stands, and ends", () => {
  const strings = { priv: new Uint8Array(32), pub: new Uint8Array(16) };
  const { bytes, keepAlive } = octetParameters(strings);
  const view = new DataView(bytes.buffer);
  assertEquals(bytes.length, 120);
  Object.values(strings).forEach((data, i) => {
    assertEquals(view.getBigUint64(40 * i, true), addressOfBytes(keepAlive[2 * i]));
    assertEquals(view.getUint32(40 * i + 8, true), 5);
    assertEquals(view.getBigUint64(40 * i + 16, true), addressOfBytes(data));
    assertEquals(view.getBigUint64(40 * i + 24, true), BigInt(data.length));
  });
  assert(bytes.subarray(80).every((byte) => byte === 0));
});
