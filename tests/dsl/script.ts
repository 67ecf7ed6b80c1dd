/**
 * A packet language after packetdrill. A script is a list of lines; `#` begins a comment.
 *
 * ```
 * +T        time to wait first, in seconds; +T~+U: something between T and U
 * 2:        flow 2 (1 when left out): another peer port, with numbers of its own
 *
 * < SEGMENT       the peer sends it, and the layer's turn ends
 * << SEGMENT      the same in the middle of a turn: no flush
 * > SEGMENT       the layer sends exactly this, next
 * > nothing       it sends nothing
 * > ...           whatever it has sent is of no interest
 *
 * listen [manual|take]   wait for connections; `manual`: accept and refuse by hand; `take`: the
 *                        application takes data without a buffer
 * connect                open one
 * accept refuse unreachable drop         decide about a SYN
 * write N   read N   readall   autoread  N bytes, all of which must be possible; contents are checked
 * writeall N             as many as find room, at most N
 * readable N             exactly so many bytes can be read
 * shutdown close abort   nagle on   cork on   keepalive MS   finished
 * = EVENT | nothing      the next event of the application: connected, end Reset, syn, gone
 * state NAME             of the connection
 * icmp KIND seq N [mtu N]
 * link full | free       the link endpoint takes nothing | again
 * rebase                 the numbers of the layer's next SYN count from there
 * ```
 * Every segment that is sent must be named: one that nobody expected is a failure at the next line.
 * The run begins at such a time that the layer's first sequence number is just below the wrap, as the
 * peer's always is.
 */
import { assertEquals, AssertionError } from "@std/assert";
import { invariant as ensure } from "../../src/base/invariant.ts";
import { IcmpErrorKind } from "../../src/netstack/inbound.ts";
import { tcpStateName } from "../../src/netstack/tcp/state.ts";
import {
  tcpDestinationPort,
  TcpFlag,
  tcpFlags,
  tcpSequence,
  tcpSourcePort,
  tcpWindow,
} from "../../src/wire/tcp.ts";
import type { SentSegment } from "./recording_output.ts";
import { PEER_PORT, RigApp, type RigOptions, SERVER_PORT, TcpRig } from "./rig.ts";
import {
  flagText,
  formatOptions,
  type OptionSpec,
  parseSegment,
  type SegmentSpec,
} from "./segment_text.ts";
import { type FlowBases, readOptionSpecs, segmentBytes, streamByte } from "./wire_segment.ts";

/** Distance of the first sequence numbers from the wrap. */
const BELOW_WRAP = 10;
const IRS = -BELOW_WRAP;
const PEER_TS = -50;
/** How exactly a time must be met, in ms. */
const TOLERANCE_MS = 1.5;

/** What can be chosen for a script. */
export interface ScriptOptions extends RigOptions {
  /** How far below the wrap the layer's first sequence number is; 10 when left out. */
  readonly belowWrap?: number;
  /** More work for the rig before the script begins. */
  readonly prepare?: (rig: TcpRig) => void;
  /** Lines after the script whose effects `outcome` tells, instead of expecting them. */
  readonly eventLines?: readonly string[];
}

/** Registers a test that runs a script over IPv4. */
export function tcpTest(name: string, script: string, options: ScriptOptions = {}): void {
  Deno.test(name, () => void runScript(script, options));
}

/** Runs a script and returns the runner as it is at the end. */
export function runScript(script: string, options: ScriptOptions = {}): ScriptRunner {
  const lines = script.split("\n").map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  const first = new ScriptRunner(options, true);
  try {
    first.run(lines);
    first.watch(options.eventLines);
    return first;
  } catch (error) {
    if (!(error instanceof FirstSyn)) throw error;
    // The ISN rises by one in 4 us: begin so much later that it is where we want it.
    const steps = (-(options.belowWrap ?? BELOW_WRAP) - error.sequence) >>> 0;
    const runner = new ScriptRunner(
      { ...options, startMs: (options.startMs ?? 1000) + steps / 250 },
      false,
    );
    runner.run(lines);
    runner.watch(options.eventLines);
    return runner;
  }
}

/** Ends the first run, which only finds out the first sequence number. */
class FirstSyn extends Error {
  constructor(readonly sequence: number) {
    super("the layer has sent its first SYN");
  }
}

