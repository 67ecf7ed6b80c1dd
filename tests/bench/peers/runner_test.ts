import { assert, assertEquals } from "@std/assert";
import type { Result } from "../../../bench/peers/result.ts";
import { runWorkloads } from "../../../bench/peers/runner.ts";
import type { Workload } from "../../../bench/peers/workloads/workload.ts";

/** A workload that writes down whose turn it is, and fails for boringtun. */
function recording(log: string[]): Workload {
  return {
    name: "work",
    title: "work",
    contestants: ["wireguard-go", "longhaul"],
    metrics: [{ key: "rate", label: "rate", better: "more" }],
    accepts: ({ name }) => name !== "tailscaled",
    turn: ({ label }) => {
      log.push(label);
      if (label === "boringtun") return Promise.reject(new Error("it panicked"));
      return Promise.resolve({ rate: log.length });
    },
  };
}

function hooks(missing: string[] = []) {
  const lines: string[] = [];
  const kept: Result[] = [];
  return {
    lines,
    kept,
    reasonMissing: (label: string) => Promise.resolve(missing.includes(label) ? "absent" : null),
    surroundings: (labels: readonly string[]) => Promise.resolve([`with ${labels.join(" ")}`]),
    progress: (line: string) => void lines.push(line),
    keep: (result: Result) => void kept.push(structuredClone(result)),
  };
}

Deno.test("contestants take turns A B B A, and each turn is kept as soon as it is over", async () => {
  const log: string[] = [];
  const recorder = hooks();
  const { kept } = recorder;
  const result = await runWorkloads([recording(log)], { rounds: 2, seconds: 1 }, recorder);
  assertEquals(log, ["wireguard-go", "longhaul", "longhaul", "wireguard-go"]);
  assertEquals(result.workloads[0].turns, {
    "wireguard-go": [{ rate: 1 }, { rate: 4 }],
    "longhaul": [{ rate: 2 }, { rate: 3 }],
  });
  assertEquals(kept.length, 4);
  assertEquals(kept[1].workloads[0].turns["longhaul"].length, 1);
});

Deno.test("a contestant that fails is told of, and the others go on", async () => {
  const log: string[] = [];
  const settings = { rounds: 2, seconds: 1, contestants: ["boringtun", "longhaul"] };
  const recorder = hooks();
  const result = await runWorkloads([recording(log)], settings, recorder);
  assertEquals(log.length, 4);
  assertEquals(result.workloads[0].turns["longhaul"].length, 2);
  assertEquals(result.workloads[0].failures[0], {
    contestant: "boringtun",
    reason: "it panicked",
  });
  assert(recorder.lines.some((line) => line.includes("boringtun failed: it panicked")));
});

Deno.test("an absent program is left out with its reason; one that cannot do it, without", async () => {
  const log: string[] = [];
  const contestants = ["wireguard-go", "tailscaled", "longhaul"];
  const settings = { rounds: 1, seconds: 1, contestants };
  const result = await runWorkloads([recording(log)], settings, hooks(["wireguard-go"]));
  assertEquals(log, ["longhaul"]);
  assertEquals(Object.keys(result.workloads[0].turns), ["wireguard-go", "longhaul"]);
  assertEquals(result.workloads[0].failures, [{ contestant: "wireguard-go", reason: "absent" }]);
  assertEquals(result.surroundings, ["with longhaul"]);
});

Deno.test("without a program that every turn needs, nobody has a turn", async () => {
  const log: string[] = [];
  const workload = { ...recording(log), others: ["boringtun"] };
  const recorder = hooks(["boringtun"]);
  const result = await runWorkloads([workload], { rounds: 1, seconds: 1 }, recorder);
  assertEquals([log, result.workloads[0].failures.length], [[], 2]);
});

Deno.test("a workload that none of the named can do is left out", async () => {
  const settings = { rounds: 1, seconds: 1, contestants: ["tailscaled"] };
  const recorder = hooks();
  assertEquals((await runWorkloads([recording([])], settings, recorder)).workloads, []);
  assertEquals(recorder.lines, ["work: none of the programs can do this"]);
});
