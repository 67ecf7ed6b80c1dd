/**
 * The kernel as judge: packets are coalesced and written to one TUN, routed by the kernel to another,
 * read from there and split again. What comes out must be what went in, one hop later.
 */
import { assert, assertEquals } from "@std/assert";
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { setInterfaceUp } from "../../ffi/interface.ts";
import { FfiMemory } from "../../ffi/memory.ts";
import { openTun, type TunHandle, TunQueue } from "../../ffi/tun.ts";
import { instantiateKernels } from "../../src/kernels/kernels.ts";
import { createSlab } from "../../src/memory/slab.ts";
import { GroCoalescer } from "../../src/offload/gro_coalesce.ts";
import { segmentBytes, splitSegments } from "../../src/offload/gso_split.ts";
import { parseSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import { inFreshNamespace, ip } from "../ffi/namespace.ts";
import { internetChecksum } from "../reference/checksum_reference.ts";
import { requires } from "../requires.ts";
import { datagrams, segments } from "./coalesce_harness.ts";
import { ACK, FIN, PSH, TIMESTAMPS } from "./packet_builder.ts";

const needs = requires("root", "tun", "ip");
const IOVECS = 4096, READ = 1 << 17, OUT = 1 << 19, RECEIVED = 1 << 21;
const slab = createSlab(1 << 23);
const kernel = instantiateKernels(slab.memory);

/** A router between two TUNs; `action` gets a queue on each. */
function withRouter(action: (left: TunQueue, right: TunQueue, handle: TunHandle) => void): void {
  inFreshNamespace(() => {
    Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    const memory = new FfiMemory(slab);
    const handles = ["left", "right"].map((name) => openTun({ name }));
    try {
      for (const { name } of handles) setInterfaceUp(name, true);
      ip("route", "add", "10.0.0.0/8", "dev", "left");
      ip("route", "add", "192.168.0.0/16", "dev", "right");
      ip("-6", "route", "add", "fd00:1122::/32", "dev", "left");
      ip("-6", "route", "add", "fd00:aabb::/32", "dev", "right");
      const [left, right] = handles.map((handle) => new TunQueue(memory, handle.fd));
      action(left, right, handles[1]);
    } finally {
      for (const { fd } of handles) closeFd(fd);
    }
  });
}

/** Coalesces packets into `queue` and returns how many packets each write had. */
function writeCoalesced(queue: TunQueue, packets: Uint8Array[], udp = true): number[] {
  const options = { slabAddress: queue.memory.addressNumber };
  const coalescer = new GroCoalescer(slab, kernel, IOVECS, { ...options, tcp: true, udp });
  packets.forEach((packet, i) => {
    const at = RECEIVED + i * 2048;
    slab.u8.set(packet, at);
    coalescer.add(at, packet.length);
  });
  const counts: number[] = [];
  coalescer.flush({
    write(iovecAt, iovecCount, totalBytes) {
      assertEquals(queue.writev(iovecAt, iovecCount), totalBytes);
      counts.push(iovecCount);
    },
  });
  return counts;
}

/** Reads until `count` packets that are no ICMPv6 have come, and tells the GSO types seen. */
function readSplit(queue: TunQueue, count: number): { packets: Uint8Array[]; types: Set<number> } {
  const packets: Uint8Array[] = [];
  const types = new Set<number>();
  const sp = new SuperPacket();
  while (packets.length < count) {
    assert(pollFd(queue.fd, POLLIN, 2000) > 0, `${packets.length} of ${count} packets came`);
    const bytes = queue.read(READ, 66_000);
    assert(bytes > 0);
    assertEquals(parseSuperPacket(slab, READ, bytes, sp), 0);
    if (sp.protocol === 58 || sp.protocol === 0) continue;
    types.add(sp.gso.type);
    splitSegments(slab, kernel, sp, 0, sp.segmentCount, OUT, 2048);
    for (let i = 0; i < sp.segmentCount; i++) {
      packets.push(slab.u8.slice(OUT + i * 2048, OUT + i * 2048 + segmentBytes(sp, i)));
    }
  }
  return { packets, types };
}

/** The packet as a router passes it on. */
function oneHopLater(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  if (copy[0] >> 4 === 6) {
    copy[7]--;
    return copy;
  }
  copy[8]--;
  copy.fill(0, 10, 12);
  const checksum = internetChecksum(copy.subarray(0, 20));
  copy.set([checksum >> 8, checksum & 255], 10);
  return copy;
}

for (const version of [4, 6] as const) {
  Deno.test({
    name: `the kernel routes coalesced TCP, and what comes out is what went in: IPv${version}`,
    ...needs,
    fn: () =>
      withRouter((left, right, handle) => {
        const lengths = [...Array(44).fill(1368), 777];
        const flags = (i: number) => ({ flags: i === 44 ? ACK | PSH : ACK });
        const common = { version, tcpOptions: TIMESTAMPS, sequence: 0xffff0000 };
        const packets = segments(lengths, common, flags);
        packets.push(...segments([1], { ...common, sequence: 99, flags: ACK | FIN }));
        assertEquals(writeCoalesced(left, packets), [45, 1]);
        const { packets: out, types } = readSplit(right, packets.length);
        assertEquals(out, packets.map(oneHopLater));
        assertEquals(types.has(version === 4 ? 1 : 4), handle.tcpSegmentation);
      }),
  });

  Deno.test({
    name: `the kernel routes coalesced UDP, and what comes out is what went in: IPv${version}`,
    ...needs,
    fn: () =>
      withRouter((left, right, handle) => {
        // Older kernels know no UDP super-packets.
        const hasUso = handle.udpSegmentation;
        const packets = datagrams([...Array(30).fill(1200), 55, 1300, 1300], { version });
        const counts = writeCoalesced(left, packets, hasUso);
        assertEquals(counts, hasUso ? [31, 2] : Array(33).fill(1));
        const { packets: out, types } = readSplit(right, packets.length);
        assertEquals(out, packets.map(oneHopLater));
        assertEquals(types.has(5), hasUso);
      }),
  });
}
