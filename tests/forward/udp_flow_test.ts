/** UDP flows of peers to services of the host. */
import { assert, assertEquals } from "@std/assert";
import { DropReason } from "../../src/base/drop_reason.ts";
import { Errno } from "../../src/base/errno.ts";
import { IcmpErrorKind } from "../../src/netstack/inbound.ts";
import { UdpVerdict } from "../../src/netstack/udp_socket.ts";
import type { LocalService } from "../../src/forward/local_services.ts";
import { Scene } from "./scene.ts";

const SECOND_MS = 1000;
const DNS: LocalService = {
  transport: "udp",
  firstPort: 53,
  lastPort: 54,
  host: Uint8Array.of(127, 0, 0, 53),
  port: 5353,
};

Deno.test("datagrams keep their bounds both ways", () => {
  const scene = new Scene([DNS]);
  assertEquals(scene.udp.receive({}, [1, 2]), null);
  scene.udp.receive({}, [3]);
  scene.udp.receive({}, [], [4]);
  const socket = scene.host.last;
  assertEquals(scene.host.sockets.length, 1);
  assertEquals(socket.datagramsWritten, [[1, 2], [3], [], [4]]);
  scene.host.giveDatagram(socket, [5, 6]);
  scene.host.giveDatagram(socket, []);
  scene.settle();
  const [peer] = scene.udp.sockets.values();
  assertEquals(peer.sent, [[5, 6], []]);
});

Deno.test("a run of datagrams that begins a flow is forwarded once, all of it", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({}, [1], [2], [3]);
  assertEquals(scene.host.last.datagramsWritten, [[1], [2], [3]]);
});

Deno.test("a run leaves in as few calls as there can be, its last datagram shorter or not", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({}, [0]);
  const socket = scene.host.last;
  const before = socket.writes;
  const run = Array.from({ length: 100 }, (_, i) => i === 99 ? [i] : [i, i]);
  scene.udp.receive({}, ...run);
  assertEquals(socket.datagramsWritten, [[0], ...run]);
  assertEquals(socket.writes - before, 2);
  const large = Array.from({ length: 60 }, () => new Array(1200).fill(7));
  scene.udp.receive({}, ...large);
  assertEquals(socket.datagramsWritten.length, 161);
  assertEquals(socket.writes - before, 4);
});

Deno.test("datagrams that the host has merged are told apart again", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({}, [0]);
  const socket = scene.host.last;
  socket.mergesDatagrams = true;
  const sent = [[1, 1], [2, 2], [3], [], [4, 4, 4], [5, 5, 5], [6]];
  for (const datagram of sent) scene.host.giveDatagram(socket, datagram);
  scene.settle();
  assertEquals([...scene.udp.sockets.values()][0].sent, sent);
  assert(socket.reads <= 5, `${socket.reads} reads`);
});

Deno.test("where runs are refused each datagram goes alone, and none is lost or doubled", () => {
  for (const errno of [Errno.EIO, Errno.EINVAL, Errno.EMSGSIZE]) {
    const scene = new Scene([DNS]);
    scene.udp.receive({}, [0]);
    scene.host.last.runError = -errno;
    scene.udp.receive({}, [1], [2], [3]);
    scene.host.last.runError = 0;
    scene.udp.receive({}, [4], [5]);
    assertEquals(scene.host.last.datagramsWritten, [[0], [1], [2], [3], [4], [5]]);
  }
});

Deno.test("a full socket costs the run that finds it full", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({}, [0]);
  scene.host.last.room = 0;
  scene.udp.receive({}, [1], [2], [3]);
  assertEquals(scene.drops.get(DropReason.HostSocketFull), 3);
  scene.host.last.room = Infinity;
  scene.udp.receive({}, [4], [5]);
  assertEquals(scene.host.last.datagramsWritten, [[0], [4], [5]]);
});

Deno.test("several flows from one port are kept apart", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({ localPort: 53 }, [1]);
  const first = scene.host.last;
  scene.udp.receive({ localPort: 54 }, [2]);
  const second = scene.host.last;
  assertEquals([first.port, second.port], [5353, 5354]);
  scene.host.giveDatagram(second, [9]);
  scene.settle();
  assertEquals([...scene.udp.sockets.values()].map(({ sent }) => sent), [[], [[9]]]);
});

Deno.test("a port that is not offered, and one that the host refuses, are unreachable", () => {
  const scene = new Scene([DNS]);
  assertEquals(scene.udp.receive({ localPort: 99 }, [1]), UdpVerdict.Refuse);
  assertEquals(scene.drops.get(DropReason.NotOffered), 1);
  scene.host.deadPorts.add("4:5353");
  assertEquals(scene.udp.receive({}, [1]), UdpVerdict.Refuse);
  scene.assertEmpty();
});

Deno.test("a service that listens on one loopback address is found from the other family", () => {
  const scene = new Scene([{ ...DNS, host: null, port: 53 }]);
  scene.host.deadPorts.add("16:53");
  assertEquals(scene.udp.receive({ ipVersion: 6 }, [7]), null);
  assertEquals(scene.host.open.length, 1);
  assertEquals(scene.host.last.address.length, 4);
  assertEquals(scene.host.last.datagramsWritten, [[7]]);
});

