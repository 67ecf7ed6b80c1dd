/**
 * The poller: sits in epoll_wait for main, which must never block, and posts what is ready. Main
 * registers its descriptors one-shot in the same epoll instance and re-arms each after it has dealt
 * with it, so nothing is posted twice.
 */
import { Epoll } from "../../ffi/epoll.ts";
import type { PollerStart, WorkerMessage } from "./messages.ts";

/** Events per post. */
const EVENTS_MAX = 64;

/** Runs until the process ends. */
export function runPoller(start: PollerStart, post: (message: WorkerMessage) => void): never {
  const epoll = new Epoll(EVENTS_MAX, start.epollFd);
  post({ type: "running", aead: "" });
  for (;;) {
    const count = epoll.wait(-1);
    const events: number[] = [];
    for (let i = 0; i < count; i++) events.push(epoll.tokenAt(i), epoll.eventsAt(i));
    if (events.length > 0) post({ type: "ready", events });
  }
}
