import { assert, assertEquals, assertThrows } from "@std/assert";
import { COMMANDS } from "../../src/cli/commands.ts";
import { madeList, withLists } from "../../scripts/build_docs.ts";

Deno.test("a list is made anew between its marks, and what is around it stays", () => {
  const page = "# Title\n\n<!-- made: exits -->\nstale words\n<!-- end -->\n\nText.\n";
  const made = withLists(page);
  assert(made.startsWith("# Title\n\n<!-- made: exits -->\n\n| code "), made);
  assert(made.endsWith("|\n\n<!-- end -->\n\nText.\n") && !made.includes("stale words"), made);
  assertEquals(withLists(made), made);
});

Deno.test("every command and flag is in the list of commands", () => {
  const text = madeList("commands");
  for (const { name, flags } of COMMANDS) {
    assert(text.includes(`## ${name}\n`), name);
    for (const flag of flags) assert(text.includes(`--${flag.name}`), flag.name);
  }
});

Deno.test("a list that nobody can make is an error", () => {
  assertThrows(() => madeList("wishes"), Error, 'no list "wishes"');
});
