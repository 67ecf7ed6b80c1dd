/** UDP of the stack for tests of forwarding. */
import { assert } from "@std/assert";
import {
  UdpDatagram,
  type UdpFlow,
  type UdpForwarder,
  type UdpHandler,
  type UdpSocket,
  type UdpVerdict,
} from "../../src/netstack/udp_socket.ts";
import { type FakeHost, placeRuns } from "./fake_host.ts";

const UDP_FLOW: UdpFlow = {
  ipVersion: 4,
  localAddress: Uint8Array.of(10, 0, 0, 1),
  localPort: 53,
  remoteAddress: Uint8Array.of(10, 0, 0, 2),
  remotePort: 40_000,
};

/** The UDP layer of the stack: sockets of flows that the forwarder has taken. */
export class FakeUdp {
  readonly sockets = new Map<string, FakeUdpSocket>();
  readonly #datagram = new UdpDatagram();

  constructor(readonly host: FakeHost, readonly forwarder: () => UdpForwarder) {}

  /** A datagram of a peer; what became of it when it belonged to no flow. */
  receive(flow: Partial<UdpFlow>, ...payloads: number[][]): UdpVerdict | null {
    const whole = { ...UDP_FLOW, ...flow };
    const key = JSON.stringify([[...whole.remoteAddress], whole.remotePort, whole.localPort]);
    const datagram = this.#datagram;
    const runs = placeRuns(this.host.slab, payloads);
    datagram.at = runs.at[0];
    datagram.bytes = runs.bytes[0];
    let socket = this.sockets.get(key);
    if (socket === undefined) {
      const verdict = this.forwarder().onFlow(whole, datagram);
      if (typeof verdict !== "object") return verdict;
      socket = new FakeUdpSocket(this.host, verdict, whole, () => this.sockets.delete(key));
      this.sockets.set(key, socket);
    }
    if (payloads.length > 1) socket.handler.onRun!(socket, datagram, runs);
    else socket.handler.onDatagram(socket, datagram);
    return null;
  }
}

/** The stack's side of one UDP flow. */
export class FakeUdpSocket implements UdpSocket {
  context: unknown = null;
  isClosed = false;
  tos = 0;
  hopLimit = 64;
  /** Datagrams that went to the peer. */
  readonly sent: number[][] = [];
  readonly localAddress: Uint8Array;
  readonly localPort: number;

  constructor(
    readonly host: FakeHost,
    readonly handler: UdpHandler,
    readonly flow: UdpFlow,
    readonly onClose: () => void,
  ) {
    this.localAddress = flow.localAddress;
    this.localPort = flow.localPort;
  }

  send(at: number, bytes: number): boolean {
    assert(!this.isClosed, "sent over a closed socket");
    this.sent.push([...this.host.slab.u8.slice(at, at + bytes)]);
    return true;
  }

  sendTo(): boolean {
    throw new Error("a socket of a flow");
  }

  reply(): boolean {
    throw new Error("a socket of a flow");
  }

  sendBytesTo(): boolean {
    throw new Error("a socket of a flow");
  }

  close(): void {
    assert(!this.isClosed, "closed twice");
    this.isClosed = true;
    this.onClose();
  }
}