/** One connection of a script, by its number there. */
class Flow {
  readonly bases: FlowBases = { irs: IRS, peerTs: PEER_TS, iss: null, ourTs: null };
  localPort: number;
  readonly remotePort: number;
  app: RigApp;
  /** The window scale that the layer has told, -1 for none; and whether the peer has one too. */
  ourScale = -1;
  peerScale = -1;

  constructor(readonly number: number, rig: TcpRig, readonly isOurs: boolean, takes: boolean) {
    this.localPort = isOurs ? 0 : SERVER_PORT;
    this.remotePort = (isOurs ? SERVER_PORT : PEER_PORT) + number - 1;
    this.app = new RigApp(rig, takes);
  }
}

/** Runs the lines of one script. */
export class ScriptRunner {
  readonly rig: TcpRig;
  readonly #flows = new Map<number, Flow>();
  readonly #transcript: string[] = [];
  #takes = false;

  constructor(options: ScriptOptions, readonly stopsAtSyn: boolean) {
    this.rig = new TcpRig(options);
    this.rig.onSent = (segment) => this.#onSent(segment);
    options.prepare?.(this.rig);
  }

  run(lines: readonly string[]): void {
    for (const line of lines) {
      try {
        this.#transcript.push(`        ${line}`);
        this.#line(line);
      } catch (error) {
        if (error instanceof FirstSyn) throw error;
        throw this.#failure(line, error);
      }
    }
    this.#atEnd();
  }

  /** Runs lines without an opinion about what they lead to. */
  watch(lines: readonly string[] = []): void {
    for (const { app } of this.#flows.values()) app.events.length = 0;
    for (const line of lines) this.#line(line);
  }

  /** What `watch` has led to on flow 1: segments, events, the state. */
  outcome(): { segments: string[]; events: string[]; endState: string } {
    const flow = this.#flow(1);
    const segments = this.rig.sent.map((segment) => this.#format(segment, flow));
    const { connection } = flow.app;
    const endState = connection === null ? "no connection" : stateOf(connection);
    return { segments, events: flow.app.events, endState };
  }

  /** The application's end of a flow. */
  app(number = 1): RigApp {
    return this.#flow(number).app;
  }

  /** What the numbers of a flow count from. */
  basesOf(number: number): FlowBases {
    return this.#flow(number).bases;
  }

  portsOf(number: number): { ours: number; theirs: number } {
    const { localPort, remotePort } = this.#flow(number);
    return { ours: localPort, theirs: remotePort };
  }

  #failure(line: string, error: unknown): Error {
    const message = error instanceof Error ? error.message : String(error);
    const failure = new AssertionError(
      `at "${line}": ${message}\n--- so far:\n${this.#transcript.slice(-40).join("\n")}`,
    );
    failure.cause = error;
    return failure;
  }

  #atEnd(): void {
    try {
      this.#expectNothing();
      for (const { number, app } of this.#flows.values()) {
        const left = app.events.filter((event) => event !== "connected");
        assertEquals(left, [], `events of flow ${number} that the script does not name`);
      }
    } catch (error) {
      throw this.#failure("the end of the script", error);
    }
  }

