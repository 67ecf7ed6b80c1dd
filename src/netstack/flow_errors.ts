/**
 * ICMP errors about datagrams that are gone already: a forwarder has carried them on, and somebody on
 * the way has said what became of them. A packet like the one that the peer has sent is made, to be
 * quoted: its headers name the flow, which is all that the peer looks at.
 */
import type { Slab } from "../memory/slab.ts";
import { ICMP_HEADER_BYTES, IcmpType, Icmpv6Type } from "../wire/icmp.ts";
import { IpProtocol } from "../wire/ip.ts";
import {
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE,
  setIpv4Checksum,
  writeIpv4Header,
} from "../wire/ipv4.ts";
import { IPV6_DESTINATION, IPV6_HEADER_BYTES, IPV6_SOURCE, writeIpv6Header } from "../wire/ipv6.ts";
import { UDP_HEADER_BYTES, writeUdpHeader } from "../wire/udp.ts";
import type { IpSender } from "./ip_output.ts";
import type { BlockPool } from "./link_endpoint.ts";

/** What was sent: from `remoteAddress`, the peer, to `localAddress`. */
export interface QuotedFlow {
  readonly localAddress: Uint8Array;
  readonly remoteAddress: Uint8Array;
}

/** What an error says; type and code are those of the flow's IP version. */
export interface FlowError {
  readonly type: number;
  readonly code: number;
  /** The word behind the checksum, such as an MTU. */
  readonly rest: number;
  /** Who says so; null for ourselves. */
  readonly from: Uint8Array | null;
}

const TRANSPORT_BYTES = Math.max(UDP_HEADER_BYTES, ICMP_HEADER_BYTES);

/** Sends such errors. */
export class FlowErrors {
  readonly #slab: Slab;
  readonly #pool: BlockPool;
  readonly #output: IpSender;

  constructor(slab: Slab, pool: BlockPool, output: IpSender) {
    this.#slab = slab;
    this.#pool = pool;
    this.#output = output;
  }

  /** About a datagram of a UDP flow with that many bytes of payload. */
  sendAboutUdp(
    flow: QuotedFlow & { readonly localPort: number; readonly remotePort: number },
    payloadBytes: number,
    error: FlowError,
  ): void {
    this.#send(flow, IpProtocol.Udp, error, (at) => {
      const { remotePort, localPort } = flow;
      writeUdpHeader(this.#slab.view, at, remotePort, localPort, UDP_HEADER_BYTES + payloadBytes);
    });
  }

  /** About an echo request. */
  sendAboutEcho(flow: QuotedFlow, identifier: number, sequence: number, error: FlowError): void {
    const isV4 = flow.localAddress.length === 4;
    this.#send(flow, isV4 ? IpProtocol.Icmp : IpProtocol.Icmpv6, error, (at) => {
      const { view } = this.#slab;
      view.setUint32(at, (isV4 ? IcmpType.EchoRequest : Icmpv6Type.EchoRequest) << 24);
      view.setUint16(at + 4, identifier);
      view.setUint16(at + 6, sequence);
    });
  }

  #send(
    { localAddress, remoteAddress }: QuotedFlow,
    protocol: number,
    { type, code, rest, from }: FlowError,
    writeTransport: (at: number) => void,
  ): void {
    const at = this.#pool.allocate(IPV6_HEADER_BYTES + TRANSPORT_BYTES);
    if (at === 0) return;
    const { u8, view } = this.#slab;
    const isV4 = localAddress.length === 4;
    const headerBytes = isV4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    const bytes = headerBytes + TRANSPORT_BYTES;
    if (isV4) writeIpv4Header(view, at, bytes, 0, 0, 0, 1, protocol);
    else writeIpv6Header(view, at, TRANSPORT_BYTES, 0, protocol, 1);
    u8.set(remoteAddress, at + (isV4 ? IPV4_SOURCE : IPV6_SOURCE));
    u8.set(localAddress, at + (isV4 ? IPV4_DESTINATION : IPV6_DESTINATION));
    if (isV4) setIpv4Checksum(view, at, IPV4_HEADER_BYTES);
    writeTransport(at + headerBytes);
    const { errors, nowMs } = this.#output;
    errors.send(at, bytes, type, code, rest, nowMs, from);
    this.#pool.free(at);
  }
}
