/**
 * The one peer of a lane's rehearsal: the lane itself, by way of its own socket. Writes into the tables
 * what main writes for a real peer.
 */
import { systemClock } from "../../ffi/clock.ts";
import { systemRandom } from "../../ffi/random.ts";
import { internetAddress } from "../../ffi/socket.ts";
import { type SharedPlan, SharedTables } from "../lane/shared_state.ts";
import type { Slab } from "../memory/slab.ts";
import { AllowedIps } from "../tables/allowed_ips.ts";
import { ENDPOINT_BYTES, ENDPOINT_SOCKADDR_LENGTH } from "../tables/endpoint.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_SEND_KEY,
  KeypairField,
  type KeypairTable,
  KeypairWord,
} from "../tables/keypair_table.ts";
import { PeerField, type PeerTable, PeerWord } from "../tables/peer_table.ts";
import { REHEARSAL_PREFIXES } from "./rehearsal_packets.ts";
import { REHEARSAL_PREFIX_NODES } from "./rehearsal_plan.ts";

const LOCALHOST = new Uint8Array([127, 0, 0, 1]);
const KEY_BYTES = 32;
/** The peer's number. */
export const REHEARSAL_PEER = 0;
/** Sessions take these slots by turns: messages of the one before are still opened. */
const SLOTS = 2;

/** The peer; see the module's text. */
export class RehearsalPeer {
  /** Its endpoint record, without a source address, as main would write it. */
  readonly endpointAt: number;
  readonly #slab: Slab;
  readonly #peers: PeerTable;
  readonly #keypairs: KeypairTable;
  #sessions = 0;

  /** `endpointAt` is a place of ENDPOINT_BYTES; the peer is reached at `port` of this host. */
  constructor(slab: Slab, plan: SharedPlan, endpointAt: number, port: number) {
    const { peers, keypairs, epochs } = new SharedTables(slab, plan);
    this.#slab = slab;
    this.#peers = peers;
    this.#keypairs = keypairs;
    this.endpointAt = endpointAt;
    const allowedIps = new AllowedIps(slab, plan.allowedIpsAt, REHEARSAL_PREFIX_NODES, epochs);
    for (const prefix of REHEARSAL_PREFIXES) allowedIps.insert(prefix, REHEARSAL_PEER);
    allowedIps.commit();
    const address = internetAddress(LOCALHOST, port);
    slab.u8.fill(0, endpointAt, endpointAt + ENDPOINT_BYTES);
    slab.u8.set(address, endpointAt);
    slab.u32[(endpointAt + ENDPOINT_SOCKADDR_LENGTH) >> 2] = address.length;
    this.writeEndpoint();
    this.#setWord(PeerWord.Previous, -1);
    this.beginSession();
    this.confirmSession();
    this.ignoreTimers();
    this.#setWord(PeerWord.InUse, 1);
  }

  /** The keypair of the session that is current. */
  get keypair(): number {
    return (this.#sessions - 1) % SLOTS;
  }

  /** The receiver index of its messages. */
  get index(): number {
    return this.#keypairs.word(this.keypair, KeypairWord.LocalIndex);
  }

  /** As after a handshake, or a change of the configuration: the source address is to be learned. */
  writeEndpoint(): void {
    this.#peers.tryWriteEndpoint(REHEARSAL_PEER, this.endpointAt);
  }

  /** A new session, which no message has confirmed yet. */
  beginSession(): void {
    const slot = this.#sessions++ % SLOTS;
    const keypairs = this.#keypairs;
    keypairs.wipe(slot);
    const { u8 } = this.#slab;
    const key = systemRandom.fill(new Uint8Array(KEY_BYTES));
    u8.set(key, keypairs.at(slot) + KEYPAIR_SEND_KEY);
    u8.set(key, keypairs.at(slot) + KEYPAIR_RECEIVE_KEY);
    keypairs.setWord(slot, KeypairWord.Peer, REHEARSAL_PEER);
    keypairs.setWord(slot, KeypairWord.IsInitiator, 1);
    const index = keypairs.indexOf(slot, this.#sessions, 0);
    keypairs.setWord(slot, KeypairWord.RemoteIndex, index);
    keypairs.setWord(slot, KeypairWord.LocalIndex, index);
    this.setAge(0);
    this.#setWord(PeerWord.Current, slot);
    this.#setWord(PeerWord.Next, slot);
    this.#setWord(PeerWord.HandshakeWanted, 0);
  }

  /** The first message under the session has come. */
  confirmSession(): void {
    this.#setWord(PeerWord.Next, -1);
  }

  /** Takes the session away, or gives it back. */
  hasSession(has: boolean): void {
    this.#setWord(PeerWord.Current, has ? this.keypair : -1);
    this.#setWord(PeerWord.HandshakeWanted, 0);
  }

  /** Makes the session so old. */
  setAge(ageMs: number): void {
    this.#keypairs.setField(this.keypair, KeypairField.CreatedMs, systemClock.nowMs() - ageMs);
    this.#keypairs.setWord(this.keypair, KeypairWord.RekeyPosted, 0);
    this.#setWord(PeerWord.HandshakeWanted, 0);
  }

  /** Main is to be told when the peer's timers begin to run. */
  wantTimers(): void {
    this.#peers.setField(REHEARSAL_PEER, PeerField.UnansweredSinceMs, 0);
    this.#peers.setField(REHEARSAL_PEER, PeerField.UnacknowledgedSinceMs, 0);
    this.#setWord(PeerWord.Watch, 0);
  }

  ignoreTimers(): void {
    this.#setWord(PeerWord.Watch, 1);
  }

  #setWord(word: number, value: number): void {
    this.#peers.setWord(REHEARSAL_PEER, word, value);
  }
}
