/** `demo` as the documented command runs it, by any user, without a network. */
import { assert, assertEquals } from "@std/assert";
import { progressBar } from "../../src/cli/progress_bar.ts";
import type { BulkResult } from "../../src/daemon/bulk_pair.ts";
import { requires } from "../requires.ts";
import { run } from "../netns/command.ts";
import { Net } from "../netns/net.ts";
import { asNobody, makeSandbox, ROOTLESS_NEEDS } from "../netns/rootless.ts";
import { command, longhaul } from "./longhaul.ts";

interface Report {
  readonly isExact: boolean;
  readonly transfers: readonly (BulkResult & { readonly variant: string })[];
}

const SHORT = ["demo", "--seconds", "0.3"];

function assertReport(text: string): void {
  const { transfers, isExact }: Report = JSON.parse(text);
  assert(isExact, text);
  assertEquals(transfers.map(({ variant, direction }) => `${variant}, ${direction}`), [
    "GSO off, a to b",
    "GSO off, b to a",
    "UDP GSO, a to b",
    "UDP GSO, b to a",
    "GSO on, a to b",
    "GSO on, b to a",
  ]);
  for (const { variant, bytes, seconds, bytesPerSend, isExact } of transfers) {
    assert(isExact && bytes > 0 && seconds > 0, text);
    // A packet of 1,420 bytes with WireGuard's 32, or dozens of them.
    if (variant === "GSO off") assert(bytesPerSend <= 1452, text);
    if (variant === "GSO on") assert(bytesPerSend > 15_000, text);
  }
}

Deno.test("demo moves data both ways with offload off and on, and every byte is right", async () => {
  const { code, stdout, stderr } = await longhaul([...SHORT, "--json"], { timeoutMs: 60_000 });
  assertEquals([code, stderr], [0, ""]);
  assertReport(stdout);
});

Deno.test({
  name: "demo runs as nobody, in a namespace that has only its loopback",
  ...requires(...ROOTLESS_NEEDS),
  async fn() {
    await using net = new Net();
    const namespace = await net.namespace("demo");
    const argv = asNobody(makeSandbox(net), command(...SHORT, "--json"));
    const { stdout } = await run(argv, { namespace, timeoutMs: 60_000 });
    assertReport(stdout);
  },
});

Deno.test("without --json demo tells each transfer and ends with a table", async () => {
  const { code, stdout, stderr } = await longhaul(SHORT, { timeoutMs: 60_000 });
  assertEquals(code, 0, stderr);
  assertEquals(stderr.trim().split("\n").length, 6, stderr);
  assert(stderr.split("\n").slice(0, 6).every((line) => line.includes("every byte right")), stderr);
  const lines = stdout.trim().split("\n");
  assertEquals(lines.length, 7, stdout);
  assert(lines[0].includes("Gbit/s") && lines[6].startsWith("GSO on   b to a"), stdout);
  assert(!stdout.includes("\x1b"), "no colours where there is no terminal");
});

Deno.test({
  name: "on a terminal demo draws bars and never asks for a permission",
  ...requires("script"),
  async fn() {
    const argv = command(...SHORT).filter((word) => word !== "--no-prompt");
    const line = argv.map((word) => `'${word}'`).join(" ");
    const { code, stdout } = await run(["script", "-qec", line, "/dev/null"], {
      timeoutMs: 60_000,
      env: { TERM: "xterm" },
    });
    assertEquals(code, 0, stdout);
    assert(stdout.includes("\r\x1b[K") && stdout.includes("█"), stdout);
    assert(stdout.includes("every byte right") && !/Deno requests|Allow\?/.test(stdout), stdout);
  },
});

Deno.test("demo refuses what it cannot mean", async () => {
  for (const args of [["--seconds", "0"], ["--seconds", "61"], ["--seconds", "x"], ["word"]]) {
    const { code, stderr } = await longhaul(["demo", ...args]);
    assertEquals(code, 2, stderr);
  }
});

Deno.test("a progress bar keeps its width and fills from the left", () => {
  assertEquals(progressBar(0, 4), "    ");
  assertEquals(progressBar(1 / 8, 4), "▌   ");
  assertEquals(progressBar(0.5, 4), "██  ");
  assertEquals(progressBar(1, 4), "████");
  for (const part of [-1, 0.01, 0.3, 0.99, 2, NaN]) {
    assertEquals(progressBar(part, 10).length, 10, String(part));
  }
});
