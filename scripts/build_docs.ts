/**
 * Writes the lists in docs/ from the code that they describe: commands, flags, variables, exit codes,
 * config keys, reasons for drops. A list stands between two comments in its page:
 *
 *     <!-- made: commands -->
 *     <!-- end -->
 *
 * What is around it is written by hand.
 *
 *     deno run -A scripts/build_docs.ts [--check]
 */
import { DropReason } from "../src/base/drop_reason.ts";
import { COMMANDS } from "../src/cli/commands.ts";
import type { CommandSpec } from "../src/cli/command_spec.ts";
import { ENVIRONMENT } from "../src/cli/environment.ts";
import { EXIT_CODES, flagText, usage } from "../src/cli/help.ts";
import { INTERFACE_KEYS, LONGHAUL_KEYS, PEER_KEYS } from "../src/config/sections.ts";
import { DROP_TEXTS, KEY_TEXTS, type KeyText } from "./doc_texts.ts";

const FOLDER = new URL("../docs/", import.meta.url);
const BLOCK = /<!-- made: ([\w ]+) -->\n[^]*?<!-- end -->/g;

type Row = readonly string[];

/** A list by its name; throws when there is none, or when its texts and the code differ. */
export function madeList(name: string): string {
  const [kind, argument] = name.split(" ");
  switch (kind) {
    case "commands":
      return COMMANDS.map(commandSection).join("\n\n");
    case "environment":
      return table(["variable", "meaning"], ENVIRONMENT.map(([name, text]) => [code(name), text]));
    case "exits":
      return table(["code", "meaning"], EXIT_CODES);
    case "keys":
      return keyTable(argument);
    case "drops":
      return dropTable();
  }
  throw new Error(`There is no list "${name}"`);
}

/** A page with its lists made anew. */
export function withLists(page: string): string {
  return page.replace(BLOCK, (_all, name: string) => {
    return `<!-- made: ${name} -->\n\n${madeList(name)}\n\n<!-- end -->`;
  });
}

function commandSection(command: CommandSpec): string {
  const { name, summary, examples, about, flags } = command;
  const parts = [`## ${name}`, fence(`longhaul ${usage(command)}`), `${capital(summary)}.`];
  if (examples.length > 0) {
    parts.push(
      table(["example", ""], examples.map(([line, does]) => [code(`longhaul ${line}`), does])),
    );
  }
  if (about !== undefined) parts.push(fence(about));
  if (flags.length > 0) {
    parts.push(table(["flag", ""], flags.map((flag) => [code(flagText(flag)), flag.help])));
  }
  return parts.join("\n\n");
}

const SECTIONS: Readonly<Record<string, ReadonlyMap<string, { name: string; isList?: boolean }>>> =
  {
    Interface: INTERFACE_KEYS,
    Peer: PEER_KEYS,
    Longhaul: LONGHAUL_KEYS,
  };

/** Known keys that this version refuses by name have no text. */
const REFUSED: readonly string[] = [
  ...["Netstack", "Serve", "Allow", "Deny", "CongestionControl"],
  ...["Memory", "Status"],
];

function keyTable(section: string): string {
  const keys = [...SECTIONS[section].values()].map(({ name }) => name);
  const texts = KEY_TEXTS[section];
  const known = keys.filter((name) => Object.hasOwn(texts, name));
  const missing = keys.filter((name) => !known.includes(name) && !REFUSED.includes(name));
  const left = Object.keys(texts).filter((name) => !keys.includes(name));
  complain(`[${section}] in scripts/doc_texts.ts`, missing, left);
  const row = (
    name: string,
    { values, without, does }: KeyText,
  ) => [code(name), values, without, does];
  return table(["key", "values", "without it", ""], known.map((name) => row(name, texts[name])));
}

function dropTable(): string {
  const reasons = Object.keys(DropReason).filter((name) => name !== "None");
  complain(
    "the reasons in scripts/doc_texts.ts",
    reasons.filter((name) => !Object.hasOwn(DROP_TEXTS, name)),
    Object.keys(DROP_TEXTS).filter((name) => !reasons.includes(name)),
  );
  return table(["reason", ""], reasons.map((name) => [code(name), DROP_TEXTS[name]]));
}

function complain(where: string, missing: readonly string[], left: readonly string[]): void {
  if (missing.length > 0) throw new Error(`${where}: no text for ${missing.join(", ")}`);
  if (left.length > 0) throw new Error(`${where}: nothing is called ${left.join(", ")}`);
}

/** A Markdown table as `deno fmt` lays it out. */
function table(head: Row, rows: readonly Row[]): string {
  const cells = [head, ...rows].map((row) =>
    row.map((cell) => cell.replace(/\s*\n\s*/g, " ").replaceAll("|", "\\|"))
  );
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column].length)));
  const line = (row: Row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(cells[0]), rule, ...cells.slice(1).map(line)].join("\n");
}

function code(text: string): string {
  return `\`${text}\``;
}

function fence(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}

function capital(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}

async function main(isCheck: boolean): Promise<void> {
  const stale: string[] = [];
  for await (const { name } of Deno.readDir(FOLDER)) {
    if (!name.endsWith(".md")) continue;
    const url = new URL(name, FOLDER);
    const page = await Deno.readTextFile(url);
    const made = withLists(page);
    if (made === page) continue;
    stale.push(`docs/${name}`);
    if (!isCheck) await Deno.writeTextFile(url, made);
  }
  if (!isCheck) {
    console.log(stale.length === 0 ? "docs: nothing to do" : `made ${stale.join(", ")}`);
  } else if (stale.length === 0) console.log("docs: the lists are those of the code");
  else {
    console.error(`${stale.join(", ")}: the lists are stale: run deno task docs`);
    Deno.exit(1);
  }
}

if (import.meta.main) await main(Deno.args.includes("--check"));
