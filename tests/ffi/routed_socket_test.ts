/** Sockets that carry on what a peer has sent, over loopback and in a namespace of their own. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { assert, assertEquals } from "@std/assert";
import { HOST_SOCKET_SCRATCH_BYTES, HostSocketSet } from "../../ffi/host_socket.ts";
import { createFfiMemory } from "../../ffi/memory.ts";
import { Errno } from "../../src/base/errno.ts";
import { HostError } from "../../src/forward/host_sockets.ts";
import { Pieces } from "../../src/netstack/inbound.ts";
import { waitFor } from "../netns/command.ts";

const V4 = Uint8Array.of(127, 0, 0, 1);
const V6 = Uint8Array.from({ length: 16 }, (_, i) => i === 15 ? 1 : 0);
const DATA = 8192;
const READ = 1 << 20;
const WAIT_MS = 5000;

function makeSet() {
  const memory = createFfiMemory(4 * 1024 * 1024);
  assert(HOST_SOCKET_SCRATCH_BYTES <= DATA);
  return { memory, sockets: new HostSocketSet(memory, 0) };
}

for (const [name, address, type] of [["IPv4", V4, "udp4"], ["IPv6", V6, "udp6"]] as const) {
  Deno.test(`a run of datagrams leaves and comes in one call each over ${name}`, async () => {
    const { memory, sockets } = makeSet();
    const peer = createSocket(type);
    peer.bind(0, type === "udp4" ? "127.0.0.1" : "::1");
    await once(peer, "listening");
    const { port } = peer.address();
    const got: number[][] = [];
    let from = 0;
    peer.on("message", (data: Uint8Array, sender: { port: number }) => {
      got.push([...data]);
      from = sender.port;
    });
    const sender = sockets.connectRouted(address, port, 1, 0);
    assert(sender >= 0, `${sender}`);
    const pieces = new Pieces();
    const sent = Array.from({ length: 50 }, (_, i) => new Array(i === 49 ? 5 : 700).fill(i));
    sent.forEach((data, i) => {
      memory.u8.set(data, DATA + i * 800);
      pieces.add(DATA + i * 800, data.length);
    });
    assertEquals(sockets.writeRun(sender, pieces, 0, 50, 700), 49 * 700 + 5);
    await waitFor("all have come", WAIT_MS, () => got.length === 50);
    assertEquals(got, sent);
    assertEquals(from, sockets.localPort(sender));
    // A second socket at the same port speaks with somebody else: the first one's own sender.
    const other = createSocket(type);
    other.bind(0, type === "udp4" ? "127.0.0.1" : "::1");
    await once(other, "listening");
    const second = sockets.connectRouted(address, other.address().port, 2, from);
    assertEquals(sockets.localPort(second), from);
    // What a run becomes on its way to a socket that takes runs.
    const receiver = sockets.connectRouted(address, from, 3, 0);
    const receiverPort = sockets.localPort(receiver);
    const third = sockets.connectRouted(address, receiverPort, 4, from);
    assertEquals(sockets.writeRun(third, pieces, 0, 40, 700), 28_000);
    let reads = 0;
    const lengths: number[] = [];
    await waitFor("the run is read", WAIT_MS, () => {
      const bytes = sockets.readRun(receiver, READ, 65_535);
      if (bytes < 0) return false;
      reads++;
      for (let left = bytes; left > 0; left -= sockets.segmentBytes) {
        lengths.push(Math.min(left, sockets.segmentBytes));
      }
      return lengths.length >= 40;
    });
    assertEquals(lengths, new Array(40).fill(700));
    assert(reads < 40, "the kernel merges what it has not cut");
    for (const fd of [sender, second, receiver, third]) sockets.close(fd);
    peer.close();
    other.close();
    sockets.dispose();
  });

  Deno.test(`an ICMP error is told with who has sent it over ${name}`, async () => {
    const { memory, sockets } = makeSet();
    // A port that nobody has.
    const probe = createSocket(type);
    probe.bind(0, type === "udp4" ? "127.0.0.1" : "::1");
    await once(probe, "listening");
    const { port } = probe.address();
    probe.close();
    await once(probe, "close");
    const fd = sockets.connectRouted(address, port, 1, 0);
    const error = new HostError();
    assert(!sockets.readError(fd, error));
    memory.u8.set([1, 2, 3], DATA);
    assertEquals(sockets.write(fd, DATA, 3), 3);
    await waitFor("the error has come", WAIT_MS, () => sockets.readError(fd, error));
    assert(error.isIcmp);
    assertEquals(error.errno, Errno.ECONNREFUSED);
    assertEquals([error.type, error.code], type === "udp4" ? [3, 3] : [1, 4]);
    assertEquals(error.from, address);
    sockets.close(fd);
    sockets.dispose();
  });

  Deno.test(`this host's own addresses are told from others over ${name}`, () => {
    const { sockets } = makeSet();
    assert(sockets.isOwnAddress(address));
    const other = address.slice();
    // 192.0.2.1 and 2001:db8::1 are nobody's.
    other.set(type === "udp4" ? [192, 0, 2, 1] : [0x20, 1, 0x0d, 0xb8]);
    assert(!sockets.isOwnAddress(other));
    sockets.dispose();
  });
}