  #line(line: string): void {
    const match = /^(?:\+([\d.]+)(?:~\+?([\d.]+))?(?:\s+|$))?(?:(\d+):\s*)?(\S*)\s*(.*)$/.exec(
      line,
    );
    ensure(match !== null, "this is no line of a script");
    const [, from, to, flowText, verb, rest] = match;
    const waitMs = from === undefined ? 0 : Number(from) * 1000;
    const number = Number(flowText ?? 1);
    if (verb === ">") {
      this.#expect(number, rest, waitMs, to === undefined ? null : Number(to) * 1000);
      return;
    }
    this.#expectNothing();
    if (waitMs > 0) {
      this.rig.advance(waitMs);
      this.#expectNothing();
    }
    if (verb === "") return;
    if (verb === "<" || verb === "<<") this.#inject(number, parseSegment(rest));
    else this.#act(number, verb, rest);
    if (verb !== "<<") this.rig.flush();
  }

  // What the peer does.

  #inject(number: number, spec: SegmentSpec): void {
    const flow = this.#flow(number);
    const scale = spec.options?.find(({ kind }) => kind === "wscale");
    if (scale !== undefined) flow.peerScale = scale.values[0];
    this.rig.inject(segmentBytes(spec, flow.bases, flow.remotePort, flow.localPort), {
      sourcePort: flow.remotePort,
      destinationPort: flow.localPort,
      isCorrupt: spec.isCorrupt,
      runBytes: spec.runBytes,
      isMarked: spec.isMarked,
    });
  }

  #flow(number: number): Flow {
    let flow = this.#flows.get(number);
    if (flow === undefined) {
      flow = new Flow(number, this.rig, false, this.#takes);
      this.#flows.set(number, flow);
    }
    return flow;
  }

  // What the layer does.

  #onSent(segment: SentSegment): void {
    const { view } = segment;
    const flow = this.#flowOf(segment);
    if ((tcpFlags(view, 0) & TcpFlag.Syn) !== 0 && flow.bases.iss === null) {
      flow.bases.iss = tcpSequence(view, 0);
      if (this.stopsAtSyn) throw new FirstSyn(flow.bases.iss);
      flow.localPort = tcpSourcePort(view, 0);
      const timestamps = readOptionSpecs(view, 0, flow.bases).find(({ kind }) => kind === "TS");
      if (timestamps !== undefined) flow.bases.ourTs = firstTsVal(view, flow.bases);
    }
    const scale = readOptionSpecs(view, 0, flow.bases).find(({ kind }) => kind === "wscale");
    if (scale !== undefined) flow.ourScale = scale.values[0];
    this.#checkPayload(segment, flow);
    const seconds = ((this.rig.nowMs % 1e6) / 1000).toFixed(3);
    this.#transcript.push(`${seconds} > ${this.#format(segment, flow)}`);
  }

  #flowOf(segment: SentSegment): Flow {
    const port = tcpDestinationPort(segment.view, 0);
    for (const flow of this.#flows.values()) if (flow.remotePort === port) return flow;
    throw new Error(`a segment was sent to port ${port}, which nobody has used`);
  }

  #checkPayload(segment: SentSegment, flow: Flow): void {
    const { view, headerBytes, payloadBytes } = segment;
    const first = (tcpSequence(view, 0) - (flow.bases.iss ?? 0) - 1) | 0;
    for (let i = 0; i < payloadBytes; i++) {
      const byte = view.getUint8(headerBytes + i);
      if (byte !== streamByte(first + i, false)) {
        assertEquals(byte, streamByte(first + i, false), `byte ${first + i} of what was sent`);
      }
    }
  }

  /** The window in bytes: scaled, except in a SYN, where both ends tell a scale. */
  #windowBytes({ view }: SentSegment, flow: Flow): number {
    const isScaled = (tcpFlags(view, 0) & TcpFlag.Syn) === 0 && flow.ourScale >= 0 &&
      flow.peerScale >= 0;
    return tcpWindow(view, 0) * (isScaled ? 2 ** flow.ourScale : 1);
  }

  #format(segment: SentSegment, flow: Flow): string {
    const { view, payloadBytes, mss } = segment;
    const seq = (tcpSequence(view, 0) - (flow.bases.iss ?? 0)) | 0;
    const flags = tcpFlags(view, 0);
    const ack = (flags & TcpFlag.Ack) === 0
      ? ""
      : ` ack ${(view.getInt32(8) - flow.bases.irs) | 0}`;
    const options = formatOptions(readOptionSpecs(view, 0, flow.bases));
    const prefix = flow.number === 1 ? "" : `${flow.number}: `;
    return `${prefix}${flagText(flags)} ${seq}:${seq + payloadBytes}(${payloadBytes})${ack} ` +
      `win ${this.#windowBytes(segment, flow)}${payloadBytes > mss ? ` gso ${mss}` : ""}` +
      ` <${options}>`;
  }

  #expect(number: number, text: string, waitMs: number, untilMs: number | null): void {
    const startMs = this.rig.nowMs;
    if (text === "nothing") {
      this.#expectNothing();
      this.rig.advance(waitMs);
      return this.#expectNothing();
    }
    if (text === "...") {
      this.rig.advance(waitMs);
      this.rig.sent.length = 0;
      return;
    }
    const [fromMs, toMs] = untilMs === null
      ? [Math.max(0, waitMs - TOLERANCE_MS), waitMs > 0 ? waitMs + TOLERANCE_MS : 0]
      : [waitMs, untilMs];
    if (toMs > 0) this.#waitForSegment(startMs + fromMs, startMs + toMs);
    const segment = this.rig.sent.shift();
    ensure(segment !== undefined, "nothing was sent");
    const flow = this.#flowOf(segment);
    assertEquals(
      flow.number,
      number,
      `the segment is of another flow: ${this.#format(segment, flow)}`,
    );
    this.#compare(parseSegment(text), segment, flow);
  }

  #waitForSegment(fromMs: number, toMs: number): void {
    const { rig } = this;
    this.#expectNothing();
    rig.advanceTo(fromMs);
    const early = rig.sent.length > 0;
    ensure(!early || rig.sent[0].atMs >= fromMs, "something was sent too early");
    while (rig.sent.length === 0) {
      const nextMs = rig.layer.nextTimeoutMs();
      ensure(nextMs <= toMs, "nothing was sent in that time");
      rig.advanceTo(nextMs);
    }
  }

  #expectNothing(): void {
    const segment = this.rig.sent[0];
    if (segment === undefined) return;
    throw new Error(`unexpected segment: ${this.#format(segment, this.#flowOf(segment))}`);
  }

  #compare(spec: SegmentSpec, segment: SentSegment, flow: Flow): void {
    const { view, payloadBytes, mss } = segment;
    const actual = this.#format(segment, flow);
    const flags = tcpFlags(view, 0);
    const same = (value: unknown, expected: unknown, what: string) => {
      if (value !== expected) {
        throw new Error(`${what} is ${value}, expected ${expected}: ${actual}`);
      }
    };
    same(flagText(flags), normalFlags(spec.flags), "flags");
    same((tcpSequence(view, 0) - (flow.bases.iss ?? 0)) | 0, spec.seq, "seq");
    same(payloadBytes, spec.payloadBytes, "length");
    if (spec.ack !== null) same((view.getInt32(8) - flow.bases.irs) | 0, spec.ack, "ack");
    if (spec.runBytes !== 0) same(mss, spec.runBytes, "MSS");
    if (spec.window !== null) {
      const bytes = this.#windowBytes(segment, flow);
      const { test, value } = spec.window;
      const holds = test === "=" ? bytes === value : test === "<" ? bytes <= value : bytes >= value;
      ensure(holds, `window is ${bytes}, expected ${test === "=" ? "" : test + "="}${value}`);
    }
    if (spec.options !== null) {
      const options = readOptionSpecs(view, 0, flow.bases);
      compareOptions(spec.options, options, actual);
    }
  }

  // What the application does.

  #act(number: number, verb: string, rest: string): void {
    if (verb === "listen") return this.#listen(rest);
    if (verb === "connect") return this.#connect(number, rest);
    if (verb === "link") {
      this.rig.output.isFull = rest === "full";
      return;
    }
    const flow = this.#flow(number);
    if (verb === "icmp") return this.#icmp(flow, rest);
    if (verb === "rebase") {
      flow.bases.iss = flow.bases.ourTs = null;
      return;
    }
    if (verb === "=") {
      assertEquals(flow.app.events.shift() ?? "nothing", rest);
      return;
    }
    if (["accept", "refuse", "unreachable", "drop"].includes(verb)) return decide(flow.app, verb);
    this.#use(flow.app, verb, rest);
  }

  #use(app: RigApp, verb: string, rest: string): void {
    const connection = app.connection;
    ensure(connection !== null, "there is no connection");
    switch (verb) {
      case "write":
        return assertEquals(app.write(Number(rest)), Number(rest), "bytes that found room");
      case "writeall":
        return void app.write(Number(rest));
      case "read":
        return assertEquals(app.read(Number(rest)), Number(rest), "bytes that could be read");
      case "readall":
        return void app.readAll();
      case "autoread":
        app.isAutoRead = true;
        return void app.readAll();
      case "readable":
        // Part of it may be behind the end of the ring; scripts use small amounts.
        return assertEquals(connection.readSpan(), Number(rest), "bytes that can be read");
      case "received":
        return assertEquals(app.readBytes, Number(rest), "bytes that the application has got");
      case "writable":
        assertEquals(app.isWritable, rest !== "no", "whether onWritable was called");
        app.isWritable = false;
        return;
      case "unacked":
        return assertEquals(connection.unacknowledgedBytes, Number(rest), "unacknowledged bytes");
      case "finished":
        return assertEquals(connection.isReadFinished, rest !== "no", "isReadFinished");
      case "shutdown":
        return connection.shutdown();
      case "close":
        return connection.close();
      case "abort":
        return connection.abort();
      case "nagle":
        return connection.setNagle(rest === "on");
      case "cork":
        return connection.cork(rest === "on");
      case "keepalive":
        return connection.setKeepalive(Number(rest));
      case "state":
        return assertEquals(stateOf(connection), rest);
    }
    throw new Error(`unknown verb ${verb}`);
  }

  #listen(how: string): void {
    this.#takes = how.includes("take");
    const appOf = (remotePort: number) => this.#flow(remotePort - PEER_PORT + 1).app;
    const acceptor = this.rig.acceptor(
      ({ flow }) => appOf(flow.remotePort),
      how.includes("manual"),
    );
    if (how.includes("forwarder")) this.rig.layer.forwarder = acceptor;
    else this.rig.layer.listen(null, SERVER_PORT, acceptor);
  }

  #connect(number: number, how: string): void {
    const flow = new Flow(number, this.rig, true, how.includes("take"));
    this.#flows.set(number, flow);
    const { rig, remotePort } = { rig: this.rig, remotePort: flow.remotePort };
    flow.app.connection = rig.layer.connect(rig.remote, remotePort, flow.app, rig.nowMs);
  }

  #icmp(flow: Flow, rest: string): void {
    const [name, ...words] = rest.split(/\s+/);
    const value = (word: string) =>
      words.includes(word) ? Number(words[words.indexOf(word) + 1]) : 0;
    const kinds = {
      unreachable: IcmpErrorKind.Unreachable,
      port: IcmpErrorKind.PortUnreachable,
      prohibited: IcmpErrorKind.Prohibited,
      toobig: IcmpErrorKind.TooBig,
      ttl: IcmpErrorKind.TimeExceeded,
      parameter: IcmpErrorKind.ParameterProblem,
    };
    const sequence = ((flow.bases.iss ?? 0) + value("seq")) | 0;
    const kind = kinds[name as keyof typeof kinds];
    ensure(kind !== undefined, "unknown kind of ICMP error");
    this.rig.icmpError(kind, flow.localPort, flow.remotePort, sequence, value("mtu"));
  }
}

