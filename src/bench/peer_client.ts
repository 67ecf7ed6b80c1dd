/**
 * The near end of `bench PEER`: round trips of a small message, alone and beside a stream in each
 * direction. Everything happens in one thread that blocks until something is ready.
 */
import { systemClock } from "../../ffi/clock.ts";
import { closeFd, pollFd, POLLIN } from "../../ffi/descriptor.ts";
import { Epoll, EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import { describeErrno } from "../../ffi/error.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import { connectTcp, receiveTcp, sendTcp, shutdownTcp } from "../../ffi/tcp_socket.ts";
import { Errno } from "../base/errno.ts";
import { SetupError } from "../daemon/setup_error.ts";
import { quantile } from "./measure.ts";
import {
  CHUNK_BYTES,
  decodeMessage,
  encodeMessage,
  type Hello,
  helloText,
  MESSAGE_BYTES,
  parseTaken,
  PeerTask,
  StreamMeter,
  type Taken,
} from "./peer_protocol.ts";

const CONNECT_MS = 5000;
const ANSWER_MS = 5000;
/** What was written may take its time through a slow tunnel. */
const DRAIN_MS = 60_000;
/** Between the end of one round trip and the next: enough of them, without being a load. */
const PAUSE_MS = 5;
/** A stream that has stopped for so long is given up. */
const STALLED_MS = 10_000;
const BULK = 1;
const ECHO = 2;

const chunk = fixedBytes(CHUNK_BYTES);

/** Where the other end is. */
export interface PeerPlace {
  readonly address: Uint8Array;
  readonly port: number;
  /** What to tell the user to do at the other end when nothing answers. */
  readonly advice: string;
}

/** Round trips in milliseconds. */
export interface RoundTripFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly count: number;
}

/** A stream in one direction, and the round trips beside it. */
export interface StreamFigures {
  readonly gigabitsPerSecond: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly roundTrip: RoundTripFigures;
}

/** Which way a stream goes. */
export type StreamDirection = "to the peer" | "from the peer";

