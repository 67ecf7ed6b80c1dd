import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import {
  interfaceMtu,
  isInterfaceUp,
  setInterfaceMtu,
  setInterfaceUp,
} from "../../ffi/interface.ts";
import { VirtioNetHdr } from "../../ffi/layout.ts";
import { createFfiMemory } from "../../ffi/memory.ts";
import {
  adoptTun,
  openTun,
  openTunQueues,
  probeTun,
  type TunHandle,
  tunName,
  tunNamespace,
  type TunOptions,
  TunQueue,
  TunState,
} from "../../ffi/tun.ts";
import { GRO_DATAGRAMS_MAX } from "../../src/offload/gro_coalesce.ts";
import { Errno } from "../../src/base/errno.ts";
import type { TunPort } from "../../src/lane/ports.ts";
import { requires } from "../requires.ts";
import { inFreshNamespace, inNamespace, ip, openNamespaceOfThread } from "./namespace.ts";

const needs = requires("root", "tun", "ip");
const CAPACITY = 66_000;
const READ_AT = 1024, WRITE_AT = 70_000, IOVEC_AT = 64;
const HEADER = VirtioNetHdr.bytes;

/** A TUN with 10.7.0.1/24 that is up, in a namespace of its own, and a queue on it. */
function withTun(
  options: Partial<TunOptions>,
  action: (queue: TunQueue, handle: TunHandle) => void,
): void {
  inFreshNamespace(() => {
    // Else the kernel sends router solicitations of its own into the tunnel, at any time.
    Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    const handle = openTun({ name: "wg0", ...options });
    try {
      setInterfaceMtu(handle.name, 1420);
      setInterfaceUp(handle.name, true);
      ip("addr", "add", "10.7.0.1/24", "dev", handle.name);
      const memory = createFfiMemory(2 * CAPACITY + 8192);
      action(new TunQueue(memory, handle.fd, handle.vnetHeader), handle);
    } finally {
      closeFd(handle.fd);
    }
  });
}

/** Reads until an IPv4 packet comes, past router solicitations of the kernel's own. */
function readIpv4(queue: TunQueue): number {
  for (;;) {
    pollFd(queue.fd, POLLIN, 2000);
    const n = queue.read(READ_AT, CAPACITY);
    if (n < 0 || queue.memory.u8[READ_AT + HEADER] >> 4 === 4) return n;
  }
}

/** The internet checksum of some bytes, the plain way. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] << 8 | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/** An ICMP echo request from 10.7.0.2 to 10.7.0.1. */
function echoRequest(payloadBytes: number): Uint8Array {
  const packet = new Uint8Array(28 + payloadBytes);
  const view = new DataView(packet.buffer);
  packet.set([0x45, 0], 0);
  view.setUint16(2, packet.length);
  packet.set([64, 1], 8);
  packet.set([10, 7, 0, 2, 10, 7, 0, 1], 12);
  view.setUint16(10, checksum(packet.subarray(0, 20)));
  packet.set([8, 0, 0, 0, 1, 2, 3, 4], 20);
  for (let i = 28; i < packet.length; i++) packet[i] = i & 0xff;
  view.setUint16(22, checksum(packet.subarray(20)));
  return packet;
}

/** Writes a vnet header and a packet, cut into pieces of the given lengths, and returns the result. */
function write(queue: TunQueue, header: Uint8Array, packet: Uint8Array, cuts: number[]): number {
  const { memory } = queue;
  memory.u8.set(header, WRITE_AT);
  memory.u8.set(packet, WRITE_AT + HEADER);
  let at = WRITE_AT, left = HEADER + packet.length, count = 0;
  for (const length of [...cuts, left]) {
    const piece = Math.min(length, left);
    if (piece === 0) break;
    memory.writeIovec(IOVEC_AT + 16 * count++, at, piece);
    at += piece;
    left -= piece;
  }
  return queue.writev(IOVEC_AT, count);
}

const PLAIN = new Uint8Array(HEADER);