function decide(app: RigApp, verb: string): void {
  const { pending } = app;
  ensure(pending !== null, "there is no pending SYN");
  app.pending = null;
  if (verb === "accept") app.connection = pending.accept(app);
  else if (verb === "refuse") pending.refuse();
  else if (verb === "unreachable") pending.unreachable();
  else pending.drop();
}

function stateOf(connection: object): string {
  return tcpStateName((connection as { state: Parameters<typeof tcpStateName>[0] }).state);
}

function firstTsVal(view: DataView, bases: FlowBases): number {
  // Relative to nothing yet: read it with a base of zero.
  return readOptionSpecs(view, 0, { ...bases, ourTs: 0 }).find(({ kind }) => kind === "TS")!
    .values[0];
}

function normalFlags(flags: string): string {
  const letters = [..."FSRPUEC"].filter((letter) => flags.includes(letter)).join("");
  return letters + (flags.includes(".") ? "." : "") || "-";
}

function compareOptions(
  expected: readonly OptionSpec[],
  actual: readonly OptionSpec[],
  text: string,
): void {
  const wanted = expected.filter(({ kind }) => kind !== "nop" && kind !== "eol");
  const isOpen = wanted.some(({ kind }) => kind === "...");
  const left = [...actual];
  for (const option of wanted.filter(({ kind }) => kind !== "...")) {
    const at = left.findIndex(({ kind }) => kind === option.kind);
    ensure(at >= 0, `option ${option.kind} is missing: ${text}`);
    const [found] = left.splice(at, 1);
    if (option.kind === "TS" && option.values.length === 0) continue;
    const same = found.values.length === option.values.length &&
      found.values.every((value, i) => isNaN(option.values[i]) || value === option.values[i]);
    ensure(same, `option ${formatOptions([option])} is ${formatOptions([found])}: ${text}`);
  }
  ensure(isOpen || left.length === 0, `option ${formatOptions(left)} is not expected: ${text}`);
}
