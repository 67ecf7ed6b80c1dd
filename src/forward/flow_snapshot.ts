/**
 * A snapshot of the forwarded flows of a lane, for status: the lane writes it into shared memory when
 * main has asked for it, main reads it afterwards. Nobody keeps it up to date.
 *
 * ```
 * header   i32 number of records, i32 flows that found no room, 56 bytes zero
 * record   u8 kind, u8 IP version, u8 state, u8 IP version of the target (0: none yet)
 *          u16 client port (of echo: identifier), u16 destination port, f64 age in ms,
 *          f64 bytes to the host, f64 bytes to the peer,
 *          16 bytes client, 16 bytes destination, 16 bytes target, u16 target port, 14 zero
 * ```
 */
import type { Slab } from "../memory/slab.ts";

/** What a flow is made of. */
export const FlowKind = { Tcp: 0, Udp: 1, Echo: 2 } as const;
/** One of the values of `FlowKind`. */
export type FlowKind = (typeof FlowKind)[keyof typeof FlowKind];

/** How far a flow is. */
export const FlowState = {
  /** The host is being connected to. */
  Dialling: 0,
  /** The peer's handshake is not complete. */
  Opening: 1,
  Open: 2,
  /** The host has ended its direction, or the peer has; the other one is open. */
  HostEnded: 3,
  PeerEnded: 4,
  /** Both have, and not everything is acknowledged. */
  Ending: 5,
} as const;
/** One of the values of `FlowState`. */
export type FlowState = (typeof FlowState)[keyof typeof FlowState];

/** A flow as a snapshot has it. */
export interface FlowFacts {
  readonly kind: FlowKind;
  readonly state: FlowState;
  readonly client: Uint8Array;
  /** Of an echo flow the identifier. */
  readonly clientPort: number;
  /** What the peer has addressed. */
  readonly destination: Uint8Array;
  readonly destinationPort: number;
  /** Where that leads; null while it is not known. */
  readonly target: { readonly address: Uint8Array; readonly port: number } | null;
  readonly ageMs: number;
  readonly toHostBytes: number;
  readonly toPeerBytes: number;
}

/** What main reads. */
export interface FlowSnapshot {
  readonly flows: readonly FlowFacts[];
  /** Flows that found no room. */
  readonly missing: number;
}

const HEADER_BYTES = 64;
const RECORD_BYTES = 96;
/** Flows that a snapshot has room for. */
export const SNAPSHOT_FLOWS_MAX = 32_768;
/** Bytes of slab for a snapshot, at a multiple of 8. */
export const FLOW_SNAPSHOT_BYTES: number = HEADER_BYTES + SNAPSHOT_FLOWS_MAX * RECORD_BYTES;

// Places of the fields of a record.
const VERSION = 1;
const STATE = 2;
const TARGET_VERSION = 3;
const CLIENT_PORT = 4;
const DESTINATION_PORT = 6;
const AGE = 8;
const TO_HOST = 16;
const TO_PEER = 24;
const CLIENT = 32;
const DESTINATION = 48;
const TARGET = 64;
const TARGET_PORT = 80;

/** Lane: writes a snapshot at `at`; returns the bytes that it takes. */
export function writeFlowSnapshot(slab: Slab, at: number, flows: Iterable<FlowFacts>): number {
  let count = 0;
  let missing = 0;
  for (const flow of flows) {
    if (count < SNAPSHOT_FLOWS_MAX) {
      writeRecord(slab, at + HEADER_BYTES + count++ * RECORD_BYTES, flow);
    } else missing++;
  }
  slab.view.setInt32(at, count);
  slab.view.setInt32(at + 4, missing);
  return HEADER_BYTES + count * RECORD_BYTES;
}

function writeRecord({ view, u8 }: Slab, at: number, flow: FlowFacts): void {
  view.setUint8(at, flow.kind);
  view.setUint8(at + VERSION, versionOf(flow.client));
  view.setUint8(at + STATE, flow.state);
  view.setUint8(at + TARGET_VERSION, flow.target === null ? 0 : versionOf(flow.target.address));
  view.setUint16(at + CLIENT_PORT, flow.clientPort);
  view.setUint16(at + DESTINATION_PORT, flow.destinationPort);
  view.setFloat64(at + AGE, flow.ageMs);
  view.setFloat64(at + TO_HOST, flow.toHostBytes);
  view.setFloat64(at + TO_PEER, flow.toPeerBytes);
  u8.set(flow.client, at + CLIENT);
  u8.set(flow.destination, at + DESTINATION);
  view.setUint16(at + TARGET_PORT, flow.target?.port ?? 0);
  if (flow.target !== null) u8.set(flow.target.address, at + TARGET);
}

/** Main: the snapshot at `at`. */
export function readFlowSnapshot(slab: Slab, at: number): FlowSnapshot {
  const count = slab.view.getInt32(at);
  const flows = Array.from({ length: count }, (_, i) => {
    return readRecord(slab, at + HEADER_BYTES + i * RECORD_BYTES);
  });
  return { flows, missing: slab.view.getInt32(at + 4) };
}

function readRecord({ view, u8 }: Slab, at: number): FlowFacts {
  const address = (place: number, version: number) =>
    u8.slice(at + place, at + place + (version === 4 ? 4 : 16));
  const version = view.getUint8(at + VERSION);
  const targetVersion = view.getUint8(at + TARGET_VERSION);
  return {
    kind: view.getUint8(at) as FlowKind,
    state: view.getUint8(at + STATE) as FlowState,
    client: address(CLIENT, version),
    clientPort: view.getUint16(at + CLIENT_PORT),
    destination: address(DESTINATION, version),
    destinationPort: view.getUint16(at + DESTINATION_PORT),
    target: targetVersion === 0
      ? null
      : { address: address(TARGET, targetVersion), port: view.getUint16(at + TARGET_PORT) },
    ageMs: view.getFloat64(at + AGE),
    toHostBytes: view.getFloat64(at + TO_HOST),
    toPeerBytes: view.getFloat64(at + TO_PEER),
  };
}

function versionOf(address: Uint8Array): number {
  return address.length === 4 ? 4 : 6;
}
