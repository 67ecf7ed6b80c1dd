import { blake2s } from "@noble/hashes/blake2.js";
import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { hchacha20 } from "../../src/crypto/hchacha20.ts";
import { NobleCrypto } from "../../src/crypto/noble.ts";
import { NativeAead } from "../../src/crypto/native_aead.ts";
import { hex, toHex } from "./hex.ts";
import { libcrypto, noiseCryptos } from "./implementations.ts";
import { VectorAead } from "./vector_aead.ts";

const SEED = 7748;
const SUNSCREEN = new TextEncoder().encode(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
    "sunscreen would be it.",
);

// RFC 8439, section 2.8.2.
const RFC_8439 = {
  key: hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
  nonce: hex("070000004041424344454647"),
  ad: hex("50515253c0c1c2c3c4c5c6c7"),
  sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
    "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
    "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
    "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
};

// draft-irtf-cfrg-xchacha-03, appendix A.3.1; key, data and plaintext as above.
const XCHACHA_NONCE = hex("404142434445464748494a4b4c4d4e4f5051525354555657");
const XCHACHA_SEALED = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb" +
  "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452" +
  "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9" +
  "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";

Deno.test("openssl and the composed AEAD agree with RFC 8439, section 2.8.2", () => {
  for (const aead of [new NativeAead(libcrypto()), new VectorAead()]) {
    const { key, nonce, ad } = RFC_8439;
    assertEquals(toHex(aead.seal(key, nonce, SUNSCREEN, ad)), RFC_8439.sealed);
    assertEquals(aead.open(key, nonce, hex(RFC_8439.sealed), ad), SUNSCREEN);
    assertEquals(aead.open(key, nonce, hex(RFC_8439.sealed), hex("50")), null);
  }
});

Deno.test("hchacha20 agrees with the draft, section 2.2.1", () => {
  const key = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  const nonce = hex("000000090000004a0000000031415927");
  const expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc";
  assertEquals(toHex(hchacha20(key, nonce)), expected);
});

Deno.test("noble agrees with the self-test of RFC 7693, appendix E", () => {
  const context = blake2s.create({});
  for (const { input, key, outBytes } of rfc7693Cases()) {
    context.update(blake2s(input, { dkLen: outBytes }));
    context.update(blake2s(input, { key, dkLen: outBytes }));
  }
  const expected = "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe";
  assertEquals(toHex(context.digest()), expected);
});

