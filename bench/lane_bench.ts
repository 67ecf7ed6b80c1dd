/**
 * A lane's own work on a bulk flow, both ways: from a read of the TUN to a send, from a receive to a
 * write, with ports that do nothing. `deno bench -A bench/lane_bench.ts`
 *
 * The cipher that only copies leaves what the loop, the tables, split and GRO cost; OpenSSL's beside
 * it says what share that is. The baseline moves the same bytes with one plain copy a packet.
 * One iteration handles 45 packets of 1,420 bytes, so divide by 45 for the cost per packet; one that
 * receives also copies them to where the kernel would.
 */
import { openLibcrypto } from "../ffi/libcrypto.ts";
import { Errno } from "../src/base/errno.ts";
import { SeededRandom } from "../src/base/random.ts";
import { ComposedPacketAead } from "../src/crypto/native_composed_aead.ts";
import type { PacketAead } from "../src/crypto/packet_aead.ts";
import { instantiateKernels, type Kernels } from "../src/kernels/kernels.ts";
import { Encryptor, InlineStage } from "../src/lane/encryptor.ts";
import { Lane, Ready } from "../src/lane/lane.ts";
import { DEFAULT_SESSION_LIMITS } from "../src/lane/limits.ts";
import type { TunPort, UdpPort } from "../src/lane/ports.ts";
import { LaneChannels, LaneWord, planShared, SharedTables } from "../src/lane/shared_state.ts";
import { Doorbell } from "../src/memory/doorbell.ts";
import { createSlab, type Slab } from "../src/memory/slab.ts";
import { AllowedIps } from "../src/tables/allowed_ips.ts";
import {
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_REPLAY,
  KeypairField,
  KeypairWord,
} from "../src/tables/keypair_table.ts";
import { PeerWord } from "../src/tables/peer_table.ts";
import { DATA_OVERHEAD_BYTES, DATA_PAYLOAD, writeDataHeader } from "../src/wire/wireguard.ts";
import { splitReference } from "../tests/reference/gso_split_reference.ts";
import { endpoint4 } from "../tests/lane/lane_fixture.ts";
import {
  buildSuperPacket,
  buildVnet,
  TIMESTAMPS,
  transportOffset,
} from "../tests/offload/packet_builder.ts";

const PACKETS = 45;
const MTU = 1420;
const HEADER_BYTES = 52;
const STRIDE = MTU + DATA_OVERHEAD_BYTES;
const NOW_MS = 1000;

const payload = new SeededRandom(1).fill(new Uint8Array(PACKETS * (MTU - HEADER_BYTES)));
const fields = { payload, tcpOptions: TIMESTAMPS };
const { vnet, packet } = buildSuperPacket(fields, MTU - HEADER_BYTES);
const segments = splitReference(packet, {
  isGso: true,
  needsCsum: true,
  csumStart: vnet.csumStart,
  csumOffset: vnet.csumOffset,
  gsoSize: MTU - HEADER_BYTES,
  protocol: 6,
  transport: transportOffset(fields),
});

/** Moves what a real one would encrypt or decrypt, and takes every message for authentic. */
class CopyingAead implements PacketAead {
  readonly name = "copy";
  readonly #kernels: Kernels;
  constructor(slab: Slab) {
    this.#kernels = instantiateKernels(slab.memory);
  }
  seal(): void {}
  open(_key: number, _counter: number, at: number, length: number, outAt: number): boolean {
    this.#kernels.copySum(outAt, at, length, 0);
    return true;
  }
  forgetKeys(): void {}
  close(): void {}
}

