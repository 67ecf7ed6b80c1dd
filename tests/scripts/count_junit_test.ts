import { assertEquals } from "@std/assert";
import { countCases } from "../../scripts/count_junit.ts";

const FAILURE = '<failure message="m">Error: &lt;testcase name=&quot;x&quot;&gt;</failure>';

function report(...cases: [name: string, body: string, suite?: string][]): string {
  const rows = cases.map(([name, body, suite = "./tests/a_test.ts"]) =>
    `<testcase name="${name.replaceAll(">", "&gt;")}" classname="${suite}" time="0.000">
        ${body}
     </testcase>`
  );
  return `<?xml version="1.0"?><testsuites><testsuite>${rows.join("\n")}</testsuite></testsuites>`;
}

Deno.test("plain cases count by their outcome", () => {
  const xml = report(["a", ""], ["b", FAILURE], ["c", "<skipped/>"], ["d", ""]);
  assertEquals(countCases(xml), { passed: 2, failed: 1, skipped: 1 });
});

Deno.test("a case written as an empty element counts", () => {
  assertEquals(countCases('<testcase name="a" classname="x"/>').passed, 1);
});

Deno.test("only the innermost steps of a test count", () => {
  const xml = report(["p", ""], ["p > one", ""], ["p > two", ""], ["p > two > deep", ""]);
  assertEquals(countCases(xml), { passed: 2, failed: 0, skipped: 0 });
});

Deno.test("a parent that failed because of a step is not counted again", () => {
  const xml = report(["p", FAILURE], ["p > one", FAILURE], ["p > two", ""]);
  assertEquals(countCases(xml), { passed: 1, failed: 1, skipped: 0 });
});

Deno.test("a parent that failed by itself is a failure", () => {
  const xml = report(["p", FAILURE], ["p > one", ""]);
  assertEquals(countCases(xml), { passed: 1, failed: 1, skipped: 0 });
});

Deno.test("a case is no parent of one with the same name in another file", () => {
  const xml = report(["p", "", "./a_test.ts"], ["p > one", "", "./b_test.ts"]);
  assertEquals(countCases(xml).passed, 2);
});

Deno.test("steps of node:test belong to the parent in the test's own file", () => {
  const node = "ext:deno_node/testing.ts";
  const xml = report(
    ["outer", FAILURE],
    ["outer > a", "", node],
    ["outer > inner", FAILURE, node],
    ["outer > inner > b", FAILURE, node],
  );
  assertEquals(countCases(xml), { passed: 1, failed: 1, skipped: 0 });
});

Deno.test("a name that only looks like a step is a case of its own", () => {
  assertEquals(countCases(report(["1 > x", ""], ["b", ""])).passed, 2);
});
