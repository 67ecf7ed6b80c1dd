import { assert, assertEquals, assertThrows } from "@std/assert";
import { sleepBlocking } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { AF_INET, AF_INET6, getIntOption, SO_MARK, SOL_SOCKET } from "../../ffi/socket.ts";
import {
  EndpointRecord,
  openSiblingUdpSockets,
  openUdpSockets,
  UdpSocketPair,
} from "../../ffi/udp.ts";
import { closeUdpSockets } from "../../ffi/udp_open.ts";
import { Errno } from "../../src/base/errno.ts";
import type { UdpPort } from "../../src/lane/ports.ts";
import * as endpointTable from "../../src/tables/endpoint.ts";
import { requires } from "../requires.ts";
import { inFreshNamespace, ip } from "./namespace.ts";
import { CAPACITY, FAMILIES, Place, UdpFixture } from "./udp_fixture.ts";

const OPTIONS = { port: 0, bufferBytes: 1 << 18 };

Deno.test("the endpoint record has the layout of src/tables/endpoint.ts", () => {
  assertEquals(EndpointRecord.bytes, endpointTable.ENDPOINT_BYTES);
  assertEquals(EndpointRecord.sockaddrLength, endpointTable.ENDPOINT_SOCKADDR_LENGTH);
  assertEquals(EndpointRecord.sourceInterface, endpointTable.ENDPOINT_SOURCE_INTERFACE);
  assertEquals(EndpointRecord.sourceAddress, endpointTable.ENDPOINT_SOURCE_ADDRESS);
  assertEquals([AF_INET, AF_INET6], [endpointTable.AF_INET, endpointTable.AF_INET6]);
});

Deno.test("UdpSocketPair is a UdpPort", () => {
  using fixture = new UdpFixture();
  const port: UdpPort = fixture.a;
  assertEquals(port.receive(AF_INET, Place.received, CAPACITY, Place.endpointB), -Errno.EAGAIN);
});

