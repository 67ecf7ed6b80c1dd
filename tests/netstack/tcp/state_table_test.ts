/**
 * Every event in every state (RFC 9293 section 3.10): what is sent, where the connection goes and what
 * the application is told, as a table that is kept beside this file.
 * `LONGHAUL_UPDATE_SNAPSHOTS=1` writes it anew; then read every changed line against the RFC.
 */
import { assertEquals } from "@std/assert";
import { TCP_TRANSITIONS, TcpState, tcpStateName } from "../../../src/netstack/tcp/state.ts";
import { runScript } from "../../dsl/script.ts";
import { STATES } from "./scenes.ts";

const FILE = new URL("./state_table.txt", import.meta.url);

/** Where SND.UNA, SND.NXT and RCV.NXT are in the scene of each state. */
const NUMBERS: Readonly<Record<string, { una: number; nxt: number; rcv: number }>> = {
  Closed: { una: 0, nxt: 0, rcv: 0 },
  Listen: { una: 0, nxt: 0, rcv: 0 },
  SynSent: { una: 0, nxt: 1, rcv: 0 },
  SynReceived: { una: 0, nxt: 1, rcv: 1 },
  Established: { una: 1, nxt: 1, rcv: 1 },
  FinWait1: { una: 1, nxt: 2, rcv: 1 },
  FinWait2: { una: 2, nxt: 2, rcv: 1 },
  CloseWait: { una: 1, nxt: 1, rcv: 2 },
  Closing: { una: 1, nxt: 2, rcv: 2 },
  LastAck: { una: 1, nxt: 2, rcv: 2 },
  TimeWait: { una: 2, nxt: 2, rcv: 2 },
};

/** The events, with U, N and R for the numbers of the state. */
const EVENTS: Readonly<Record<string, string>> = {
  "SYN": "< S R:R(0) win 500 <mss 1000>",
  "SYN, other number": "< S 900000:900000(0) win 500 <mss 1000>",
  "SYN-ACK": "< S. R:R(0) ack N win 500 <mss 1000>",
  "ACK of all": "< . R:R(0) ack N win 500",
  "ACK of old": "< . R:R(0) ack U win 500",
  "ACK of unsent": "< . R:R(0) ack 5000 win 500",
  "data": "< P. R:R+10(10) ack U win 500",
  "data beyond window": "< P. 5000000:5000010(10) ack U win 500",
  "data without ACK": "< P R:R+10(10) win 500",
  "FIN": "< F. R:R(0) ack U win 500",
  "FIN and ACK of all": "< F. R:R(0) ack N win 500",
  "RST": "< R R:R(0)",
  "RST with ACK": "< R. R:R(0) ack N",
  "RST in window": "< R R+5:R+5(0)",
  "RST outside": "< R 5000000:5000000(0)",
  "write 10": "writeall 10",
  "shutdown": "shutdown",
  "close": "close",
  "abort": "abort",
};

const APPLICATION = new Set(["write 10", "shutdown", "close", "abort"]);

function fill(event: string, state: string): string {
  const { una, nxt, rcv } = NUMBERS[state];
  return event.replace(/R\+(\d+)/g, (_, more) => String(rcv + Number(more)))
    .replace(/\bR:/g, `${rcv}:`).replace(/:R\b/g, `:${rcv}`)
    .replace("ack U", `ack ${una}`).replace("ack N", `ack ${nxt}`);
}

/** One line of the table. */
function outcome(state: string, name: string): string {
  const runner = runScript(`${STATES[state]}\n`, { eventLines: [fill(EVENTS[name], state)] });
  const { segments, events, endState } = runner.outcome();
  const sent = segments.length === 0 ? "nothing" : segments.join("; ");
  const told = events.length === 0 ? "" : ` | told: ${events.join(", ")}`;
  return `${state} | ${name} | sends ${sent} | ${endState}${told}`;
}

const isUpdate = Deno.env.get("LONGHAUL_UPDATE_SNAPSHOTS") === "1";
const expected = new Map<string, string>();
if (!isUpdate) {
  for (const line of Deno.readTextFileSync(FILE).split("\n")) {
    const [state, name] = line.split(" | ");
    if (name !== undefined) expected.set(`${state}: ${name}`, line);
  }
}
const written: string[] = [];

for (const state of Object.keys(STATES)) {
  for (const name of Object.keys(EVENTS)) {
    // There is no connection that an application could use.
    if ((state === "Closed" || state === "Listen") && APPLICATION.has(name)) continue;
    Deno.test(`${state}: ${name} does what the table says`, () => {
      const line = outcome(state, name);
      if (isUpdate) written.push(line);
      else assertEquals(line, expected.get(`${state}: ${name}`));
    });
  }
}

Deno.test("the table of transitions is that of RFC 9293 figure 5, with Closed from everywhere", () => {
  const lines = Object.entries(TCP_TRANSITIONS).map(([from, to]) =>
    `${tcpStateName(Number(from) as TcpState)} -> ${to.map(tcpStateName).join(", ")}`
  );
  assertEquals(lines, [
    "Closed -> SynSent, SynReceived, Established",
    "Listen -> Closed",
    "SynSent -> Established, SynReceived, Closed",
    "SynReceived -> Established, FinWait1, CloseWait, Closed",
    "Established -> FinWait1, CloseWait, Closed",
    "FinWait1 -> FinWait2, Closing, TimeWait, Closed",
    "FinWait2 -> TimeWait, Closed",
    "CloseWait -> LastAck, Closed",
    "Closing -> TimeWait, Closed",
    "LastAck -> Closed",
    "TimeWait -> Closed",
  ]);
});

if (isUpdate) {
  Deno.test("the table is written", () => {
    Deno.writeTextFileSync(FILE, written.join("\n") + "\n");
  });
}
