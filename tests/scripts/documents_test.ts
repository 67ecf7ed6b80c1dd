/** What the documents tell people to type exists: commands, flags, tasks, and the files they link. */
import { assert, assertEquals } from "@std/assert";
import { parseCommandLine } from "../../src/cli/command.ts";

const ROOT = new URL("../../", import.meta.url);
const PAGES = [
  ...["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"],
  ...[...Deno.readDirSync(new URL("docs", ROOT))].map(({ name }) => `docs/${name}`),
];

function read(page: string): string {
  return Deno.readTextFileSync(new URL(page, ROOT));
}

/** Words of a command line: comments, redirections and what follows a pipe are the shell's. */
function words(line: string): string[] {
  const own = line.split(/\s+(?:#|[<>|&;])|>>|\s\d?>/)[0];
  return own.trim().split(/\s+/).map((word) => word.replace(/^["']|["']$/g, ""));
}

/** All lines of a page that call this program, as its arguments. */
function calls(text: string): string[][] {
  const lines = [...text.matchAll(/`([^`\n]+)`/g), ...text.matchAll(/^ *([^`|\n]+)$/gm)]
    .map(([, line]) => line.trim().replaceAll("\\|", "|"));
  return lines.flatMap((line) => {
    const call = /(?:^|\/)longhaul (.*)$|(?:^| )main\.ts (.*)$/.exec(line);
    const isCall = call !== null && /^(longhaul|[\w./]*scripts\/longhaul|npx|deno)\b/.test(line);
    return isCall ? [words(call[1] ?? call[2])] : [];
  });
}

for (const page of PAGES) {
  Deno.test(`what ${page} tells people to type can be meant`, () => {
    for (const args of calls(read(page))) {
      const isForm = args.some((word) => /^[[(]|^-[a-z],$/.test(word));
      const isInterface = args.length === 1 && /^(IF|INTERFACE|NAME|wg\d)$/.test(args[0]);
      if (isForm || isInterface) continue;
      const { command, words, flags } = parseCommandLine(args);
      const isAbout = flags.has("help") || flags.has("version");
      assert(command !== null || isAbout, `${page}: longhaul ${args.join(" ")}`);
      if (command !== null && words.length > 0) {
        assert(words.length <= command.count.max || command.takesAllWords, args.join(" "));
      }
    }
  });

  Deno.test(`what ${page} links to is there, and its tasks exist`, () => {
    const text = read(page);
    const base = new URL(page, ROOT);
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
      assert(Deno.statSync(new URL(target, base)), `${page}: ${target}`);
    }
    const { tasks } = JSON.parse(read("deno.json"));
    for (const [, task] of text.matchAll(/deno(?:@[\d.]+)? task (\w+)/g)) {
      assert(Object.hasOwn(tasks, task), `${page}: deno task ${task}`);
    }
  });
}

Deno.test("the calls of a page are found", () => {
  const page = "Try `longhaul up wg0` or\n\n```sh\nscripts/longhaul status --watch >x\n" +
    "npx -y deno@2.9.6 run --allow-ffi main.ts up\n```\n";
  assertEquals(calls(page), [["up", "wg0"], ["status", "--watch"], ["up"]]);
});
