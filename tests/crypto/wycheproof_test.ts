/**
 * Project Wycheproof's vectors. LONGHAUL_WYCHEPROOF names the folder that holds them:
 *
 * ```
 * export LONGHAUL_WYCHEPROOF=$(go mod download -json \
 *   github.com/c2sp/wycheproof@v0.0.0-20260902155932-3fa63dd0344a |
 *   sed -n 's|.*"Dir": "\(.*\)".*|\1/testvectors_v1|p')
 * ```
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { assert, assertEquals } from "@std/assert";
import { NativeAead } from "../../src/crypto/native_aead.ts";
import { requires } from "../requires.ts";
import { hex, toHex } from "./hex.ts";
import { libcrypto, noiseCryptos } from "./implementations.ts";
import { VectorAead } from "./vector_aead.ts";

interface AeadVector {
  readonly tcId: number;
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
  readonly result: "valid" | "invalid";
}

interface XdhVector {
  readonly tcId: number;
  readonly flags: readonly string[];
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

/** The AEAD over ordinary arrays that all implementations can be given the shape of. */
interface Aead {
  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array;
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    ad: Uint8Array,
  ): Uint8Array | null;
}

function vectors<T>(file: string): T[] {
  const path = `${Deno.env.get("LONGHAUL_WYCHEPROOF")}/${file}`;
  const { testGroups } = JSON.parse(Deno.readTextFileSync(path));
  return testGroups.flatMap((group: { tests: T[] }) => group.tests);
}

/** Runs the vectors whose nonces have the one size that the interface allows. */
function checkAead(file: string, aead: Aead, nonceBytes: number): void {
  let checked = 0;
  for (const vector of vectors<AeadVector>(file)) {
    const nonce = hex(vector.iv);
    if (nonce.length !== nonceBytes) {
      assertEquals(vector.result, "invalid");
      continue;
    }
    checked++;
    const key = hex(vector.key), ad = hex(vector.aad), message = hex(vector.msg);
    const sealed = hex(vector.ct + vector.tag);
    const opened = aead.open(key, nonce, sealed, ad);
    assertEquals(toHex(opened), vector.result === "valid" ? vector.msg : "null", `${vector.tcId}`);
    if (vector.result === "valid") {
      assertEquals(toHex(aead.seal(key, nonce, message, ad)), vector.ct + vector.tag);
    }
  }
  assert(checked > 300, `only ${checked} vectors`);
}

const aeads: Record<string, () => Aead> = {
  "openssl": () => new NativeAead(libcrypto()),
  "openssl-composed": () => new VectorAead(),
  "noble": () => ({
    seal: (key, nonce, plaintext, ad) => chacha20poly1305(key, nonce, ad).encrypt(plaintext),
    open: (key, nonce, sealed, ad) => {
      try {
        return chacha20poly1305(key, nonce, ad).decrypt(sealed);
      } catch {
        return null;
      }
    },
  }),
};

for (const [name, make] of Object.entries(aeads)) {
  Deno.test({
    name: `${name} passes Wycheproof's chacha20_poly1305`,
    ...requires("wycheproof"),
    fn: () => checkAead("chacha20_poly1305_test.json", make(), 12),
  });
}

for (const [name, make] of Object.entries(noiseCryptos)) {
  Deno.test({
    name: `${name} passes Wycheproof's xchacha20_poly1305`,
    ...requires("wycheproof"),
    fn: () => {
      const crypto = make();
      const aead: Aead = {
        seal: (key, nonce, plaintext, ad) => crypto.xseal(key, nonce, plaintext, ad),
        open: (key, nonce, sealed, ad) => crypto.xopen(key, nonce, sealed, ad),
      };
      checkAead("xchacha20_poly1305_test.json", aead, 24);
    },
  });

  Deno.test({
    name: `${name} passes Wycheproof's x25519`,
    ...requires("wycheproof"),
    fn: () => {
      const crypto = make();
      const all = vectors<XdhVector>("x25519_test.json");
      assert(all.length > 500);
      for (const vector of all) {
        const shared = crypto.x25519(hex(vector.private), hex(vector.public));
        const isZero = /^0+$/.test(vector.shared);
        assertEquals(isZero, vector.flags.includes("ZeroSharedSecret"));
        assertEquals(toHex(shared), isZero ? "null" : vector.shared, `${vector.tcId}`);
      }
    },
  });
}
