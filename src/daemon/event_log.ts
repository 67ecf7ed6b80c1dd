/** What the device tells of its handshakes, as log lines; repeats are counted, not written out. */
import type { Log } from "../base/log.ts";
import type { PeerNames } from "../control/peer_names.ts";
import { type DeviceEvent, DeviceEventCode, explainDeviceEvent } from "../wireguard/events.ts";

/** Lines per code within this time; a flood of garbage must not become a flood of lines. */
const WINDOW_MS = 5000;
const LINES_PER_WINDOW = 5;

/** Codes that belong to normal work. */
const QUIET: ReadonlySet<string> = new Set([
  DeviceEventCode.InitiationSent,
  DeviceEventCode.InitiationAnswered,
  DeviceEventCode.SessionEstablished,
  DeviceEventCode.CookieAccepted,
  DeviceEventCode.KeysZeroed,
  DeviceEventCode.PeerAdded,
  DeviceEventCode.PeerRemoved,
  DeviceEventCode.NoReply,
  DeviceEventCode.StoppedHearing,
]);

/** Writes events to a log. */
export class EventLog {
  readonly #log: Log;
  readonly #names: PeerNames;
  readonly #windows = new Map<string, { startMs: number; lines: number; suppressed: number }>();

  constructor(log: Log, names: PeerNames) {
    this.#log = log;
    this.#names = names;
  }

  /** Writes one event, or counts it if there were too many like it. */
  write(event: DeviceEvent): void {
    const window = this.#window(event);
    if (window.lines >= LINES_PER_WINDOW) {
      window.suppressed++;
      return;
    }
    window.lines++;
    const peer = event.publicKey === null ? "" : `${this.#names.of(event.publicKey)}: `;
    const text = `${peer}${explainDeviceEvent(event)}`;
    if (QUIET.has(event.code)) this.#log.debug(text);
    else this.#log.warn(text);
  }

  #window(event: DeviceEvent): { startMs: number; lines: number; suppressed: number } {
    const { code, atMs } = event;
    const window = this.#windows.get(code);
    if (window !== undefined && atMs - window.startMs < WINDOW_MS) return window;
    if (window !== undefined && window.suppressed > 0) {
      this.#log.warn(`${window.suppressed} more like this: ${code}`);
    }
    const fresh = { startMs: atMs, lines: 0, suppressed: 0 };
    this.#windows.set(code, fresh);
    return fresh;
  }
}
