import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { INITIATION_TIMESTAMP, RESPONSE_EPHEMERAL } from "../../src/wire/wireguard.ts";
import { createInitiation, createResponse } from "../../src/wireguard/messages.ts";
import { type Identity, Noise } from "../../src/wireguard/noise.ts";
import {
  hex,
  publicOf,
  referenceDatagrams,
  referenceHandshake,
} from "../reference/noise_reference.ts";
import { CountingCrypto } from "../sim/wireguard_crypto.ts";

/** Everything before the MACs. */
const body = (message: Uint8Array) => message.subarray(0, message.length - 32);

function identityOf(privateKey: Uint8Array): Identity {
  return { privateKey, publicKey: publicOf(privateKey) };
}

function keySet(seed: number) {
  const random = new SeededRandom(seed);
  const key = () => random.fill(new Uint8Array(32));
  return {
    initiatorStatic: key(),
    responderStatic: key(),
    initiatorEphemeral: key(),
    responderEphemeral: key(),
    presharedKey: seed % 2 === 0 ? key() : new Uint8Array(32),
    timestamp: random.fill(new Uint8Array(12)),
  };
}

type KeySet = ReturnType<typeof keySet>;

/** Both messages and all four keys as `Noise` makes them. */
function handshake(keys: KeySet, responderPresharedKey = keys.presharedKey) {
  const crypto = new CountingCrypto();
  const noise = new Noise(crypto);
  const initiator = identityOf(keys.initiatorStatic);
  const responder = identityOf(keys.responderStatic);
  const staticStatic = crypto.x25519(keys.initiatorStatic, responder.publicKey)!;
  const initiation = createInitiation(0x11223344);
  const begun = noise.writeInitiation(
    initiation,
    initiator,
    responder.publicKey,
    staticStatic,
    keys.initiatorEphemeral,
    keys.timestamp,
  )!;
  const opened = noise.openInitiation(initiation, responder)!;
  const timestamp = noise.openTimestamp(initiation, opened.transcript, staticStatic);
  const response = createResponse(0x55667788, 0x11223344);
  assert(noise.writeResponse(response, opened, responderPresharedKey, keys.responderEphemeral));
  const finished = noise.openResponse(
    response,
    begun,
    initiator,
    keys.initiatorEphemeral,
    keys.presharedKey,
  );
  return {
    noise,
    initiation,
    response,
    timestamp,
    remoteStatic: opened.remoteStatic,
    responderKeys: noise.deriveTransportKeys(opened.transcript),
    initiatorKeys: finished === null ? null : noise.deriveTransportKeys(finished),
  };
}

Deno.test("the reference agrees with the published vector of Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s", () => {
  // github.com/flynn/noise v1.1.0 (Go module proxy), vectors.txt, the one without a prologue.
  const made = referenceHandshake({
    prologue: new Uint8Array(0),
    initiatorStatic: hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    responderStatic: hex("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"),
    initiatorEphemeral: hex("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"),
    responderEphemeral: hex("4142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60"),
    presharedKey: hex("2176657279736563726574766572797365637265747665727973656372657421"),
    payloads: [hex("746573745f6d73675f30"), hex("746573745f6d73675f31")],
  });
  assertEquals(
    made.first,
    hex(
      "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254" +
        "d06f15f78ad0914d9715147bb5a5004b27345a838bab4aa8bc5f144afc2cf4cc" +
        "a972105ba526e8c92b759e028200e7666a3d77b86f9aa87dcfe685e771e38b97" +
        "d3c5996368c663051641",
    ),
  );
  assertEquals(
    made.second,
    hex(
      "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466" +
        "168e6913e78d7a2b04b2f3d5529e73e953bafe6c7ce2b1005367",
    ),
  );
});

Deno.test("messages and keys equal those of the reference, with and without a preshared key", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const keys = keySet(seed);
    const made = handshake(keys);
    const expected = referenceDatagrams(keys, keys.timestamp, 0x11223344, 0x55667788);
    assertEquals(body(made.initiation), body(expected.initiation), `seed ${seed}`);
    assertEquals(body(made.response), body(expected.response), `seed ${seed}`);
    for (const side of [made.initiatorKeys!, made.responderKeys]) {
      assertEquals(side.fromInitiator, expected.fromInitiator, `seed ${seed}`);
      assertEquals(side.fromResponder, expected.fromResponder, `seed ${seed}`);
    }
  }
});