for (const { family, name, loopback, payloadMax } of FAMILIES) {
  Deno.test(`${name}: a single datagram arrives with its sender and local address`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    // Whatever stood in the record before must not shine through.
    fixture.memory.u8.fill(0xff, Place.endpointB, Place.endpointB + 64);
    assertEquals(fixture.a.send(Place.sent, 148, 148, Place.endpointA, 0), 148);
    assertEquals(fixture.receiveAtB(family), 148);
    assertEquals(fixture.b.segmentBytes, 148);
    assertEquals(fixture.b.tos, 0);
    assertEquals(fixture.receivedBytes(148), fixture.sentBytes(148));

    const { u8, i32, view } = fixture.memory;
    const at = Place.endpointB;
    assertEquals(view.getUint16(at, true), family);
    assertEquals(view.getUint16(at + 2, false), fixture.socketsA.port);
    const addressAt = at + (family === AF_INET ? 4 : 8);
    assertEquals(u8.slice(addressAt, addressAt + loopback.length), loopback);
    assertEquals(i32[(at + 28) >> 2], family === AF_INET ? 16 : 28);
    assertEquals(i32[(at + 32) >> 2], 1, "the interface is lo");
    assertEquals(u8.slice(at + 36, at + 36 + loopback.length), loopback);
    const rest = [...u8.slice(at + 36 + loopback.length, at + 64)];
    if (family === AF_INET) rest.push(...u8.slice(at + 8, at + 28));
    assertEquals(rest.every((byte) => byte === 0), true);
  });

  Deno.test(`${name}: an answer to the received record arrives, from the address contacted`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    fixture.a.send(Place.sent, 32, 32, Place.endpointA, 0);
    fixture.receiveAtB(family);
    assertEquals(fixture.b.send(Place.sent, 64, 64, Place.endpointB, 0), 64);
    assertEquals(fixture.a.receive(family, Place.received, CAPACITY, Place.endpointA), 64);
  });

  Deno.test(`${name}: 45 segments of one send arrive in one read, with their length`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    const segmentBytes = 1452, length = 44 * segmentBytes + 100;
    assertEquals(fixture.a.send(Place.sent, length, segmentBytes, Place.endpointA, 0), length);
    assertEquals(fixture.receiveAtB(family), length);
    assertEquals(fixture.b.segmentBytes, segmentBytes);
    assertEquals(fixture.receivedBytes(length), fixture.sentBytes(length));
    assertEquals(fixture.memory.i32[(Place.endpointB + 32) >> 2], 1, "packet info is there too");
  });

  Deno.test(`${name}: without UDP_GRO every datagram of a send is read alone`, () => {
    using fixture = new UdpFixture({ gro: false });
    assertEquals(fixture.socketsB.gro, false);
    fixture.towardsB(family);
    assertEquals(fixture.a.send(Place.sent, 2500, 1000, Place.endpointA, 0), 2500);
    const lengths = [0, 0, 0].map(() => [fixture.receiveAtB(family), fixture.b.segmentBytes]);
    assertEquals(lengths, [[1000, 1000], [1000, 1000], [500, 500]]);
  });

  Deno.test(`${name}: all 256 TOS bytes, ECN among them, travel with their datagrams`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    for (let tos = 0; tos < 256; tos++) {
      assertEquals(fixture.a.send(Place.sent, 40, 40, Place.endpointA, tos), 40);
      assertEquals(fixture.receiveAtB(family), 40);
      assertEquals(fixture.b.tos, tos);
    }
  });

  Deno.test(`${name}: segments, source and TOS go together in one message`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    fixture.a.send(Place.sent, 32, 32, Place.endpointA, 0);
    fixture.receiveAtB(family);
    assertEquals(fixture.b.send(Place.sent, 5000, 1000, Place.endpointB, 2), 5000);
    assertEquals(fixture.a.receive(family, Place.received, CAPACITY, Place.endpointA), 5000);
    assertEquals([fixture.a.segmentBytes, fixture.a.tos], [1000, 2]);
  });

  Deno.test(`${name}: datagrams of different TOS are not coalesced into one read`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    for (const tos of [1, 2]) fixture.a.send(Place.sent, 100, 100, Place.endpointA, tos);
    const seen = [0, 0].map(() => [fixture.receiveAtB(family), fixture.b.tos]);
    assertEquals(seen, [[100, 1], [100, 2]]);
  });

  Deno.test(`${name}: the largest datagram arrives, one byte more is EMSGSIZE`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    const { a } = fixture;
    // Loopback's MTU of 65,536 holds a whole IPv4 datagram; the largest one of IPv6 is fragmented.
    const largest = family === AF_INET ? payloadMax : 65_527;
    assertEquals(a.send(Place.sent, largest, largest, Place.endpointA, 0), largest);
    assertEquals(fixture.receiveAtB(family), largest);
    const over = largest + 1;
    assertEquals(a.send(Place.sent, over, over, Place.endpointA, 0), -Errno.EMSGSIZE);
  });

  Deno.test(`${name}: more segments than the kernel takes are EINVAL, and nothing is sent`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    assertEquals(fixture.a.send(Place.sent, 64 * 8, 8, Place.endpointA, 0), 64 * 8);
    fixture.receiveAtB(family);
    assertEquals(fixture.a.send(Place.sent, 129 * 8, 8, Place.endpointA, 0), -Errno.EINVAL);
    const again = fixture.b.receive(family, Place.received, CAPACITY, Place.endpointB);
    assertEquals(again, -Errno.EAGAIN);
  });

  Deno.test(`${name}: segments larger than the path MTU are refused at once`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    const segmentBytes = family === AF_INET ? 65_520 : 65_500;
    const result = fixture.a.send(Place.sent, 65_530, segmentBytes, Place.endpointA, 0);
    assert(result === -Errno.EMSGSIZE || result === -Errno.EINVAL, `${result}`);
  });

  Deno.test(`${name}: a datagram tells for how long it has stood in the socket's queue`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    // The kernel begins to stamp datagrams some time after the first socket has asked for it.
    let queuedMs = 0;
    for (let tries = 0; queuedMs < 5 && tries < 1000; tries++) {
      fixture.a.send(Place.sent, 148, 148, Place.endpointA, 0);
      sleepBlocking(5);
      assertEquals(fixture.receiveAtB(family), 148);
      queuedMs = fixture.b.queuedMs;
    }
    assert(queuedMs >= 5 && queuedMs < 60_000, `${queuedMs} ms`);
  });

  Deno.test(`${name}: an empty datagram is received with length 0`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    assertEquals(fixture.a.send(Place.sent, 0, 0, Place.endpointA, 0), 0);
    assertEquals(fixture.receiveAtB(family), 0);
    assertEquals(fixture.b.segmentBytes, 0);
  });

  Deno.test(`${name}: a datagram longer than the capacity is cut, and the next one is whole`, () => {
    using fixture = new UdpFixture();
    fixture.towardsB(family);
    fixture.a.send(Place.sent, 2000, 2000, Place.endpointA, 0);
    fixture.a.send(Place.sent, 50, 50, Place.endpointA, 0);
    assertEquals(fixture.receiveAtB(family, 100), 100);
    assertEquals(fixture.receiveAtB(family, 100), 50);
  });

  Deno.test(`${name}: a closed port does not make later sends fail`, () => {
    using fixture = new UdpFixture();
    const gone = openUdpSockets(OPTIONS);
    closeUdpSockets(gone);
    fixture.setEndpoint(Place.endpointA, loopback, gone.port);
    for (let i = 0; i < 3; i++) {
      assertEquals(fixture.a.send(Place.sent, 10, 10, Place.endpointA, 0), 10);
    }
    const received = fixture.a.receive(family, Place.received, CAPACITY, Place.endpointB);
    assertEquals(received, -Errno.EAGAIN);
  });
}