/** A vnet header. */
function vnet(fields: Partial<Record<keyof typeof VirtioNetHdr, number>>): Uint8Array {
  const bytes = new Uint8Array(HEADER);
  const view = new DataView(bytes.buffer);
  bytes[0] = fields.flags ?? 0;
  bytes[1] = fields.gsoType ?? 0;
  for (const name of ["hdrLen", "gsoSize", "csumStart", "csumOffset"] as const) {
    view.setUint16(VirtioNetHdr[name], fields[name] ?? 0, true);
  }
  return bytes;
}

for (const vnetHeader of [true, false]) {
  const kind = vnetHeader ? "with vnet headers" : "without vnet headers";
  for (const cuts of [[], [HEADER], [HEADER + 20, 8, 3]]) {
    Deno.test({
      name: `a TUN ${kind} answers an echo request written in ${cuts.length + 1} pieces`,
      ...needs,
      fn: () =>
        withTun({ vnetHeader }, (queue, handle) => {
          assertEquals(handle.vnetHeader, vnetHeader);
          const port: TunPort = queue;
          const request = echoRequest(100);
          for (let round = 0; round < 3; round++) {
            assertEquals(write(queue, PLAIN, request, cuts), HEADER + request.length);
            assertEquals(readIpv4(queue), HEADER + request.length);
            const u8 = queue.memory.u8;
            const at = READ_AT + HEADER;
            assertEquals(u8.slice(READ_AT, at), PLAIN);
            assertEquals(u8[at + 20], 0, "an echo reply");
            assertEquals(u8.slice(at + 28, at + 128), request.slice(28));
          }
          while (port.read(READ_AT, CAPACITY) >= 0);
          assertEquals(port.read(READ_AT, CAPACITY), -Errno.EAGAIN);
        }),
    });
  }
}

Deno.test({
  name: "the kernel hands over TCP super-packets with GSO, and single segments with offload off",
  ...needs,
  fn() {
    for (const tcpSegmentation of [true, false]) {
      withTun({ tcpSegmentation }, (queue, handle) => {
        assertEquals(handle.tcpSegmentation, tcpSegmentation);
        const sizes = largestTcpRead(queue);
        if (tcpSegmentation) {
          assert(sizes.bytes > 2000, `more than one segment: ${sizes.bytes}`);
          assertEquals(sizes.gsoType & 0x7f, 1);
          assertEquals(sizes.flags & 1, 1, "the checksum is partial");
        } else {
          assertEquals([sizes.bytes <= 1420 + HEADER, sizes.gsoType], [true, 0]);
        }
      });
    }
  },
});

/** Lets the kernel send TCP data into the tunnel by answering its SYN, and reads what comes. */
function largestTcpRead(queue: TunQueue): { bytes: number; gsoType: number; flags: number } {
  const program = "exec 3<>/dev/tcp/10.7.0.2/80; head -c 60000 /dev/zero >&3; sleep 0.2";
  const child = new Deno.Command("bash", { args: ["-c", program], stderr: "null" }).spawn();
  try {
    readIpv4(queue);
    const syn = queue.memory.u8.slice(READ_AT + HEADER, READ_AT + HEADER + 40);
    const synView = new DataView(syn.buffer);
    const answer = new Uint8Array(44);
    const view = new DataView(answer.buffer);
    answer.set([0x45, 0, 0, 44], 0);
    answer.set([64, 6], 8);
    answer.set([10, 7, 0, 2, 10, 7, 0, 1], 12);
    view.setUint16(10, checksum(answer.subarray(0, 20)));
    view.setUint16(20, 80);
    view.setUint16(22, synView.getUint16(20));
    view.setUint32(24, 1000);
    view.setUint32(28, (synView.getUint32(24) + 1) >>> 0);
    answer.set([0x60, 0x12, 0xff, 0xff], 32);
    answer.set([2, 4, 1380 >> 8, 1380 & 0xff], 40);
    const pseudo = new Uint8Array([...answer.slice(12, 20), 0, 6, 0, 24, ...answer.slice(20)]);
    view.setUint16(36, checksum(pseudo));
    write(queue, PLAIN, answer, []);
    let bytes = 0, gsoType = 0, flags = 0;
    for (let i = 0; i < 6; i++) {
      if (pollFd(queue.fd, POLLIN, 300) === 0) break;
      const n = queue.read(READ_AT, CAPACITY);
      if (n <= bytes) continue;
      bytes = n;
      flags = queue.memory.u8[READ_AT];
      gsoType = queue.memory.u8[READ_AT + 1];
    }
    return { bytes, gsoType, flags };
  } finally {
    child.kill("SIGKILL");
    child.unref();
  }
}

