import { assertEquals } from "@std/assert";
import { judge, judgeAll, type Target, TARGETS } from "../../../bench/peers/targets.ts";
import { WORKLOADS } from "../../../bench/peers/workloads/all.ts";
import { resultOf, workloadResult } from "./results.ts";

const RATE: Target = {
  work: "rate",
  workload: "tcp",
  metric: "gbit",
  against: ["wireguard-go"],
  bound: "at least",
  limit: 2,
};

function rates(ours: number[], theirs: Record<string, number[]>) {
  const samples = (values: number[]) => values.map((gbit) => ({ gbit }));
  const others = Object.entries(theirs).map(([name, values]) => [name, samples(values)]);
  return resultOf(
    workloadResult("tcp", { longhaul: samples(ours), ...Object.fromEntries(others) }),
  );
}

Deno.test("a row is judged by the ratio of medians, and shows each round's beside it", () => {
  const { value, range, verdict, peer } = judge(
    rates([4, 6, 5], { "wireguard-go": [2, 2, 4] }),
    RATE,
  );
  assertEquals([value, range, verdict, peer], [2.5, [1.25, 3], "met", "wireguard-go"]);
});

Deno.test("the limit itself is met; below at least, and above at most, is missed", () => {
  const ratio = (ours: number) => rates([ours], { "wireguard-go": [1] });
  const verdicts = (bound: Target["bound"]) =>
    [1.99, 2, 2.01].map((ours) => judge(ratio(ours), { ...RATE, bound }).verdict);
  assertEquals(verdicts("at least"), ["missed", "met", "met"]);
  assertEquals(verdicts("at most"), ["met", "met", "missed"]);
});

Deno.test("of several peers the best one counts, which is the least where less is better", () => {
  const result = rates([4], { "wireguard-go": [1], "boringtun": [2] });
  const against = ["wireguard-go", "boringtun"];
  const peer = (bound: Target["bound"]) => judge(result, { ...RATE, bound, against }).peer;
  assertEquals([peer("at least"), peer("at most")], ["boringtun", "wireguard-go"]);
});

Deno.test("a limit without a peer is compared with our own median", () => {
  const row: Target = { ...RATE, against: [], bound: "at most", limit: 200, unit: "MB" };
  const { value, verdict } = judge(rates([150, 190, 260], {}), row);
  assertEquals([value, verdict], [190, "met"]);
});

Deno.test("a row that has a condition is missed when only the condition is", () => {
  const turns = { longhaul: [{ gbit: 5, ms: 1 }], "wireguard-go": [{ gbit: 4, ms: 10 }] };
  const result = resultOf(workloadResult("tcp", turns));
  const row: Target = { ...RATE, metric: "ms", bound: "at most", limit: 0.2 };
  const provided = { ...RATE, limit: 1.4 };
  assertEquals(judge(result, row).verdict, "met");
  assertEquals(judge(result, { ...row, provided }).verdict, "missed");
  assertEquals(judge(result, { ...row, provided: { ...provided, limit: 1.2 } }).verdict, "met");
});

Deno.test("without our figure, a peer's, or the whole workload there is no judgement", () => {
  const verdict = (ours: number[], theirs: Record<string, number[]>) =>
    judge(rates(ours, theirs), RATE).verdict;
  assertEquals(verdict([], { "wireguard-go": [1] }), "not measured");
  assertEquals(verdict([1], {}), "not measured");
  assertEquals(verdict([1], { "wireguard-go": [] }), "not measured");
  assertEquals(judge(resultOf(), RATE).verdict, "not measured");
  assertEquals(judgeAll(resultOf(), [RATE]), []);
});

Deno.test("each target's metric is measured by its workload, and its peers take part in it", () => {
  for (const target of TARGETS.flatMap((t) => t.provided ? [t, { ...t, ...t.provided }] : [t])) {
    const workload = WORKLOADS.find(({ name }) => name === target.workload)!;
    const keys = workload.metrics.map(({ key }) => key);
    assertEquals(keys.includes(target.metric), true, `${target.workload}.${target.metric}`);
    const absent = target.against.filter((peer) => !workload.contestants.includes(peer));
    assertEquals(absent, [], target.work);
    const { better } = workload.metrics.find(({ key }) => key === target.metric)!;
    assertEquals(target.bound === "at least", better === "more", target.work);
  }
});
