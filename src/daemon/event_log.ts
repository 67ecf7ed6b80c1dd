/**
 * What the device tells of its handshakes, as log lines.
 *
 * A change of state is told once: a peer that connects, that falls silent, that is somewhere else.
 * What repeats is told a few times and then counted; the count is told when its window is over. So
 * neither a flood of garbage nor a peer that is away for a week fills a disk.
 */
import type { Log, LogFields } from "../base/log.ts";
import type { PeerNames } from "../control/peer_names.ts";
import { toHex } from "../wireguard/bytes.ts";
import { type DeviceEvent, DeviceEventCode, explainDeviceEvent } from "../wireguard/events.ts";

/** Lines per code within this time. */
const WINDOW_MS = 5000;
const LINES_PER_WINDOW = 5;
/** A peer that stays away is told of again after this time, with the number of tries. */
const AWAY_WINDOW_MS = 3_600_000;

/** Codes that belong to normal work. */
const QUIET: ReadonlySet<string> = new Set([
  DeviceEventCode.InitiationSent,
  DeviceEventCode.InitiationAnswered,
  DeviceEventCode.CookieAccepted,
  DeviceEventCode.NoReply,
  DeviceEventCode.StoppedHearing,
]);

interface Window {
  readonly startMs: number;
  readonly lengthMs: number;
  readonly what: string;
  readonly fields: LogFields;
  lines: number;
  suppressed: number;
}

/** Writes events to a log. */
export class EventLog {
  readonly #log: Log;
  readonly #names: PeerNames;
  readonly #windows = new Map<string, Window>();
  /** Peers with a session, by public key in hexadecimal. */
  readonly #connected = new Set<string>();

  constructor(log: Log, names: PeerNames) {
    this.#log = log;
    this.#names = names;
  }

  /** Writes one event, or counts it if there were too many like it. */
  write(event: DeviceEvent): void {
    switch (event.code) {
      case DeviceEventCode.SessionEstablished:
        return this.#onSession(event);
      case DeviceEventCode.GaveUp:
        return this.#onGaveUp(event);
      case DeviceEventCode.KeysZeroed:
        return this.#onKeysZeroed(event);
      case DeviceEventCode.PeerAdded:
      case DeviceEventCode.PeerRemoved:
        return this.#onChange(event);
    }
    if (QUIET.has(event.code)) return this.#debug(event);
    this.#warn(event.code, event, WINDOW_MS, LINES_PER_WINDOW);
  }

  /** A peer sends from another address than before. */
  endpointChanged(publicKey: Uint8Array, from: string, to: string, nowMs: number): void {
    const peer = this.#names.of(publicKey);
    const fields = { event: "endpoint-changed", peer, endpoint: to };
    const window = this.#window("endpoint-changed", "endpoint-changed", fields, nowMs, WINDOW_MS);
    if (this.#mayWrite(window, LINES_PER_WINDOW)) {
      this.#log.info(`${peer}: is at ${to} now, not at ${from}`, fields);
    }
  }

  /** Tells the counts of windows that are over; call it now and then. */
  flush(nowMs: number): void {
    for (const [key, window] of this.#windows) {
      if (nowMs - window.startMs < window.lengthMs) continue;
      this.#close(window);
      this.#windows.delete(key);
    }
  }

  #onSession(event: DeviceEvent): void {
    const key = keyOf(event);
    const isNew = !this.#connected.has(key);
    if (isNew) this.#connected.add(key);
    this.#windows.delete(awayKey(key));
    if (isNew) this.#log.info(`${this.#peer(event)}connected`, this.#fields(event));
    else this.#debug(event);
  }

  #onGaveUp(event: DeviceEvent): void {
    const key = keyOf(event);
    this.#connected.delete(key);
    this.#warn(awayKey(key), event, AWAY_WINDOW_MS, 1);
  }

  #onKeysZeroed(event: DeviceEvent): void {
    if (!this.#connected.delete(keyOf(event))) return this.#debug(event);
    this.#log.info(this.#text(event), this.#fields(event));
  }

  #onChange(event: DeviceEvent): void {
    if (event.code === DeviceEventCode.PeerRemoved) {
      this.#connected.delete(keyOf(event));
      this.#windows.delete(awayKey(keyOf(event)));
    }
    this.#debug(event);
  }

  #debug(event: DeviceEvent): void {
    if (this.#log.wantsDebug) this.#log.debug(this.#text(event), this.#fields(event));
  }

  #warn(key: string, event: DeviceEvent, lengthMs: number, linesMax: number): void {
    const fields = this.#fields(event);
    const what = linesMax === 1 ? `${this.#peer(event)}${event.code}` : event.code;
    const window = this.#window(key, what, fields, event.atMs, lengthMs);
    if (this.#mayWrite(window, linesMax)) this.#log.warn(this.#text(event), fields);
  }

  #mayWrite(window: Window, linesMax: number): boolean {
    if (window.lines < linesMax) {
      window.lines++;
      return true;
    }
    window.suppressed++;
    return false;
  }

  #window(
    key: string,
    what: string,
    fields: LogFields,
    nowMs: number,
    lengthMs: number,
  ): Window {
    const window = this.#windows.get(key);
    if (window !== undefined && nowMs - window.startMs < window.lengthMs) return window;
    if (window !== undefined) this.#close(window);
    const fresh = { startMs: nowMs, lengthMs, what, fields, lines: 0, suppressed: 0 };
    this.#windows.set(key, fresh);
    return fresh;
  }

  #close({ suppressed, what, fields }: Window): void {
    if (suppressed === 0) return;
    this.#log.warn(`${suppressed} more like this: ${what}`, { ...fields, repeats: suppressed });
  }

  #text(event: DeviceEvent): string {
    return `${this.#peer(event)}${explainDeviceEvent(event)}`;
  }

  #peer({ publicKey }: DeviceEvent): string {
    return publicKey === null ? "" : `${this.#names.of(publicKey)}: `;
  }

  #fields({ code, publicKey }: DeviceEvent): LogFields {
    return { event: code, ...(publicKey !== null && { peer: this.#names.of(publicKey) }) };
  }
}

function keyOf({ publicKey }: DeviceEvent): string {
  return publicKey === null ? "" : toHex(publicKey);
}

function awayKey(key: string): string {
  return `away ${key}`;
}
