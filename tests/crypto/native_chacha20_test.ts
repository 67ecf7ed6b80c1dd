import { assert, assertEquals, assertThrows } from "@std/assert";
import { chacha20 } from "@noble/ciphers/chacha.js";
import type { Libcrypto } from "../../ffi/libcrypto.ts";
import { addressOfBytes } from "../../ffi/memory.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { CHACHA20_STATE_BYTES, openChaCha20 } from "../../src/crypto/native_chacha20.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { libcrypto, libcryptoWith, withoutMethods } from "./implementations.ts";

const STATE_AT = 1024;
const TEXT_AT = 4096;
const SEED = 20;

function opened(library: Libcrypto) {
  const slab = createSlab(65_536);
  const base = addressOfBytes(slab.u8);
  slab.u8.fill(7, STATE_AT, STATE_AT + CHACHA20_STATE_BYTES);
  const cipher = openChaCha20(library, slab, STATE_AT, base + BigInt(STATE_AT));
  const state = slab.u8.subarray(STATE_AT, STATE_AT + CHACHA20_STATE_BYTES);
  return { slab, cipher, state, textAddress: base + BigInt(TEXT_AT) };
}

Deno.test("key, counter and nonce written to our state are what one call encrypts with", () => {
  const { slab, cipher, state, textAddress } = opened(libcrypto());
  assert(cipher.isStateOurs);
  assert(state.every((byte) => byte === 0));
  const random = new SeededRandom(SEED);
  for (const bytes of [64, 128, 512, 1024, 1536, 8960, 65_536 - TEXT_AT]) {
    const key = random.fill(new Uint8Array(32)), nonce = random.fill(new Uint8Array(12));
    const text = random.fill(new Uint8Array(bytes & ~63));
    state.set(key);
    slab.view.setUint32(STATE_AT + 32, 3, true);
    state.set(nonce, 36);
    slab.u8.set(text, TEXT_AT);
    const { EVP_Cipher } = libcrypto().symbols;
    assertEquals(EVP_Cipher(cipher.context, textAddress, textAddress, text.length), 1);
    const expected = chacha20(key, nonce, text, undefined, 3);
    assertEquals(slab.u8.slice(TEXT_AT, TEXT_AT + text.length), expected, `seed ${SEED}`);
  }
  cipher.close();
});

const others: Record<string, () => Libcrypto> = {
  "has no ciphers but those of providers": withoutMethods,
  "has a state of another size": () => libcryptoWith({ EVP_CIPHER_impl_ctx_size: () => 128 }),
  "keeps its key elsewhere": () => libcryptoWith({ EVP_EncryptInit_ex2_buffer: () => 1 }),
  "refuses a key": () => libcryptoWith({ EVP_EncryptInit_ex2_buffer: () => 0 }),
  "gives no cipher to change": () => libcryptoWith({ EVP_CIPHER_meth_dup: () => 0n }),
};
for (const [name, library] of Object.entries(others)) {
  Deno.test(`a libcrypto that ${name} keeps the state, and nothing is left in ours`, () => {
    const { cipher, state } = opened(library());
    assertEquals(cipher.isStateOurs, false);
    assert(state.every((byte) => byte === 0));
    cipher.close();
  });
}

Deno.test("a libcrypto without any ChaCha20 is an error that says so", () => {
  const none = libcryptoWith({ EVP_CIPHER_meth_dup: null, EVP_CIPHER_fetch: () => 0n });
  assertThrows(() => opened(none), Error, "Cannot use ChaCha20");
});
