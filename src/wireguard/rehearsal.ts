/**
 * A rehearsal of the handshake with throwaway keys: a start-up test of the primitives, and what makes
 * the first real handshake as fast as the later ones (libcrypto looks its algorithms up on first use,
 * and the code has been compiled by then).
 */
import type { RandomSource } from "../base/random.ts";
import type { NoiseCrypto } from "../crypto/noise_crypto.ts";
import { equalBytes, wipe } from "./bytes.ts";
import { KEY_BYTES, TIMESTAMP_BYTES } from "./constants.ts";
import { createInitiation, createResponse } from "./messages.ts";
import { clampPrivateKey, type Identity, Noise, type TransportKeys } from "./noise.ts";

/** Both roles of one handshake; whether they arrive at the same keys. */
export function rehearseHandshake(crypto: NoiseCrypto, random: RandomSource): boolean {
  const noise = new Noise(crypto);
  const newKey = () => clampPrivateKey(random.fill(new Uint8Array(KEY_BYTES)));
  const newIdentity = (privateKey: Uint8Array): Identity => ({
    privateKey,
    publicKey: crypto.x25519PublicKey(privateKey),
  });
  const a = newIdentity(newKey()), b = newIdentity(newKey());
  const ephemeralA = newKey(), ephemeralB = newKey(), presharedKey = newKey();
  const secret = crypto.x25519(a.privateKey, b.publicKey);
  const initiation = createInitiation(1), response = createResponse(2, 1);
  try {
    if (secret === null) return false;
    const timestamp = random.fill(new Uint8Array(TIMESTAMP_BYTES));
    const sent = noise.writeInitiation(initiation, a, b.publicKey, secret, ephemeralA, timestamp);
    const opened = noise.openInitiation(initiation, b);
    if (sent === null || opened === null) return false;
    if (noise.openTimestamp(initiation, opened.transcript, secret) === null) return false;
    if (!noise.writeResponse(response, opened, presharedKey, ephemeralB)) return false;
    const received = noise.openResponse(response, sent, a, ephemeralA, presharedKey);
    if (received === null) return false;
    return sameKeys(
      noise.deriveTransportKeys(received),
      noise.deriveTransportKeys(opened.transcript),
    );
  } finally {
    wipe(a.privateKey, b.privateKey, ephemeralA, ephemeralB, presharedKey, secret ?? ephemeralA);
  }
}

function sameKeys(a: TransportKeys, b: TransportKeys): boolean {
  const areSame = equalBytes(a.fromInitiator, 0, b.fromInitiator, 0, KEY_BYTES) &&
    equalBytes(a.fromResponder, 0, b.fromResponder, 0, KEY_BYTES);
  wipe(a.fromInitiator, a.fromResponder, b.fromInitiator, b.fromResponder);
  return areSame;
}