Deno.test({
  name: "UDP segmentation can be left off, and is on where the kernel has it",
  ...needs,
  fn() {
    withTun({ udpSegmentation: false }, (_, handle) => assertEquals(handle.udpSegmentation, false));
    const release = new TextDecoder().decode(
      new Deno.Command("uname", { args: ["-r"] })
        .outputSync().stdout,
    ).split(".").map(Number);
    const hasUso = release[0] > 6 || (release[0] === 6 && release[1] >= 2);
    withTun({}, (_, handle) => assertEquals(handle.udpSegmentation, hasUso));
  },
});

Deno.test({
  name: "bad vnet headers and IP versions are EINVAL, and the queue goes on",
  ...needs,
  fn: () =>
    withTun({}, (queue) => {
      const packet = echoRequest(2000);
      const bad: [string, Uint8Array, Uint8Array][] = [
        ["unknown gsoType", vnet({ gsoType: 9, hdrLen: 40, gsoSize: 1000 }), packet],
        [
          "gsoSize 0",
          vnet({ flags: 1, gsoType: 1, hdrLen: 40, csumStart: 20, csumOffset: 16 }),
          packet,
        ],
        ["csumStart behind the end", vnet({ flags: 1, csumStart: 9000, csumOffset: 16 }), packet],
        ["IP version 7", PLAIN, new Uint8Array(packet).fill(0x75, 0, 1)],
      ];
      for (const [what, header, bytes] of bad) {
        assertEquals(write(queue, header, bytes, []), -Errno.EINVAL, what);
        const good = echoRequest(8);
        assertEquals(write(queue, PLAIN, good, []), HEADER + good.length, what);
        assertEquals(readIpv4(queue), HEADER + good.length, what);
      }
    }),
});

Deno.test({
  name: "the kernel accepts TCP GSO without NEEDS_CSUM and 70,010 bytes: callers must check",
  ...needs,
  fn: () =>
    withTun({}, (queue) => {
      const packet = new Uint8Array(3000);
      packet.set(echoRequest(2972));
      packet[9] = 6;
      packet[32] = 0x50;
      const unchecked = vnet({ gsoType: 1, hdrLen: 40, gsoSize: 1380 });
      assertEquals(write(queue, unchecked, packet, []), HEADER + packet.length);
      const { memory } = queue;
      memory.u8.set(echoRequest(1000), WRITE_AT + HEADER);
      const long = 70_000;
      memory.writeIovec(IOVEC_AT, WRITE_AT, HEADER + 1000);
      memory.writeIovec(IOVEC_AT + 16, READ_AT, long - 1000);
      assertEquals(queue.writev(IOVEC_AT, 2), HEADER + long);
    }),
});

