/** A subnet router on a real stack: raw packets of peers in front, a faked host behind. */
import { assertEquals } from "@std/assert";
import { DEFAULT_FORWARD_LIMITS, type ForwardLimits } from "../../src/forward/limits.ts";
import { LocalForwarder } from "../../src/forward/local_forwarder.ts";
import type { Reachable } from "../../src/forward/flow_targets.ts";
import {
  address,
  addressText,
  icmp4,
  icmp6,
  ip4,
  ip6,
  OWN4,
  OWN6,
  parse,
  type Parsed,
  PEER4,
  PEER6,
  udpPacket,
} from "../netstack/packets.ts";
import { StackScene } from "../netstack/stack_scene.ts";
import { FakeHost } from "./fake_host.ts";

const SYN = 2;
const RST = 4;

/** Everything, by both families. */
const EVERYTHING = [prefix("0.0.0.0/0"), prefix("::/0")];

/** A prefix from its text. */
export function prefix(text: string) {
  const [base, bits] = text.split("/");
  return { address: address(base), bits: Number(bits) };
}

/** See the module's text. */
export class ServeScene extends StackScene {
  readonly host: FakeHost;
  readonly forwarder: LocalForwarder;
  /** Allowed-IPs prefixes of peers, by the addresses that they hold: lengths. */
  readonly peerBits = new Map<string, number>();
  /** Peers by their addresses. */
  readonly peers = new Map<string, number>();

  constructor(reachable: Partial<Reachable> = {}, limits: Partial<ForwardLimits> = {}) {
    super();
    const { stack } = this;
    this.host = new FakeHost(this.slab);
    this.forwarder = new LocalForwarder({
      services: [],
      addresses: stack.addresses,
      served: EVERYTHING,
      ...reachable,
      host: this.host,
      time: stack,
      counters: this,
      datagramAt: this.pool.allocate(65_536),
      limits: { ...DEFAULT_FORWARD_LIMITS, ...limits },
      errors: stack.flowErrors,
      echo: { icmp: stack.icmp, u8: this.slab.u8, errors: stack.flowErrors },
      surroundings: {
        isOwnAddress: (own) => this.host.isOwnAddress(own),
        peerPrefixBits: (other) => this.peerBits.get(addressText(other)) ?? -1,
        peerOf: (other) => this.peers.get(addressText(other)) ?? -1,
      },
    });
    stack.tcp.forwarder = this.forwarder.tcp;
    stack.udp.forwarder = this.forwarder.udp;
    stack.icmp.forwarder = this.forwarder.echo;
    stack.acceptsAny = true;
    stack.destinations = this.forwarder.targets.policy;
  }

  /** This host has that address. */
  own(text: string): void {
    this.host.ownAddresses.add(String(address(text)));
  }

  /** Lets the forwarder and the stack do what they can; what they have sent. */
  settle(): Parsed[] {
    for (let i = 0; this.forwarder.turn(true); i++) {
      if (i > 1000) throw new Error("the forwarder does not come to rest");
    }
    this.stack.flush(this.nowMs);
    return this.sentParsed();
  }

  /** Lets time pass, with all that is due in it; what was sent. */
  pass(ms: number): Parsed[] {
    const sent: Parsed[] = [];
    const endMs = this.nowMs + ms;
    while (this.nowMs < endMs) {
      const dueMs = Math.min(this.stack.nextTimeoutMs(), this.forwarder.nextTimeoutMs(), endMs);
      this.advance(Math.max(0, dueMs - this.nowMs));
      this.forwarder.onTimeout(this.nowMs);
      sent.push(...this.settle());
    }
    return sent;
  }

  /** A peer's SYN to an address and port. */
  syn(to: string, port = 80, sourcePort = 40_000, from?: string, ttl = 64): Parsed[] {
    const isV6 = to.includes(":");
    const source = from ?? (isV6 ? PEER6 : PEER4);
    const segment = tcpHeader(source, to, [sourcePort, port], SYN);
    this.receive(
      isV6
        ? ip6({ source, destination: to, protocol: 6, hopLimit: ttl }, segment)
        : ip4({ source, destination: to, protocol: 6, ttl }, segment),
    );
    return this.settle();
  }

  /** A peer's datagram. */
  datagram(to: string, port = 53, payload: number[] = [1], sourcePort = 5000, ip = {}): Parsed[] {
    const source = to.includes(":") ? PEER6 : PEER4;
    this.receive(udpPacket({
      source,
      destination: to,
      destinationPort: port,
      sourcePort,
      payload: Uint8Array.from(payload),
    }, ip));
    return this.settle();
  }

  /** A peer's echo request. */
  echo(to: string, sequence = 1, ttl = 64, payload: number[] = [7, 8, 9], ip = {}): Parsed[] {
    const bytes = Uint8Array.from(payload);
    const rest = 0xbeef << 16 | sequence;
    this.receive(
      to.includes(":")
        ? ip6(
          { destination: to, protocol: 58, hopLimit: ttl, ...ip },
          icmp6(128, 0, rest, bytes, PEER6, to),
        )
        : ip4({ destination: to, protocol: 1, ttl, ...ip }, icmp4(8, 0, rest, bytes)),
    );
    return this.settle();
  }

  /** Fails unless nothing is left of any flow. */
  assertEmpty(): void {
    assertEquals(this.host.open.length, 0, "sockets are open");
    assertEquals(this.forwarder.flowCount, 0);
    assertEquals(this.stack.udp.flowCount, 0);
  }
}

/** The header of a TCP segment with its checksum. */
function tcpHeader(source: string, destination: string, ports: [number, number], flags: number) {
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  view.setUint16(0, ports[0]);
  view.setUint16(2, ports[1]);
  view.setUint32(4, 1000);
  header.set([0x50, flags, 0xff, 0xff], 12);
  const front = [...address(source), ...address(destination), 0, 6, 0, 20];
  view.setUint16(16, ~sumOf([...front, ...header]) & 0xffff);
  return header;
}

function sumOf(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** ICMP type and code of a packet; of TCP its flags. */
export function kindOf({ protocol, payload }: Parsed): string {
  if (protocol === 6) return (payload[13] & RST) !== 0 ? "RST" : "TCP";
  return protocol === 17 ? "UDP" : `${payload[0]}/${payload[1]}`;
}

/** What an ICMP error quotes: protocol, addresses and ports. */
export function quoteOf({ payload }: Parsed): string {
  const quoted = payload.slice(8);
  const isV4 = quoted[0] >> 4 === 4;
  const headerBytes = isV4 ? 20 : 40;
  const view = new DataView(quoted.buffer, headerBytes);
  const [source, destination] = isV4
    ? [quoted.slice(12, 16), quoted.slice(16, 20)]
    : [quoted.slice(8, 24), quoted.slice(24, 40)];
  return [
    quoted[isV4 ? 9 : 6],
    addressText(source),
    view.getUint16(0),
    addressText(destination),
    view.getUint16(2),
  ].join(" ");
}

export { OWN4, OWN6, parse, PEER4, PEER6 };
