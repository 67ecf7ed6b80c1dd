/**
 * What the scaling model rests on: times per packet of each stage, measured, and assumptions about
 * machines that were not at hand. Each has its source; nothing else in the model is a number of its
 * own.
 */

/** Payload of a packet of the measured stream: MTU 1,420 less IPv4, TCP and timestamps. */
export const PAYLOAD_BYTES = 1368;
/** Packets of a full send: 45 messages of 1,452 bytes fill 65,507. */
export const PACKETS_PER_BATCH = 45;

/** Nanoseconds of CPU per packet. */
export interface EndCosts {
  /** The lane before the cipher: the read and the split, or the receive and its sorting. */
  readonly beforeNs: number;
  /** Sealing or opening. */
  readonly cipherNs: number;
  /** The lane after the cipher: the send, or GRO and the write; what ACKs cost is in both. */
  readonly afterNs: number;
}

/** The costs of both directions. */
export interface MeasuredCosts {
  readonly send: EndCosts;
  readonly receive: EndCosts;
}

/**
 * Thread times (schedstat) of both ends of one TCP stream of iperf3, all of it on two cores of an
 * AMD EPYC; of each setting the run in which the fewest others ran. The lane's time before and after
 * the cipher is its whole time (887 and 876 ns beside encryptors), divided as a profile of the
 * prototype was: 155 to 217 sending, 68 to 322 receiving; the times of an inline lane (1,570 and
 * 1,589 ns) likewise, with 683 and 615 for the cipher.
 */
export const INLINE: MeasuredCosts = {
  send: { beforeNs: 231, cipherNs: 1016, afterNs: 323 },
  receive: { beforeNs: 108, cipherNs: 972, afterNs: 509 },
};
/** Means of one and two encryptors: one took 998 and 1,003 ns, two 1,057 and 1,078 together. */
export const BESIDE: MeasuredCosts = {
  send: { beforeNs: 370, cipherNs: 1028, afterNs: 517 },
  receive: { beforeNs: 153, cipherNs: 1040, afterNs: 723 },
};

/** iperf3 per packet: the client's time, which runs the kernel's TCP and the TUN; the server's. */
export const CLIENT_NS = 225;
export const SERVER_NS = 255;

/** A run that the model has to reproduce. */
export interface MeasuredRun {
  readonly encryptors: number;
  readonly gbit: number;
  /** Share of both cores that went to neither lanes, encryptors nor iperf3. */
  readonly otherShare: number;
}

/** The same runs as a whole. */
export const MEASURED_RUNS: readonly MeasuredRun[] = [
  { encryptors: 0, gbit: 4.12, otherShare: 0.24 },
  { encryptors: 1, gbit: 4.29, otherShare: 0.15 },
  { encryptors: 2, gbit: 4.17, otherShare: 0.17 },
  { encryptors: 3, gbit: 3.81, otherShare: 0.18 },
];

/**
 * From one thread's doorbell to the other's first instruction: the idle ping is 0.25 ms longer with
 * encryptors, for eight more hops. It is a virtual machine's; on metal it is a few microseconds.
 */
export const WAKE_NS = 28_000;
/** Segments of 64 KB that a stream keeps in flight, by iperf3's and the kernel's defaults: 3 MB. */
export const WINDOW_BATCHES = 48;

/**
 * Bytes that a stage moves for each byte that it carries, read and written: what the memory would
 * see if nothing stayed in a cache.
 */
export const BYTES_TOUCHED = {
  /** The kernel's copy to or from the TUN. */
  tun: 2,
  /** The split into the send layout with checksums, or GRO, which only reads. */
  split: 2,
  gro: 1,
  /** ChaCha20 reads and writes, Poly1305 reads. */
  cipher: 3,
  /** The kernel's copy to or from the socket. */
  socket: 2,
  /** What the network card reads or writes by itself. */
  card: 1,
} as const;

const { tun, split, gro, cipher, socket, card } = BYTES_TOUCHED;
export const TOUCHED_SENDING = tun + split + cipher + socket + card;
export const TOUCHED_RECEIVING = tun + gro + cipher + socket + card;
/**
 * What is left when a lane's buffers stay in the cache: the kernel's copies on their other side, and
 * the card.
 */
export const TOUCHED_CACHED = 3;

/** Machines that the model is asked about. */
export interface Machine {
  readonly name: string;
  readonly cores: number;
  /** Usable GB/s of the memory: three quarters of the sum of its channels. */
  readonly memoryGbPerS: number;
}

/**
 * The memory of the first one is what two threads read and wrote that copied buffers of 256 MB; that
 * of the others is what such machines are sold with.
 */
export const MACHINES: readonly Machine[] = [
  { name: "2 cores, as measured", cores: 2, memoryGbPerS: 30 },
  { name: "4 cores, 2 channels DDR4-3200", cores: 4, memoryGbPerS: 38 },
  { name: "16 cores, 8 channels DDR4-3200", cores: 16, memoryGbPerS: 153 },
  { name: "64 cores, 12 channels DDR5-4800", cores: 64, memoryGbPerS: 345 },
];

/** Bytes of a UDP socket's buffer. */
export const SOCKET_BUFFER_BYTES = 2 << 20;
/** Messages that a WireGuard peer's replay window spans. */
export const REPLAY_WINDOW = 8192;