Deno.test({
  name:
    "the kernel takes as many datagrams in one write as the coalescer puts there, not any number",
  ...needs,
  fn: () =>
    withTun({}, (queue, handle) => {
      const writeUdp = (datagrams: number) => {
        const packet = new Uint8Array(28 + 100 * datagrams);
        packet.set(echoRequest(0));
        const view = new DataView(packet.buffer);
        view.setUint16(2, packet.length);
        packet[9] = 17;
        view.setUint16(10, 0);
        view.setUint16(10, checksum(packet.subarray(0, 20)));
        packet.set([0x30, 0x39, 0x30, 0x39], 20);
        view.setUint16(24, 8 + 100 * datagrams);
        const header = vnet({
          flags: 1,
          gsoType: 5,
          hdrLen: 28,
          gsoSize: 100,
          csumStart: 20,
          csumOffset: 6,
        });
        return write(queue, header, packet, []);
      };
      if (!handle.udpSegmentation) return;
      assertEquals(writeUdp(GRO_DATAGRAMS_MAX), HEADER + 28 + 100 * GRO_DATAGRAMS_MAX);
    }),
});

Deno.test({
  name: "a read into too small a buffer is EINVAL and loses that packet only",
  ...needs,
  fn: () =>
    withTun({}, (queue) => {
      while (queue.read(READ_AT, CAPACITY) >= 0);
      const request = echoRequest(500);
      write(queue, PLAIN, request, []);
      write(queue, PLAIN, echoRequest(20), []);
      pollFd(queue.fd, POLLIN, 2000);
      const first = queue.read(READ_AT, 9);
      assertEquals(first, -Errno.EINVAL);
      assertEquals(readIpv4(queue), HEADER + 48);
    }),
});

Deno.test({
  name: "probeTun() tells up, down and gone, and a write while down is EIO",
  ...needs,
  fn: () =>
    withTun({}, (queue, handle) => {
      assertEquals(probeTun(queue.fd), TunState.up);
      assertEquals(tunName(queue.fd), "wg0");
      setInterfaceUp("wg0", false);
      assertEquals(isInterfaceUp("wg0"), false);
      assertEquals(probeTun(queue.fd), TunState.down);
      assertEquals(write(queue, PLAIN, echoRequest(8), []), -Errno.EIO);
      setInterfaceUp("wg0", true);
      assertEquals(probeTun(queue.fd), TunState.up);
      ip("link", "delete", handle.name);
      assertEquals(probeTun(queue.fd), TunState.gone);
      assertEquals(queue.read(READ_AT, CAPACITY), -Errno.EBADFD);
      assertEquals(write(queue, PLAIN, echoRequest(8), []), -Errno.EBADFD);
      assertEquals(tunName(queue.fd), undefined);
    }),
});

Deno.test({
  name: "a TUN moved to another namespace goes on, and its namespace can be found",
  ...needs,
  fn() {
    inFreshNamespace(() => {
      const home = openNamespaceOfThread();
      inFreshNamespace(() => {
        const handle = openTun({ name: "wg0" });
        ip("link", "set", "wg0", "netns", `/proc/${Deno.pid}/fd/${home}`);
        const memory = createFfiMemory(2 * CAPACITY + 8192);
        const queue = new TunQueue(memory, handle.fd, handle.vnetHeader);
        assertEquals(probeTun(handle.fd), TunState.down);
        assertThrows(() => interfaceMtu("wg0"), SystemCallError, "ENODEV");
        const there = tunNamespace(handle.fd);
        assert(there >= 0, `${there}`);
        inNamespace(there, () => {
          setInterfaceMtu("wg0", 9000);
          setInterfaceUp("wg0", true);
          assertEquals(interfaceMtu("wg0"), 9000);
          ip("addr", "add", "10.7.0.1/24", "dev", "wg0");
        });
        assertEquals(probeTun(handle.fd), TunState.up);
        write(queue, PLAIN, echoRequest(64), []);
        assertEquals(readIpv4(queue), HEADER + 92);
        closeFd(there);
        closeFd(handle.fd);
      });
      closeFd(home);
    });
  },
});

