import { assertEquals, assertThrows } from "@std/assert";
import { parseOptions } from "../../../bench/peers/options.ts";

Deno.test("without options everything runs; quick is one short round, and can be told otherwise", () => {
  const { only, contestants, rounds, seconds, merge } = parseOptions([]);
  assertEquals([only, contestants, merge], [undefined, undefined, undefined]);
  assertEquals([rounds > 1, seconds > 1], [true, true]);
  const quick = parseOptions(["--quick", "--seconds", "7"]);
  assertEquals([quick.rounds, quick.seconds], [1, 7]);
});

Deno.test("lists are separated by commas, and files follow --merge", () => {
  const run = parseOptions(["--only", "tcp,ping", "--programs", "wireguard-go,longhaul:boringtun"]);
  assertEquals(run.only, ["tcp", "ping"]);
  assertEquals(run.contestants, ["wireguard-go", "longhaul:boringtun"]);
  const merge = parseOptions(["--merge", "a.json", "b.json", "--svg", "c.svg"]);
  assertEquals([merge.merge, merge.svg], [["a.json", "b.json"], "c.svg"]);
});

Deno.test("what is no option, no number or no program is refused", () => {
  assertThrows(() => parseOptions(["--fast"]), Error, "no such option: --fast");
  assertThrows(() => parseOptions(["tcp"]), Error, "not an option: tcp");
  assertThrows(() => parseOptions(["--merge"]), Error, "needs files");
  assertThrows(() => parseOptions(["--rounds", "none"]), Error, "--rounds takes a whole");
  assertThrows(() => parseOptions(["--seconds", "1.5"]), Error, "--seconds takes a whole");
  assertThrows(() => parseOptions(["--programs", "openvpn"]), Error, "no such program");
});