for (const [name, make] of Object.entries(noiseCryptos)) {
  Deno.test(`${name}: X25519 agrees with RFC 7748, section 5.2`, () => {
    const crypto = make();
    const first = crypto.x25519(
      hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
      hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
    );
    assertEquals(toHex(first), "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    const second = crypto.x25519(
      hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
      hex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
    );
    assertEquals(toHex(second), "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
  });

  Deno.test(`${name}: X25519 agrees with RFC 7748 after 1 and 1,000 iterations`, () => {
    const crypto = make();
    let k = hex("0900000000000000000000000000000000000000000000000000000000000000");
    let u = k;
    for (let i = 1; i <= 1000; i++) {
      const next = crypto.x25519(k, u) as Uint8Array<ArrayBuffer>;
      u = k;
      k = next;
      if (i === 1) {
        assertEquals(toHex(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
      }
    }
    assertEquals(toHex(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
  });

  Deno.test(`${name}: Diffie-Hellman agrees with RFC 7748, section 6.1`, () => {
    const crypto = make();
    const alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    const bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    const alicePublic = crypto.x25519PublicKey(alice), bobPublic = crypto.x25519PublicKey(bob);
    const expected = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assertEquals(
      toHex(alicePublic),
      "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    );
    assertEquals(
      toHex(bobPublic),
      "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    );
    assertEquals(toHex(crypto.x25519(alice, bobPublic)), expected);
    assertEquals(toHex(crypto.x25519(bob, alicePublic)), expected);
  });

  Deno.test(`${name}: X25519 refuses points of low order`, () => {
    const crypto = make();
    const own = new SeededRandom(SEED).fill(new Uint8Array(32));
    const points = [
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for (const point of points) assertEquals(crypto.x25519(own, hex(point)), null, point);
  });

  Deno.test(`${name}: X25519 clamps the private key itself`, () => {
    const crypto = make();
    const key = new SeededRandom(SEED).fill(new Uint8Array(32));
    const clamped = key.slice();
    clamped[0] &= 248;
    clamped[31] = (clamped[31] & 127) | 64;
    assertEquals(crypto.x25519PublicKey(key), crypto.x25519PublicKey(clamped));
  });

  Deno.test(`${name}: BLAKE2s agrees with RFC 7693, appendix B`, () => {
    const expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
    assertEquals(toHex(make().hash(new TextEncoder().encode("abc"))), expected);
  });

  Deno.test(`${name}: hash and MAC agree with the tested BLAKE2s on the RFC's inputs`, () => {
    const crypto = make();
    for (const { input, key } of rfc7693Cases()) {
      assertEquals(crypto.hash(input), blake2s(input));
      assertEquals(crypto.mac(key, input), blake2s(input, { key, dkLen: 16 }));
    }
  });

  Deno.test(`${name}: hash, MAC and HMAC do not depend on how the input is cut`, () => {
    const crypto = make();
    const random = new SeededRandom(SEED);
    const key = random.fill(new Uint8Array(32)), input = random.fill(new Uint8Array(300));
    for (let i = 0; i < 50; i++) {
      const a = random.below(301), b = a + random.below(301 - a);
      const parts = [input.subarray(0, a), input.subarray(a, b), input.subarray(b)];
      assertEquals(crypto.hash(...parts), crypto.hash(input));
      assertEquals(crypto.mac(key, ...parts), crypto.mac(key, input));
      assertEquals(crypto.hmac(key, ...parts), crypto.hmac(key, input));
    }
  });

  Deno.test(`${name}: HMAC is that of RFC 2104, for keys below, at and above a block`, () => {
    const crypto = make();
    const random = new SeededRandom(SEED);
    for (const keyBytes of [0, 1, 32, 63, 64, 65, 200]) {
      const key = random.fill(new Uint8Array(keyBytes));
      const text = random.fill(new Uint8Array(77));
      assertEquals(crypto.hmac(key, text), rfc2104(key, text));
    }
  });

  Deno.test(`${name}: XChaCha20-Poly1305 agrees with the draft, appendix A.3.1`, () => {
    const crypto = make();
    const { key, ad } = RFC_8439;
    assertEquals(toHex(crypto.xseal(key, XCHACHA_NONCE, SUNSCREEN, ad)), XCHACHA_SEALED);
    assertEquals(crypto.xopen(key, XCHACHA_NONCE, hex(XCHACHA_SEALED), ad), SUNSCREEN);
  });

  Deno.test(`${name}: a wrong tag, data, counter or nonce gives null`, () => {
    const crypto = make();
    const random = new SeededRandom(SEED);
    const key = random.fill(new Uint8Array(32)), nonce = random.fill(new Uint8Array(24));
    const ad = random.fill(new Uint8Array(32)), none = new Uint8Array(0);
    const sealed = crypto.seal(key, 5n, SUNSCREEN, ad);
    assertEquals(crypto.open(key, 5n, sealed, ad), SUNSCREEN);
    assertEquals(crypto.open(key, 6n, sealed, ad), null);
    assertEquals(crypto.open(key, 5n, sealed, none), null);
    assertEquals(crypto.open(key, 5n, sealed.subarray(0, 15), ad), null);
    assertEquals(crypto.open(key, 5n, none, ad), null);
    assertEquals(crypto.open(key, 5n, crypto.seal(key, 5n, none, ad), ad), none);
    const other = nonce.slice();
    other[3] ^= 1;
    const xsealed = crypto.xseal(key, nonce, SUNSCREEN, ad);
    assertEquals(crypto.xopen(key, other, xsealed, ad), null);
    for (const bytes of [sealed, xsealed]) bytes[bytes.length - 1] ^= 0x80;
    assertEquals(crypto.open(key, 5n, sealed, ad), null);
    assertEquals(crypto.xopen(key, nonce, xsealed, ad), null);
  });
}

Deno.test("openssl agrees with noble on random inputs", () => {
  const openssl = noiseCryptos.openssl(), noble = new NobleCrypto();
  const random = new SeededRandom(SEED);
  for (let i = 0; i < 100; i++) {
    const bytes = (length: number) => random.fill(new Uint8Array(length));
    const key = bytes(32), other = bytes(32), nonce = bytes(24);
    const text = bytes(random.below(300)), ad = bytes(random.below(100));
    const counter = (BigInt(random.nextUint32()) << 32n) | BigInt(random.nextUint32());
    assertEquals(openssl.x25519(key, other), noble.x25519(key, other));
    assertEquals(openssl.hmac(key, text, ad), noble.hmac(key, text, ad));
    assertEquals(openssl.mac(key, text, ad), noble.mac(key, text, ad));
    assertEquals(openssl.seal(key, counter, text, ad), noble.seal(key, counter, text, ad));
    assertEquals(openssl.xseal(key, nonce, text, ad), noble.xseal(key, nonce, text, ad));
    assert(noble.open(key, counter, openssl.seal(key, counter, text, ad), ad) !== null);
  }
});

/** The inputs of RFC 7693's self-test for BLAKE2s. */
function rfc7693Cases(): { input: Uint8Array; key: Uint8Array; outBytes: number }[] {
  const cases = [];
  for (const outBytes of [16, 20, 28, 32]) {
    for (const inputBytes of [0, 3, 64, 65, 255, 1024]) {
      const input = rfc7693Sequence(inputBytes, inputBytes);
      cases.push({ input, key: rfc7693Sequence(outBytes, outBytes), outBytes });
    }
  }
  return cases;
}

/** `selftest_seq` of RFC 7693, appendix E: a Fibonacci generator. */
function rfc7693Sequence(length: number, seed: number): Uint8Array {
  let a = Math.imul(0xdead4bad, seed) >>> 0;
  let b = 1;
  return Uint8Array.from({ length }, () => {
    const t = (a + b) >>> 0;
    a = b;
    b = t;
    return t >>> 24;
  });
}

/** HMAC written out: H(K xor opad, H(K xor ipad, text)). */
function rfc2104(key: Uint8Array, text: Uint8Array): Uint8Array {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? blake2s(key) : key);
  const inner = blake2s(Uint8Array.of(...block.map((byte) => byte ^ 0x36), ...text));
  return blake2s(Uint8Array.of(...block.map((byte) => byte ^ 0x5c), ...inner));
}
