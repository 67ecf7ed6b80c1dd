/**
 * What the kernel can do for UDP sockets, found by trying; and the steering of datagrams among the
 * sockets that share a port.
 */
import { orThrow, SystemCallError } from "./error.ts";
import { SockFilter, SockFprog } from "./layout.ts";
import { checked, libc } from "./libc.ts";
import { addressOfBytes, createFfiMemory, fixedBytes } from "./memory.ts";
import {
  AF_INET,
  getIntOption,
  setIntOption,
  SO_ATTACH_REUSEPORT_CBPF,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from "./socket.ts";
import {
  closeUdpSockets,
  EndpointRecord,
  openSiblingUdpSockets,
  openUdpSockets,
  UDP_SCRATCH_BYTES,
  type UdpOptions,
  UdpSocketPair,
  type UdpSockets,
} from "./udp.ts";

/** UDP_MAX_SEGMENTS of newer kernels, and that of all since 4.18. */
const SEGMENTS_WANTED = 128;
const SEGMENTS_EVERYWHERE = 64;

/** What `probeUdpOffload` finds. */
export interface UdpOffload {
  /** Datagrams that one send may be cut into: 128, 64, or 1 without UDP_SEGMENT. */
  readonly segmentsMax: number;
  /** Whether received datagrams can be coalesced. */
  readonly gro: boolean;
}

/** Tries on loopback, with sockets of its own, what the kernel takes. */
export function probeUdpOffload(): UdpOffload {
  const sockets = openUdpSockets({ port: 0, bufferBytes: 65_536, families: [AF_INET] });
  try {
    const gro = sockets.gro && getIntOption(sockets.v4, SOL_UDP, UDP_GRO) >= 0;
    if (setIntOption(sockets.v4, SOL_UDP, UDP_SEGMENT, 0) < 0) return { segmentsMax: 1, gro };
    const memory = createFfiMemory(UDP_SCRATCH_BYTES + EndpointRecord.bytes + SEGMENTS_WANTED);
    const endpointAt = UDP_SCRATCH_BYTES;
    memory.view.setUint16(endpointAt, AF_INET, true);
    memory.view.setUint16(endpointAt + 2, sockets.port, false);
    memory.u8.set([127, 0, 0, 1], endpointAt + 4);
    memory.i32[(endpointAt + EndpointRecord.sockaddrLength) >> 2] = 16;
    const pair = new UdpSocketPair(memory, 0, sockets);
    // Segments of one byte: the kernel counts them before it does anything else with them. In a
    // namespace without loopback the send fails earlier, and the number that all take is assumed.
    const dataAt = endpointAt + EndpointRecord.bytes;
    const result = pair.send(dataAt, SEGMENTS_WANTED, 1, endpointAt, 0);
    return { segmentsMax: result > 0 ? SEGMENTS_WANTED : SEGMENTS_EVERYWHERE, gro };
  } finally {
    closeUdpSockets(sockets);
  }
}

/**
 * Opens sockets on one port for `count` lanes, by the lane's number; where there are several, data
 * messages are steered among them. The port is bound alone before it is shared, so that a second
 * instance of this program fails. Throws SystemCallError, and leaves none open then.
 */
export function openUdpGroup(options: UdpOptions, count: number): UdpSockets[] {
  const first = openUdpSockets(options);
  const lanes = [first];
  try {
    while (lanes.length < count) lanes.push(openSiblingUdpSockets(first, options));
    if (count > 1) {
      for (const fd of [first.v4, first.v6]) if (fd >= 0) steerByReceiverIndex(fd, maskFor(count));
    }
    return lanes;
  } catch (error) {
    for (const sockets of lanes) closeUdpSockets(sockets);
    throw error;
  }
}

/** The smallest 2^n - 1 that has a place for each of `count` lanes. */
function maskFor(count: number): number {
  return (1 << (32 - Math.clz32(count - 1))) - 1;
}

/** Whether this kernel steers among sockets that share a port: found by trying. */
export function canSteerUdp(): boolean {
  try {
    const options = { port: 0, bufferBytes: 65_536, families: [AF_INET] };
    for (const sockets of openUdpGroup(options, 2)) closeUdpSockets(sockets);
    return true;
  } catch (error) {
    if (error instanceof SystemCallError) return false;
    throw error;
  }
}

// Classic BPF (include/uapi/linux/bpf_common.h): class | size or operation | mode.
const BPF_LD_B_ABS = 0x30;
const BPF_JMP_JEQ_K = 0x15;
const BPF_ALU_AND_K = 0x54;
const BPF_RET_K = 0x06;
const BPF_RET_A = 0x16;

/** Type of a WireGuard transport data message; its receiver index follows at byte 4. */
const MESSAGE_DATA = 4;
const MESSAGE_RECEIVER_AT = 4;

/**
 * Hands each data message to the socket whose place in the group (in the order of joining) is given
 * by the low bits of its receiver index, and all else to the first. A place that no socket has falls
 * to the kernel's own choice. `fd` is any socket of the group; `laneMask` is 2^n - 1, at most 255.
 */
function steerByReceiverIndex(fd: number, laneMask: number): void {
  const program = [
    [BPF_LD_B_ABS, 0, 0, 0],
    [BPF_JMP_JEQ_K, 0, 3, MESSAGE_DATA],
    [BPF_LD_B_ABS, 0, 0, MESSAGE_RECEIVER_AT],
    [BPF_ALU_AND_K, 0, 0, laneMask],
    [BPF_RET_A, 0, 0, 0],
    [BPF_RET_K, 0, 0, 0],
  ];
  // The structure and the array it points to share one buffer, which the call keeps reachable.
  const header = fixedBytes(SockFprog.bytes + program.length * SockFilter.bytes);
  const view = new DataView(header.buffer);
  view.setUint16(SockFprog.length, program.length, true);
  view.setBigUint64(SockFprog.filter, addressOfBytes(header) + BigInt(SockFprog.bytes), true);
  program.forEach(([code, jumpTrue, jumpFalse, k], i) => {
    const at = SockFprog.bytes + i * SockFilter.bytes;
    view.setUint16(at + SockFilter.code, code, true);
    view.setUint8(at + SockFilter.jt, jumpTrue);
    view.setUint8(at + SockFilter.jf, jumpFalse);
    view.setUint32(at + SockFilter.k, k, true);
  });
  const result = libc().setsockopt(
    fd,
    SOL_SOCKET,
    SO_ATTACH_REUSEPORT_CBPF,
    header,
    SockFprog.bytes,
  );
  orThrow(checked(result), "setsockopt(SO_ATTACH_REUSEPORT_CBPF)");
}
