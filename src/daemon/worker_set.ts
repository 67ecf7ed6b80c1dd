/**
 * The workers of a node and the watch over them. A worker that dies or hangs ends the process: half
 * a node is worse than none, and the service manager starts a whole one. There is no restart in
 * place, because a worker that sits in a system call cannot be ended by another thread.
 */
import { LaneCommand, LaneWord } from "../lane/shared_state.ts";
import type { ControlPlane } from "../node/control_plane.ts";
import type { WorkerMessage, WorkerStart } from "../worker/messages.ts";
import { spawnWorker } from "../worker/spawn.ts";
import type { Reactor } from "./reactor.ts";
import { SetupError } from "./setup_error.ts";

/** Workers start within a second; on a machine with other things to do it takes longer. */
const START_TIMEOUT_MS = 30_000;
const BEAT_INTERVAL_MS = 2000;
/** Beats that a lane may leave unanswered; a lane that has work answers within milliseconds. */
const BEATS_MISSED_MAX = 5;

/** What the set tells the node. */
export interface WorkerSetObserver {
  /** A worker is dead or hangs. */
  onFailure(message: string): void;
  /** Every two seconds; whether all lanes have answered the beat before. */
  onBeat(isAlive: boolean): void;
}

/** Starts workers and watches them. */
export class WorkerSet {
  readonly #reactor: Reactor;
  readonly #observer: WorkerSetObserver;
  readonly #made = new Map<string, { readonly worker: Worker; readonly stopped: Promise<void> }>();
  readonly #running: Promise<string>[] = [];
  readonly #stopped: Promise<void>[] = [];
  #endBeats = () => {};
  #isStopping = false;

  /** Its timers are those of `reactor`. */
  constructor(reactor: Reactor, observer: WorkerSetObserver) {
    this.#reactor = reactor;
    this.#observer = observer;
  }

  /**
   * Makes one worker under the name that its thread and its error messages bear. It loads its code,
   * which takes a while, and waits for `start`.
   */
  make(name: string): void {
    const running = Promise.withResolvers<string>();
    const stopped = Promise.withResolvers<void>();
    this.#running.push(running.promise);
    const worker = spawnWorker(name, {
      onMessage: (message: WorkerMessage) => {
        if (message.type === "running") running.resolve(message.aead);
        else stopped.resolve();
      },
      onError: (message) => {
        const reason = `worker ${name} died: ${message}`;
        stopped.resolve();
        running.reject(new SetupError(reason));
        if (!this.#isStopping) this.#observer.onFailure(reason);
      },
    });
    this.#made.set(name, { worker, stopped: stopped.promise });
  }

  /** Tells the worker of that name what it is. */
  start(name: string, start: WorkerStart): void {
    const { worker, stopped } = this.#made.get(name)!;
    if (start.role === "lane") this.#stopped.push(stopped);
    worker.postMessage(start);
  }

  /**
   * Resolves when all workers run, with the name of the packet cipher that they use; rejects with a
   * `SetupError` when one of them cannot.
   */
  async running(): Promise<string> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#reactor.every(
      START_TIMEOUT_MS,
      () => late.reject(new SetupError(`no worker threads within ${START_TIMEOUT_MS / 1000} s`)),
    );
    try {
      const ciphers = await Promise.race([Promise.all(this.#running), late.promise]);
      return ciphers.find((name) => name !== "") ?? "";
    } finally {
      cancel();
    }
  }

  /** Begins to ask the lanes for signs of life. */
  watch(control: ControlPlane): void {
    const missed = control.channels.map(() => 0);
    this.#endBeats = this.#reactor.every(BEAT_INTERVAL_MS, () => {
      let isAllAlive = true;
      control.channels.forEach((channels, lane) => {
        const isAlive = channels.word(LaneWord.BeatAnswer) === channels.word(LaneWord.Beat);
        missed[lane] = isAlive ? 0 : missed[lane] + 1;
        isAllAlive &&= isAlive;
        if (missed[lane] >= BEATS_MISSED_MAX) {
          const seconds = BEATS_MISSED_MAX * BEAT_INTERVAL_MS / 1000;
          this.#observer.onFailure(`lane ${lane} has not moved for ${seconds} s`);
        }
        channels.setWord(LaneWord.Beat, channels.word(LaneWord.Beat) + (isAlive ? 1 : 0));
        control.postToLane(lane, LaneCommand.Beat);
      });
      this.#observer.onBeat(isAllAlive);
    });
  }

  /** Asks all lanes to stop and waits until they have, at most `timeoutMs`. */
  async stop(control: ControlPlane, timeoutMs: number): Promise<void> {
    this.#isStopping = true;
    this.#endBeats();
    for (let lane = 0; lane < control.channels.length; lane++) {
      control.postToLane(lane, LaneCommand.Stop);
    }
    const timeout = Promise.withResolvers<void>();
    const cancel = this.#reactor.every(timeoutMs, timeout.resolve);
    await Promise.race([Promise.all(this.#stopped), timeout.promise]);
    cancel();
  }
}
