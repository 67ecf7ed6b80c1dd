import { assertEquals } from "@std/assert";
import { statusLine, totalOf } from "../../src/cli/status_line.ts";

const NS = 1_000_000_000n;

function peer(rxBytes: number, txBytes: number, hasSession: boolean, handshakeS: number) {
  return {
    publicKey: new Uint8Array(32),
    keyText: "",
    rxBytes,
    txBytes,
    endpointVersion: 0,
    hasSession,
    lastHandshakeWallNs: BigInt(handshakeS) * NS,
  };
}

Deno.test("the line tells rates, peers in session and the latest handshake of all", () => {
  const before = totalOf([peer(1000, 0, true, 100), peer(0, 0, false, 0)], 5000);
  const now = totalOf([peer(126_000, 25_000, true, 100), peer(0, 0, true, 103)], 6000);
  assertEquals(
    statusLine("wg0", before, now, 108n * NS),
    "wg0  ↓ 1.00 Mbit/s  ↑ 200 kbit/s  2 of 2 peers  last handshake 5 seconds ago",
  );
});

Deno.test("without peers, before any handshake and at the first look there are words for it", () => {
  const none = totalOf([], 0);
  const text = "wg0  ↓ 0 bit/s  ↑ 0 bit/s  no peers  no handshake yet";
  assertEquals(statusLine("wg0", none, none, 0n), text);
  // A peer that has gone takes its bytes along.
  assertEquals(statusLine("wg0", totalOf([peer(9, 9, true, 0)], 0), totalOf([], 9), 0n), text);
});
