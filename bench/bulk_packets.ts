/**
 * 64 KB of a bulk TCP flow in a slab, in both forms: the super-packet that a TUN gives, and its packets
 * as they come out of messages of a peer.
 */
import { SeededRandom } from "../src/base/random.ts";
import type { Slab } from "../src/memory/slab.ts";
import type { GroCoalescer, GroSink } from "../src/offload/gro_coalesce.ts";
import {
  buildSuperPacket,
  buildVnet,
  TIMESTAMPS,
  transportOffset,
} from "../tests/offload/packet_builder.ts";
import { splitReference } from "../tests/reference/gso_split_reference.ts";

/** Packets that a super-packet is cut into, and the length of each. */
export const PACKETS = 45;
export const PACKET_BYTES = 1420;
export const HEADER_BYTES = 52;
export const GSO_SIZE = PACKET_BYTES - HEADER_BYTES;
/** Header, padded packet and tag of a WireGuard data message. */
export const STRIDE = 16 + 1424 + 16;

/** Bytes of a slab for all of it. */
export const BULK_SLAB_BYTES = 1 << 22;
export const IOVECS_AT = 4096;
/** Where the IP header of the super-packet stands, behind its virtio header. */
export const IN_AT = 1 << 16;
/** Where it is split to. Not a multiple of 4096 away: loads would wait for stores to such a place. */
export const OUT_AT = (1 << 20) + 1040;
/** Decrypted packets, and how far apart: packet, rounded up, and 64 bytes of headroom. */
export const RECEIVED_AT = 1 << 21;
export const RECEIVED_STRIDE = 1488;

/** The flow in one slab. */
export class BulkPackets {
  readonly packet: Uint8Array;
  /** How the reference cuts `packet`. */
  readonly cut;
  /** What `packet` is cut into. */
  readonly segments: Uint8Array[];
  /** Where the virtio header stands, and the bytes from there. */
  readonly vnetAt: number;
  readonly totalBytes: number;
  readonly #headers: Uint8Array;

  constructor(readonly slab: Slab) {
    const payload = new SeededRandom(1).fill(new Uint8Array(PACKETS * GSO_SIZE));
    const fields = { payload, tcpOptions: TIMESTAMPS };
    const { vnet, packet } = buildSuperPacket(fields, GSO_SIZE);
    const vnetBytes = buildVnet(vnet);
    this.packet = packet;
    this.vnetAt = IN_AT - vnetBytes.length;
    this.totalBytes = vnetBytes.length + packet.length;
    slab.u8.set(vnetBytes, this.vnetAt);
    slab.u8.set(packet, IN_AT);
    this.cut = {
      isGso: true,
      needsCsum: true,
      csumStart: vnet.csumStart,
      csumOffset: vnet.csumOffset,
      gsoSize: GSO_SIZE,
      protocol: 6,
      transport: transportOffset(fields),
    };
    this.segments = splitReference(packet, this.cut);
    this.segments.forEach((one, i) => slab.u8.set(one, RECEIVED_AT + i * RECEIVED_STRIDE));
    this.#headers = this.segments[0].slice(0, HEADER_BYTES);
  }

  /** Has the packets coalesced. */
  coalesce(coalescer: GroCoalescer, sink: GroSink): void {
    const headers = this.#headers;
    const { u8 } = this.slab;
    // The last round left its merged headers in the first packet.
    for (let i = 0; i < HEADER_BYTES; i++) u8[RECEIVED_AT + i] = headers[i];
    for (let i = 0; i < PACKETS; i++) {
      coalescer.add(RECEIVED_AT + i * RECEIVED_STRIDE, PACKET_BYTES);
    }
    coalescer.flush(sink);
  }
}
