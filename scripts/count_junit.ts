/**
 * Counts the leaf test cases of a JUnit report written by `deno test --junit-path`.
 *
 *     deno run --allow-read scripts/count_junit.ts REPORT
 *
 * prints `PASSED FAILED SKIPPED` on one line. The report lists a test that has steps beside each of
 * its steps ("parent" and "parent > step"): only the steps count, unless the parent failed by
 * itself after all its steps had passed, which counts as one more failure.
 */

/** How many leaf cases there were of each kind. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Case {
  readonly name: string;
  readonly suite: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

/** The suite that steps of `node:test` are filed under, whatever file their parent is in. */
const FOREIGN_SUITE = /node.*testing/;
const STEP = " > ";

/** Counts the leaf cases in the text of a report. */
export function countCases(xml: string): Counts {
  const cases = readCases(xml);
  const parents = new Map<string, boolean>();
  for (const { name, suite, outcome } of cases) {
    for (let at = name.indexOf(STEP); at >= 0; at = name.indexOf(STEP, at + 1)) {
      for (const key of parentKeys(suite, name.slice(0, at))) {
        parents.set(key, (parents.get(key) ?? false) || outcome === "failed");
      }
    }
  }
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, suite, outcome } of cases) {
    const stepFailed = stepsOf(parents, suite, name);
    if (stepFailed === undefined) counts[outcome]++;
    else if (outcome === "failed" && !stepFailed) counts.failed++;
  }
  return counts;
}

/** Whether a step of that case failed; undefined when the case has no steps. */
function stepsOf(
  parents: Map<string, boolean>,
  suite: string,
  name: string,
): boolean | undefined {
  return parents.get(`${suite}\n${name}`) ?? parents.get(`\n${name}`);
}

function parentKeys(suite: string, name: string): string[] {
  return FOREIGN_SUITE.test(suite) ? [`${suite}\n${name}`, `\n${name}`] : [`${suite}\n${name}`];
}

function readCases(xml: string): Case[] {
  const cases: Case[] = [];
  const pattern = /<testcase\s([^>]*?)(\/>|>([^]*?)<\/testcase>)/g;
  for (const [, attributes, , body = ""] of xml.matchAll(pattern)) {
    const skipped = /<skipped[\s/>]/.test(body);
    const failed = /<(failure|error)[\s/>]/.test(body);
    cases.push({
      name: attribute(attributes, "name"),
      suite: attribute(attributes, "classname"),
      outcome: skipped ? "skipped" : failed ? "failed" : "passed",
    });
  }
  return cases;
}

function attribute(attributes: string, name: string): string {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return value.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'").replaceAll("&#39;", "'").replaceAll("&amp;", "&");
}

if (import.meta.main) {
  const { passed, failed, skipped } = countCases(Deno.readTextFileSync(Deno.args[0]));
  console.log(passed, failed, skipped);
}