Deno.test({
  name: "several queues of one interface need multiQueue; otherwise the second is EBUSY",
  ...needs,
  fn() {
    inFreshNamespace(() => {
      const first = openTun({ name: "wg%d", multiQueue: true });
      assertEquals(first.name, "wg0");
      const second = openTun({ name: "wg0", multiQueue: true });
      assertEquals([second.name, second.multiQueue], ["wg0", true]);
      closeFd(first.fd);
      assertEquals(probeTun(second.fd), TunState.down);
      closeFd(second.fd);
      const single = openTun({ name: "wg0" });
      const busy = assertThrows(() => openTun({ name: "wg0" }), SystemCallError);
      assertEquals((busy as SystemCallError).errno, Errno.EBUSY);
      assert((busy as SystemCallError).message.includes("in use by another program"));
      const other = assertThrows(() => openTun({ name: "lo" }), SystemCallError);
      assertEquals((other as SystemCallError).errno, Errno.EINVAL);
      closeFd(single.fd);
    });
  },
});

Deno.test({
  name: "openTunQueues() opens as many queues of one interface as asked for, or none",
  ...needs,
  fn() {
    inFreshNamespace(() => {
      const queues = openTunQueues({ name: "wg%d" }, 3);
      assertEquals([queues.name, queues.multiQueue, queues.fds.length], ["wg0", true, 3]);
      assertEquals(queues.fds.map(tunName), Array(3).fill("wg0"));
      queues.fds.forEach(closeFd);
      const single = openTunQueues({ name: "wg0" }, 1);
      assertEquals([single.multiQueue, single.fds], [false, [single.fd]]);
      assertThrows(() => openTunQueues({ name: "wg0" }, 2), SystemCallError);
      closeFd(single.fd);
    });
  },
});

Deno.test({
  name: "adoptTun() takes over a passed descriptor with its name and offloads",
  ...needs,
  fn() {
    for (const vnetHeader of [true, false]) {
      withTun({ vnetHeader }, (_, handle) => {
        const adopted = adoptTun(handle.fd);
        assertEquals(adopted, handle);
      });
    }
    const error = assertThrows(() => adoptTun(2), SystemCallError) as SystemCallError;
    assert(error.message.includes("is not an open TUN interface"), error.message);
  },
});

Deno.test("names that no interface can have are refused before the kernel is asked", () => {
  for (const name of ["", "sixteen-bytes-xx", "a/b", "a b", "a\0b"]) {
    assertThrows(() => interfaceMtu(name), TypeError, "interface name");
  }
});

Deno.test({
  name: "without CAP_NET_ADMIN opening a TUN fails with EPERM and offers the rootless mode",
  ...requires("root", "setpriv", "tun"),
  fn() {
    // As another user behind a /dev/net/tun that may be opened; the real one may be root's alone.
    const script = `
      import { openTun } from ${JSON.stringify(new URL("../../ffi/tun.ts", import.meta.url).href)};
      try { openTun({ name: "wg0" }); } catch (error) { console.log(error.errno, error.message); }
    `;
    const output = new Deno.Command("setpriv", {
      args: [
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
        Deno.execPath(),
        "eval",
        script,
      ],
    }).outputSync();
    const text = new TextDecoder().decode(output.stdout);
    assert(text.startsWith(`${Errno.EPERM} `), text + new TextDecoder().decode(output.stderr));
    assert(text.includes("rootless"), text);
  },
});

Deno.test({
  name: "without /dev/net/tun the error says how to get it, and offers the rootless mode",
  ...requires("root", "unshare", "mount"),
  fn() {
    const module = JSON.stringify(new URL("../../ffi/tun.ts", import.meta.url).href);
    const script = `
      import { openTun } from ${module};
      try { openTun({ name: "wg0" }); } catch (error) { console.log(error.message); }
    `;
    // An empty folder over /dev/net, for this program alone.
    const hide = 'mount -t tmpfs none /dev/net && exec "$@"';
    const output = new Deno.Command("unshare", {
      args: ["--mount", "sh", "-c", hide, "sh", Deno.execPath(), "eval", script],
    }).outputSync();
    const text = new TextDecoder().decode(output.stdout);
    assert(text.startsWith('open("/dev/net/tun"): ENOENT'), text);
    assert(text.includes("modprobe tun") && text.includes("rootless"), text);
  },
});
