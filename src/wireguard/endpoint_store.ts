/** Main's access to the endpoints in the peer table, which the lanes write as well. */
import type { Slab } from "../memory/slab.ts";
import {
  ENDPOINT_BYTES,
  ENDPOINT_SOCKADDR_LENGTH,
  ENDPOINT_SOURCE,
  type EndpointBytes,
  endpointsEqual,
} from "../tables/endpoint.ts";
import type { PeerTable } from "../tables/peer_table.ts";

/** Reads and writes whole endpoint records through a scratch place in the slab. */
export class EndpointStore {
  readonly #slab: Slab;
  readonly #peers: PeerTable;
  readonly #scratchAt: number;

  /** `scratchAt` is a place of 64 bytes that nobody else uses. */
  constructor(slab: Slab, peers: PeerTable, scratchAt: number) {
    this.#slab = slab;
    this.#peers = peers;
    this.#scratchAt = scratchAt;
  }

  /** Whether the peer's endpoint is known. */
  has(peer: number): boolean {
    const at = this.#peers.endpointAt(peer) + ENDPOINT_SOCKADDR_LENGTH;
    return this.#slab.u32[at >> 2] !== 0;
  }

  /** A copy of the peer's endpoint record. */
  read(peer: number): EndpointBytes {
    this.#peers.readEndpoint(peer, this.#scratchAt);
    return this.#slab.u8.slice(this.#scratchAt, this.#scratchAt + ENDPOINT_BYTES);
  }

  /** Makes `record` the peer's endpoint. */
  write(peer: number, record: EndpointBytes): void {
    this.#slab.u8.set(record, this.#scratchAt);
    if (endpointsEqual(this.#slab, this.#peers.endpointAt(peer), this.#scratchAt)) return;
    // A lane holds the lock for as long as it takes to copy 64 bytes.
    while (!this.#peers.tryWriteEndpoint(peer, this.#scratchAt));
  }

  /** Forgets which local address the last datagram was sent to, so that the kernel chooses. */
  forgetSource(peer: number): void {
    const peers = this.#peers;
    const from = this.#scratchAt + ENDPOINT_SOURCE, to = this.#scratchAt + ENDPOINT_BYTES;
    let version: number;
    do {
      version = peers.readEndpoint(peer, this.#scratchAt);
      if (this.#slab.u8.subarray(from, to).every((byte) => byte === 0)) return;
      this.#slab.u8.fill(0, from, to);
    } while (!peers.tryWriteEndpoint(peer, this.#scratchAt, version));
  }
}