Deno.test("one handle serves both families in turn, with the right address length each time", () => {
  using fixture = new UdpFixture();
  for (const family of [AF_INET6, AF_INET, AF_INET6, AF_INET]) {
    fixture.towardsB(family);
    assertEquals(fixture.a.send(Place.sent, 20, 20, Place.endpointA, 1), 20);
    assertEquals(fixture.receiveAtB(family), 20);
  }
});

Deno.test("a family without a socket answers EAFNOSUPPORT", () => {
  using fixture = new UdpFixture({ families: [AF_INET] });
  assertEquals(fixture.socketsA.v6, -1);
  fixture.towardsB(AF_INET6);
  assertEquals(fixture.a.send(Place.sent, 1, 1, Place.endpointA, 0), -Errno.EAFNOSUPPORT);
  const received = fixture.a.receive(AF_INET6, Place.received, 100, Place.endpointB);
  assertEquals(received, -Errno.EAFNOSUPPORT);
});

Deno.test("a second handle over the same sockets works beside the first", () => {
  using fixture = new UdpFixture();
  const second = new UdpSocketPair(fixture.memory, 156_000, fixture.socketsA);
  fixture.towardsB(AF_INET);
  assertEquals(fixture.a.send(Place.sent, 10, 10, Place.endpointA, 0), 10);
  assertEquals(second.send(Place.sent, 11, 11, Place.endpointA, 0), 11);
  assertEquals([fixture.receiveAtB(AF_INET), fixture.receiveAtB(AF_INET)], [10, 11]);
});

Deno.test("useSockets() goes on with the sockets of another port", () => {
  using fixture = new UdpFixture();
  const moved = openUdpSockets(OPTIONS);
  fixture.a.useSockets(moved);
  fixture.towardsB(AF_INET);
  fixture.a.send(Place.sent, 10, 10, Place.endpointA, 0);
  fixture.receiveAtB(AF_INET);
  assertEquals(fixture.memory.view.getUint16(Place.endpointB + 2, false), moved.port);
  closeUdpSockets(moved);
});