/** A connection that the other end has agreed to. Throws `SetupError` with what to do there. */
function open(place: PeerPlace, hello: Hello): number {
  const fd = connectTcp(place.address, place.port, CONNECT_MS);
  if (fd < 0) throw noAnswer(place, describeErrno(-fd));
  try {
    sendTcp(fd, encodeMessage(helloText(hello)));
    const answer = readMessage(fd, ANSWER_MS);
    if (answer === "ok") return fd;
    throw answer === "busy"
      ? new SetupError("The other end measures with others at the moment: try again later")
      : noAnswer(place, "what listens there does not speak this protocol");
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function noAnswer({ advice }: PeerPlace, why: string): SetupError {
  return new SetupError(`Nothing to measure with at the other end (${why}). ${advice}`);
}

/** One message; empty when none comes in time. Blocks. */
function readMessage(fd: number, timeoutMs: number): string {
  const message = fixedBytes(MESSAGE_BYTES);
  const deadlineMs = systemClock.nowMs() + timeoutMs;
  for (let got = 0; got < MESSAGE_BYTES;) {
    const leftMs = deadlineMs - systemClock.nowMs();
    if (leftMs <= 0 || pollFd(fd, POLLIN, leftMs) === 0) return "";
    const n = receiveTcp(fd, message.subarray(got));
    if (n === -Errno.EAGAIN) continue;
    if (n <= 0) return "";
    got += n;
  }
  return decodeMessage(message);
}

/** The echo connection: one message under way, or a pause. */
class EchoClient {
  readonly fd: number;
  readonly trips: number[] = [];
  readonly #message = encodeMessage("echo");
  readonly #answer = fixedBytes(MESSAGE_BYTES);
  #answerBytes = 0;
  #sentMs = 0;
  #isUnderWay = false;
  #nextMs = 0;

  constructor(place: PeerPlace) {
    this.fd = open(place, { task: PeerTask.Echo, durationMs: 0 });
  }

  /** How long to wait for events at most. */
  waitMs(nowMs: number): number {
    return this.#isUnderWay ? Infinity : Math.max(0, this.#nextMs - nowMs);
  }

  /** Sends the next message if it is time. */
  send(nowMs: number): void {
    if (this.#isUnderWay || nowMs < this.#nextMs) return;
    this.#isUnderWay = true;
    this.#sentMs = systemClock.nowMs();
    if (sendTcp(this.fd, this.#message) !== MESSAGE_BYTES) throw broken();
  }

  /** Takes what has come back. */
  receive(): void {
    const n = receiveTcp(this.fd, this.#answer.subarray(this.#answerBytes));
    if (n === -Errno.EAGAIN) return;
    if (n <= 0) throw broken();
    this.#answerBytes += n;
    if (this.#answerBytes < MESSAGE_BYTES) return;
    const nowMs = systemClock.nowMs();
    this.trips.push(nowMs - this.#sentMs);
    this.#answerBytes = 0;
    this.#isUnderWay = false;
    this.#nextMs = nowMs + PAUSE_MS;
  }

  figures(): RoundTripFigures {
    if (this.trips.length === 0) {
      throw new SetupError("No message has come back from the other end");
    }
    const sorted = this.trips.toSorted((a, b) => a - b);
    return { p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99), count: sorted.length };
  }
}

function broken(): SetupError {
  return new SetupError("The connection through the tunnel has broken off");
}

/** One stream; `isOver` when its last byte has gone or come. */
interface Stream {
  readonly fd: number;
  readonly events: number;
  readonly isOver: boolean;
  /** Does what can be done; the bytes that were moved. */
  turn(): number;
}

class SendingStream implements Stream {
  readonly events = EPOLLOUT;
  readonly #untilMs: number;
  isOver = false;

  constructor(readonly fd: number, durationMs: number) {
    this.#untilMs = systemClock.nowMs() + durationMs;
  }

  turn(): number {
    if (systemClock.nowMs() >= this.#untilMs) {
      this.isOver = true;
      shutdownTcp(this.fd);
      return 0;
    }
    const n = sendTcp(this.fd, chunk);
    if (n < 0 && n !== -Errno.EAGAIN) throw broken();
    return Math.max(0, n);
  }
}

class ReceivingStream implements Stream {
  readonly events = EPOLLIN;
  readonly meter: StreamMeter;
  isOver = false;

  constructor(readonly fd: number, durationMs: number) {
    this.meter = new StreamMeter(durationMs);
  }

  turn(): number {
    const n = receiveTcp(this.fd, chunk);
    if (n === -Errno.EAGAIN) return 0;
    if (n < 0) throw broken();
    if (n === 0) this.isOver = true;
    else this.meter.note(n, systemClock.nowMs());
    return n;
  }
}

/** Throws `SetupError`, with what to do there, unless the other end is ready. */
export function checkServer(place: PeerPlace): void {
  closeFd(open(place, { task: PeerTask.Echo, durationMs: 0 }));
}

/** Round trips while nothing else goes through the tunnel. Throws `SetupError`. */
export function measureIdle(place: PeerPlace, durationMs: number): RoundTripFigures {
  const echo = new EchoClient(place);
  try {
    run(echo, null, durationMs);
    return echo.figures();
  } finally {
    closeFd(echo.fd);
  }
}

/** One TCP stream, and round trips beside it. Throws `SetupError`. */
export function measureStream(
  place: PeerPlace,
  direction: StreamDirection,
  durationMs: number,
): StreamFigures {
  const isSending = direction === "to the peer";
  const echo = new EchoClient(place);
  let fd = -1;
  try {
    const whole = Math.round(durationMs);
    fd = open(place, { task: isSending ? PeerTask.Take : PeerTask.Give, durationMs: whole });
    const stream = isSending ? new SendingStream(fd, whole) : new ReceivingStream(fd, whole);
    run(echo, stream, Infinity);
    const taken = stream instanceof ReceivingStream ? stream.meter.counted : readTaken(fd);
    if (taken.ms === 0) throw new SetupError("Too little has come through the tunnel to measure");
    return {
      gigabitsPerSecond: taken.bytes * 8 / 1e6 / taken.ms,
      bytes: taken.bytes,
      seconds: taken.ms / 1000,
      roundTrip: echo.figures(),
    };
  } finally {
    closeFd(echo.fd);
    if (fd >= 0) closeFd(fd);
  }
}

function readTaken(fd: number): Taken {
  const taken = parseTaken(readMessage(fd, DRAIN_MS));
  if (taken === null) throw broken();
  return taken;
}

/** Moves both until the stream is over, or for `durationMs` without one. */
function run(echo: EchoClient, stream: Stream | null, durationMs: number): void {
  const epoll = new Epoll(2);
  try {
    epoll.add(echo.fd, EPOLLIN, ECHO);
    if (stream !== null) epoll.add(stream.fd, stream.events, BULK);
    let nowMs = systemClock.nowMs();
    const endMs = nowMs + durationMs;
    let movedMs = nowMs;
    while (stream === null ? nowMs < endMs : !stream.isOver) {
      echo.send(nowMs);
      const count = epoll.wait(Math.min(echo.waitMs(nowMs), endMs - nowMs, STALLED_MS));
      for (let i = 0; i < count; i++) {
        if (epoll.tokenAt(i) === ECHO) echo.receive();
        else stream!.turn();
      }
      nowMs = systemClock.nowMs();
      if (count > 0) movedMs = nowMs;
      else if (nowMs - movedMs > STALLED_MS) throw broken();
    }
  } finally {
    epoll.close();
  }
}