Deno.test("a service that ends later is told at the next datagram", () => {
  for (const isRead of [true, false]) {
    const scene = new Scene([DNS]);
    scene.udp.receive({}, [1]);
    if (isRead) {
      scene.host.fail(scene.host.last, Errno.ECONNREFUSED);
      scene.settle();
    } else {
      scene.host.last.error = -Errno.ECONNREFUSED;
      scene.udp.receive({}, [2]);
    }
    scene.assertEmpty();
    assertEquals(scene.udp.sockets.size, 0);
    scene.host.deadPorts.add("4:5353");
    assertEquals(scene.udp.receive({}, [3]), UdpVerdict.Refuse);
  }
});

Deno.test("a full socket and a datagram too long cost that datagram only", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({}, [1]);
  for (const errno of [Errno.EAGAIN, Errno.EMSGSIZE, Errno.ENOBUFS]) {
    scene.host.last.error = -errno;
    scene.udp.receive({}, [2]);
  }
  scene.host.last.error = 0;
  scene.udp.receive({}, [3]);
  assertEquals(scene.host.last.datagramsWritten, [[1], [3]]);
  assertEquals(scene.drops.get(DropReason.HostSocketFull), 3);
});

Deno.test("the peer's port unreachable ends the flow", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({}, [1]);
  const [socket] = scene.udp.sockets.values();
  socket.handler.onError!(socket, IcmpErrorKind.TooBig, 1280);
  assertEquals(scene.forwarder.udp.flowCount, 1);
  socket.handler.onError!(socket, IcmpErrorKind.PortUnreachable, 0);
  scene.assertEmpty();
});

Deno.test("a question without more ends after half a minute, a conversation after two", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({ remotePort: 1 }, [1]);
  scene.udp.receive({ remotePort: 2 }, [1]);
  const conversation = scene.host.last;
  scene.host.giveDatagram(conversation, [2]);
  scene.settle();
  scene.udp.receive({ remotePort: 2 }, [3]);
  scene.pass(29 * SECOND_MS);
  assertEquals(scene.forwarder.udp.flowCount, 2);
  scene.pass(3 * SECOND_MS);
  assertEquals(scene.host.open, [conversation]);
  scene.pass(86 * SECOND_MS);
  scene.host.giveDatagram(conversation, [4]);
  scene.settle();
  scene.pass(119 * SECOND_MS);
  assertEquals(scene.host.open, [conversation]);
  scene.pass(3 * SECOND_MS);
  scene.assertEmpty();
  assertEquals(scene.forwarder.nextTimeoutMs(), Infinity);
});

Deno.test("a client with too many flows loses its oldest, others lose nothing", () => {
  const scene = new Scene([DNS], { udpFlowsPerClientMax: 3, udpFlowsMax: 5 });
  const hostile = Uint8Array.of(10, 9, 9, 9);
  scene.udp.receive({}, [1]);
  const other = scene.host.last;
  for (let i = 0; i < 3; i++) {
    scene.udp.receive({ remoteAddress: hostile, remotePort: 1000 + i }, [i]);
  }
  const [, oldest, second] = scene.host.sockets;
  scene.pass(2 * SECOND_MS);
  scene.udp.receive({ remoteAddress: hostile, remotePort: 1000 }, [9]);
  scene.udp.receive({ remoteAddress: hostile, remotePort: 2000 }, [1]);
  assertEquals([oldest.state, second.state, other.state], ["open", "closed", "open"]);
  assertEquals(scene.forwarder.udp.flowCount, 4);
  scene.udp.receive({ remotePort: 5 }, [1]);
  const late = { remoteAddress: Uint8Array.of(10, 9, 9, 7) };
  assertEquals(scene.udp.receive(late, [1]), null);
  assertEquals([scene.host.sockets[2].state, other.state], ["closed", "open"]);
  assertEquals(scene.forwarder.udp.flowCount, 5);
});

Deno.test("when descriptors have run out new flows are dropped and the others go on", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({}, [1]);
  scene.host.openErrors.push(-Errno.EMFILE);
  assertEquals(scene.udp.receive({ remotePort: 7 }, [1]), UdpVerdict.Drop);
  scene.udp.receive({}, [2]);
  assertEquals(scene.host.last.datagramsWritten, [[1], [2]]);
  assertEquals(scene.forwarder.flowCount, 1);
});

Deno.test("a host that sends without end leaves others their turn", () => {
  const scene = new Scene([DNS]);
  scene.udp.receive({ remotePort: 1 }, [1]);
  const greedy = scene.host.last;
  scene.udp.receive({ remotePort: 2 }, [1]);
  for (let i = 0; i < 1000; i++) scene.host.giveDatagram(greedy, [i & 255]);
  scene.host.giveDatagram(scene.host.last, [7]);
  assert(scene.turn());
  const [a, b] = scene.udp.sockets.values();
  assert(a.sent.length < 1000);
  assertEquals(b.sent, [[7]]);
  scene.settle();
  assertEquals(a.sent.length, 1000);
});