Deno.test("port 0 gives both families the same port, again and again", () => {
  for (let i = 0; i < 20; i++) {
    const sockets = openUdpSockets(OPTIONS);
    assert(sockets.v4 >= 0 && sockets.v6 >= 0 && sockets.port > 0);
    closeUdpSockets(sockets);
  }
});

Deno.test("a second program on the same port fails with a clear error and leaks nothing", () => {
  const first = openUdpSockets(OPTIONS);
  const second = { ...OPTIONS, port: first.port };
  const error = assertThrows(() => openUdpSockets(second), SystemCallError) as SystemCallError;
  assertEquals(error.errno, Errno.EADDRINUSE);
  assert(error.message.includes(`port ${first.port} is in use`), error.message);
  // Not even once the first has let its own lanes share the port.
  const sibling = openSiblingUdpSockets(first, OPTIONS);
  assertEquals(sibling.port, first.port);
  assertThrows(() => openUdpSockets(second), SystemCallError);
  closeUdpSockets(sibling);
  closeUdpSockets(first);
  const next = openUdpSockets({ ...OPTIONS, port: first.port });
  assertEquals(next.port, first.port);
  closeUdpSockets(next);
});

Deno.test({
  name: "the firewall mark is set on both sockets",
  ...requires("root"),
  fn() {
    const sockets = openUdpSockets({ ...OPTIONS, fwmark: 0xca6c });
    assertEquals(getIntOption(sockets.v4, SOL_SOCKET, SO_MARK), 0xca6c);
    assertEquals(getIntOption(sockets.v6, SOL_SOCKET, SO_MARK), 0xca6c);
    closeUdpSockets(sockets);
  },
});

for (const { family, name } of FAMILIES) {
  const errno = family === AF_INET ? Errno.ENETUNREACH : Errno.EINVAL;
  Deno.test({
    name: `${name}: a source address that was removed fails with errno ${errno}, without it works`,
    ...requires("root", "ip"),
    fn() {
      inFreshNamespace(() => {
        const address = family === AF_INET ? [10, 9, 0, 2] : [0xfd, ...new Array(14).fill(0), 2];
        const text = family === AF_INET ? "10.9.0.2/32" : "fd00::2/128";
        ip("addr", "add", text, "dev", "lo", ...(family === AF_INET ? [] : ["nodad"]));
        using fixture = new UdpFixture();
        const { i32, u8 } = fixture.memory;
        fixture.towardsB(family);
        u8.set(address, Place.endpointA + EndpointRecord.sourceAddress);
        i32[(Place.endpointA + EndpointRecord.sourceInterface) >> 2] = 1;
        assertEquals(fixture.a.send(Place.sent, 10, 10, Place.endpointA, 0), 10);
        assertEquals(fixture.receiveAtB(family), 10);
        ip("addr", "del", text, "dev", "lo");
        fixture.towardsB(family);
        u8.set(address, Place.endpointA + EndpointRecord.sourceAddress);
        assertEquals(fixture.a.send(Place.sent, 10, 10, Place.endpointA, 0), -errno);
        u8.fill(0, Place.endpointA + EndpointRecord.sourceInterface, Place.endpointA + 64);
        assertEquals(fixture.a.send(Place.sent, 10, 10, Place.endpointA, 0), 10);
      });
    },
  });
}

Deno.test({
  name: "without a route a send fails with ENETUNREACH, and with one it works again",
  ...requires("root", "ip"),
  fn() {
    inFreshNamespace(() => {
      using fixture = new UdpFixture();
      fixture.setEndpoint(Place.endpointA, new Uint8Array([192, 0, 2, 1]), 9);
      const { a } = fixture;
      assertEquals(a.send(Place.sent, 10, 10, Place.endpointA, 0), -Errno.ENETUNREACH);
      ip("link", "add", "d0", "type", "veth", "peer", "name", "d1");
      ip("link", "set", "d0", "up");
      ip("link", "set", "d1", "up");
      ip("route", "add", "192.0.2.0/24", "dev", "d0");
      assertEquals(a.send(Place.sent, 10, 10, Place.endpointA, 0), 10);
    });
  },
});
