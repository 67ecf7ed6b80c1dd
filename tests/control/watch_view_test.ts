import { assert, assertEquals } from "@std/assert";
import {
  frameLines,
  type FrameOptions,
  shortAge,
  summaryLine,
} from "../../src/control/watch_view.ts";
import { WatchHistory } from "../../src/control/watch_history.ts";
import type { NodeReport } from "../../src/control/node_report.ts";
import { peerStatus } from "./peer_status.ts";

const NOW = 1_700_000_000_000_000_000n;

function report(drops: number): NodeReport {
  return {
    version: "0.1.0",
    uptimeMs: 3_700_000,
    cipher: "openssl-composed",
    lanes: [{ peers: 2, messages: 0, handedOver: 0 }],
    encryptors: 0,
    encryptorWork: [],
    mtu: 1420,
    offloads: new Map(),
    counters: new Map([["TunReads", 10], ["TunReadPackets", 425]]),
    drops: [{ reason: "NoRoute", packets: drops }],
    peers: [{
      keyText: "01".repeat(32),
      rxBytesPerSecond: 0,
      txBytesPerSecond: 0,
      friendlyName: "phone",
    }],
  };
}

/** An interface that has been looked at twice, a second apart. */
function history(peers = 2): WatchHistory {
  const history = new WatchHistory();
  for (const [atMs, rxBytes] of [[1000, 0], [2000, 125_000]]) {
    const all = Array.from(
      { length: peers },
      (_, i) =>
        peerStatus(i + 1, i === 0 ? { rxBytes, lastHandshakeWallNs: NOW - 12_000_000_000n } : {}),
    );
    const status = { privateKey: null, listenPort: 51820, fwmark: 0, peers: all };
    history.push({ atMs, status, report: report(atMs / 1000) });
  }
  return history;
}

function options(columns: number, rows: number): FrameOptions {
  return { columns, rows, nowWallNs: NOW, paint: (_style, text) => text };
}

Deno.test("a frame shows rates with curves, batches, drops and the peers by their names", () => {
  assertEquals(
    frameLines(new Map([["wg0", history()]]), options(110, 24)),
    [
      "wg0  port 51820, MTU 1420, openssl-composed, up 1h 1m",
      "  total     rx 1.00 Mbit/s                                 █ tx     0 bit/s                                 ▁",
      "  batches   no packets",
      "  drops     NoRoute 2; 1 new",
      "",
      "  peer        handshake    received          rx                           sent          tx",
      "  phone             12s  122.07 KiB 1.00 Mbit/s                  █         0 B     0 bit/s                  ▁",
      "  AgIC...CAgI     never         0 B     0 bit/s                  ▁         0 B     0 bit/s                  ▁",
    ],
  );
});

Deno.test("no frame is wider or higher than its screen, whatever that is", () => {
  const interfaces = new Map([["wg0", history(40)], ["wg1", history(3)]]);
  for (let columns = 1; columns <= 200; columns += 3) {
    for (const rows of [1, 2, 7, 23, 100]) {
      const lines = frameLines(interfaces, options(columns, rows));
      assert(lines.length <= rows, `${lines.length} lines on ${rows}`);
      const tooLong = lines.find((line) => line.length > columns);
      assertEquals(tooLong, undefined, `${columns} columns`);
    }
  }
});

Deno.test("styles take no column, and a line that is cut within one ends it", () => {
  const paint = (_style: string, text: string) => `\x1b[36m${text}\x1b[0m`;
  for (let columns = 1; columns <= 120; columns++) {
    const lines = frameLines(new Map([["wg0", history()]]), { ...options(columns, 50), paint });
    for (const line of lines) {
      // deno-lint-ignore no-control-regex
      assert(line.replace(/\x1b\[\d+m/g, "").length <= columns, line);
      const styles = line.split("\x1b[36m").length, ends = line.split("\x1b[0m").length;
      assertEquals(ends >= styles, true, JSON.stringify(line));
    }
  }
});

Deno.test("what does not fit is counted", () => {
  const lines = frameLines(new Map([["wg0", history(40)]]), options(80, 10));
  assertEquals([lines.length, lines[9]], [10, "... 37 more lines"]);
});

Deno.test("without a screen an interface is one line", () => {
  assertEquals(
    summaryLine("wg0", history(), NOW),
    "wg0: rx 1.00 Mbit/s, tx 0 bit/s, 1 of 2 peers in session, 1 dropped",
  );
});

Deno.test("a program that tells only what every program tells is shown as far as it goes", () => {
  const other = new WatchHistory();
  const status = { privateKey: null, listenPort: 1, fwmark: 0, peers: [peerStatus(1)] };
  other.push({ atMs: 1, status, report: null });
  const lines = frameLines(new Map([["wg0", other]]), options(80, 24));
  assertEquals(lines[0], "wg0  port 1");
  assertEquals(lines.length, 5);
});

Deno.test("ages have at most two units", () => {
  assertEquals([0.9, 59, 61, 3599, 3600, 86_399, 90_000].map(shortAge), [
    "0s",
    "59s",
    "1m 1s",
    "59m 59s",
    "1h 0m",
    "23h 59m",
    "1d 1h",
  ]);
});
