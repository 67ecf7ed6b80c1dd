/**
 * What the service manager that has started this process is told of it (sd_notify(3)): when it is
 * ready, how it fares, and that its data plane still moves.
 *
 * The watchdog is fed by the beat of the lanes alone, never by a timer of its own: a process whose
 * packets do not move is restarted even if everything else in it goes on.
 */
import { getEnvironment, setEnvironment } from "../../ffi/environment.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { ownProcessId } from "../../ffi/process.ts";
import { DatagramSender } from "../../ffi/unix_datagram.ts";

const VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] as const;

/** A service manager that listens, or one that does not: then nothing is sent. */
export class ServiceManager {
  readonly #sender: DatagramSender | null;
  readonly #hasWatchdog: boolean;
  #status = "";

  /** `socketName` is null where nobody listens. */
  constructor(socketName: string | null, hasWatchdog: boolean) {
    this.#sender = socketName === null ? null : open(socketName);
    this.#hasWatchdog = hasWatchdog;
  }

  /**
   * The one that the environment names. Its variables are taken away, so that programs which this
   * one starts do not speak in its name; call it before any worker is started.
   */
  static fromEnvironment(): ServiceManager {
    const [name, watchdogUs, watchdogPid] = VARIABLES.map((name) => getEnvironment(name) ?? "");
    for (const name of VARIABLES) setEnvironment(name, undefined);
    const isForUs = watchdogPid === "" || Number(watchdogPid) === ownProcessId();
    const isAddress = name.startsWith("/") || name.startsWith("@");
    return new ServiceManager(isAddress ? name : null, Number(watchdogUs) > 0 && isForUs);
  }

  /** The data plane runs, and addresses and routes are set. */
  ready(status: string): void {
    this.#status = status;
    this.#send("READY=1", `STATUS=${oneLine(status)}`);
  }

  /** One line for `systemctl status`; nothing is sent while it stays the same. */
  status(status: string): void {
    if (status === this.#status) return;
    this.#status = status;
    this.#send(`STATUS=${oneLine(status)}`);
  }

  /** The data plane has moved since the last call. */
  alive(): void {
    if (this.#hasWatchdog) this.#send("WATCHDOG=1");
  }

  /** A new configuration is being taken over; `ready` ends it. */
  reloading(): void {
    this.#send("RELOADING=1");
  }

  /** The end has begun. */
  stopping(reason: string): void {
    this.#send("STOPPING=1", `STATUS=${oneLine(reason)}`);
  }

  /** Lost when the manager does not listen: it must not keep the process from its work. */
  #send(...lines: string[]): void {
    this.#sender?.send(new TextEncoder().encode(lines.join("\n")));
  }
}

function open(name: string): DatagramSender | null {
  try {
    return new DatagramSender(name);
  } catch (error) {
    if (error instanceof SystemCallError) return null;
    throw error;
  }
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, "; ");
}