Deno.test("the responder learns the initiator's static key and timestamp", () => {
  const keys = keySet(3);
  const made = handshake(keys);
  assertEquals(made.remoteStatic, publicOf(keys.initiatorStatic));
  assertEquals(made.timestamp, keys.timestamp);
});

Deno.test("a response made with another preshared key does not open", () => {
  assertEquals(handshake(keySet(4), new Uint8Array(32)).initiatorKeys, null);
});

Deno.test("an initiation for somebody else does not open", () => {
  const made = handshake(keySet(5));
  assertEquals(
    made.noise.openInitiation(made.initiation, identityOf(keySet(6).initiatorStatic)),
    null,
  );
});

Deno.test("no bit of an initiation or response can be flipped", () => {
  const keys = keySet(7);
  const { noise, initiation, response } = handshake(keys);
  const crypto = new CountingCrypto();
  const responder = identityOf(keys.responderStatic), initiator = identityOf(keys.initiatorStatic);
  const staticStatic = crypto.x25519(keys.initiatorStatic, responder.publicKey)!;
  for (let at = 8; at < 116; at += 5) {
    const damaged = initiation.slice();
    damaged[at] ^= 1 << (at % 7);
    const opened = noise.openInitiation(damaged, responder);
    if (at < INITIATION_TIMESTAMP) assertEquals(opened, null, `byte ${at}`);
    else assertEquals(noise.openTimestamp(damaged, opened!.transcript, staticStatic), null);
  }
  const begun = noise.writeInitiation(
    createInitiation(1),
    initiator,
    responder.publicKey,
    staticStatic,
    keys.initiatorEphemeral,
    keys.timestamp,
  )!;
  const open = (message: Uint8Array) =>
    noise.openResponse(message, begun, initiator, keys.initiatorEphemeral, keys.presharedKey);
  for (let at = RESPONSE_EPHEMERAL; at < 60; at += 3) {
    const damaged = response.slice();
    damaged[at] ^= 1 << (at % 7);
    assertEquals(open(damaged), null, `byte ${at}`);
  }
  assert(open(response) !== null, "a damaged response has spoilt the handshake for the right one");
});

Deno.test("low-order points are refused in every place", () => {
  const keys = keySet(8);
  const { noise, initiation, response } = handshake(keys);
  const crypto = new CountingCrypto();
  const initiator = identityOf(keys.initiatorStatic), responder = identityOf(keys.responderStatic);
  const lowOrder = [
    new Uint8Array(32),
    Uint8Array.from({ length: 32 }, (_, i) => i === 0 ? 1 : 0),
    hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
  ];
  const staticStatic = crypto.x25519(keys.initiatorStatic, responder.publicKey)!;
  const write = (remoteStatic: Uint8Array) =>
    noise.writeInitiation(
      createInitiation(1),
      initiator,
      remoteStatic,
      staticStatic,
      keys.initiatorEphemeral,
      keys.timestamp,
    );
  const begun = write(responder.publicKey)!;
  for (const point of lowOrder) {
    assertEquals(crypto.x25519(keys.initiatorStatic, point), null);
    assertEquals(write(point), null);
    const badInitiation = initiation.slice();
    badInitiation.set(point, 8);
    assertEquals(noise.openInitiation(badInitiation, responder), null);
    const badResponse = response.slice();
    badResponse.set(point, RESPONSE_EPHEMERAL);
    const ephemeral = keys.initiatorEphemeral;
    assertEquals(
      noise.openResponse(badResponse, begun, initiator, ephemeral, keys.presharedKey),
      null,
    );
  }
});

Deno.test("deriving the session's keys wipes the transcript", () => {
  const keys = keySet(9);
  const crypto = new CountingCrypto();
  const noise = new Noise(crypto);
  const transcript = {
    chainingKey: keys.presharedKey.slice().fill(1),
    hash: new Uint8Array(32).fill(2),
  };
  noise.deriveTransportKeys(transcript);
  assertEquals(transcript.chainingKey, new Uint8Array(32));
  assertEquals(transcript.hash, new Uint8Array(32));
});