/** A TUN that gives the same super-packet whenever it is wanted. */
class RepeatingTun implements TunPort {
  wanted = 0;
  isFilled = false;
  written = 0;
  readonly #bytes = new Uint8Array([...buildVnet(vnet), ...packet]);
  constructor(readonly slab: Slab) {}
  read(at: number): number {
    if (this.wanted === 0) return -Errno.EAGAIN;
    this.wanted--;
    if (!this.isFilled) this.slab.u8.set(this.#bytes, at);
    this.isFilled = true;
    return this.#bytes.length;
  }
  writev(_iovecAt: number, count: number): number {
    this.written += count;
    return 1;
  }
}

/** A socket that gives the same sealed run whenever it is wanted; its window forgets it each time. */
class RepeatingUdp implements UdpPort {
  readonly segmentBytes = STRIDE;
  readonly tos = 0;
  readonly queuedMs = 0;
  wanted = 0;
  readonly #endpoint = endpoint4(1);
  readonly #kernels: Kernels;
  constructor(readonly slab: Slab, readonly runAt: number, readonly windowAt: number) {
    this.#kernels = instantiateKernels(slab.memory);
  }
  receive(_family: number, at: number, _capacity: number, endpointAt: number): number {
    if (this.wanted === 0) return -Errno.EAGAIN;
    this.wanted--;
    this.slab.u8.set(this.#endpoint, endpointAt);
    this.#kernels.copySum(at, this.runAt, PACKETS * STRIDE, 0);
    const { f64, i32 } = this.slab;
    f64[this.windowAt >> 3] = 0;
    // 45 counters stand in the first two words of the ring, which begins a cache line further.
    i32[(this.windowAt + 64) >> 2] = 0;
    i32[(this.windowAt + 68) >> 2] = 0;
    return PACKETS * STRIDE;
  }
  send(_at: number, length: number): number {
    return length;
  }
}

/** Writes a sealed run to `runAt`. */
function sealRun(slab: Slab, aead: PacketAead, index: number, keyAt: number, runAt: number): void {
  segments.forEach((bytes, i) => {
    const messageAt = runAt + i * STRIDE;
    writeDataHeader(slab.view, messageAt, index, i);
    slab.u8.set(bytes, messageAt + DATA_PAYLOAD);
    aead.seal(keyAt, i, messageAt + DATA_PAYLOAD, MTU);
  });
}

/** A lane with one peer, which owns everything, and one session. */
function makeBed(makeAead: (slab: Slab, scratchAt: number) => PacketAead) {
  const plan = planShared({
    lanes: 1,
    sealBatches: 8,
    openBatches: 4,
    peerCapacity: 8,
    prefixNodeCapacity: 64,
    indexSecret: 0,
  });
  const runAt = (plan.byteLength + 127) & ~63;
  const slab = createSlab(runAt + PACKETS * STRIDE + 512);
  const tables = new SharedTables(slab, plan);
  const channels = new LaneChannels(slab, plan, plan.lanes[0]);
  const { peers, keypairs } = tables;
  const allowedIps = new AllowedIps(slab, plan.allowedIpsAt, 64, tables.epochs);
  allowedIps.insert({ address: new Uint8Array(4), bits: 0 }, 0);
  allowedIps.commit();
  slab.u8.set(endpoint4(1), plan.mainScratchAt);
  peers.tryWriteEndpoint(0, plan.mainScratchAt);
  peers.setWord(0, PeerWord.Next, -1);
  peers.setWord(0, PeerWord.Previous, -1);
  peers.setWord(0, PeerWord.Current, 0);
  peers.setWord(0, PeerWord.InUse, 1);
  peers.setWord(0, PeerWord.Watch, 1);
  const index = keypairs.indexOf(0, 1, 0);
  keypairs.setField(0, KeypairField.CreatedMs, NOW_MS);
  keypairs.setWord(0, KeypairWord.ConfirmPosted, 1);
  keypairs.setWord(0, KeypairWord.LocalIndex, index);
  channels.setWord(LaneWord.Mtu, MTU);

  const aead = makeAead(slab, plan.lanes[0].aeadScratchAt);
  const tun = new RepeatingTun(slab);
  sealRun(slab, aead, index, keypairs.at(0) + KEYPAIR_RECEIVE_KEY, runAt);
  const udp = new RepeatingUdp(slab, runAt, keypairs.at(0) + KEYPAIR_REPLAY);
  const encryptor = new Encryptor(slab, channels.batches, keypairs, aead);
  const lane = new Lane({
    lane: 0,
    slab,
    plan,
    stage: new InlineStage(encryptor, plan.batchSlots + 1),
    kernel: instantiateKernels(slab.memory),
    limits: DEFAULT_SESSION_LIMITS,
    tun,
    udp,
    mainBell: new Doorbell(slab, plan.mainBellAt, null),
    slabAddress: 0,
    sendMessagesMax: 64,
    tunOffload: { tcp: true, udp: true },
  });
  return { lane, tun, udp };
}

const beds: Record<string, ReturnType<typeof makeBed>> = {
  "lane, no cipher": makeBed((slab) => new CopyingAead(slab)),
};
const { library } = openLibcrypto();
if (library !== null) {
  beds["lane, OpenSSL"] = makeBed((slab, scratchAt) =>
    new ComposedPacketAead(library, slab, instantiateKernels(slab.memory), scratchAt)
  );
}

const bytes = new Uint8Array(2 * PACKETS * STRIDE);
for (const group of ["send", "receive"]) {
  Deno.bench("one copy a packet", { group, baseline: true }, () => {
    for (let i = 0; i < PACKETS; i++) {
      bytes.copyWithin((PACKETS + i) * STRIDE, i * STRIDE, i * STRIDE + MTU);
    }
  });
}
for (const [name, { lane, tun, udp }] of Object.entries(beds)) {
  Deno.bench(name, { group: "send" }, () => {
    tun.wanted = 1;
    lane.ready |= Ready.Tun;
    lane.turn(NOW_MS);
  });
  Deno.bench(name, { group: "receive" }, () => {
    const before = tun.written;
    udp.wanted = 1;
    lane.ready |= Ready.Udp4;
    lane.turn(NOW_MS);
    if (tun.written !== before + PACKETS) throw new Error("packets were lost");
  });
}
