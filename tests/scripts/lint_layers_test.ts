import { assert, assertEquals } from "@std/assert";
import { LAYERS, lintProject, lintSource, printLayers } from "../../scripts/lint_layers.ts";

/** The messages for a source text, each as `line: message`. */
function findings(file: string, text: string): string[] {
  return lintSource(file, text).map(({ line, message }) => `${line}: ${message}`);
}

function assertClean(file: string, text: string): void {
  assertEquals(findings(file, text), []);
}

function assertRefused(file: string, text: string, line: number, word: string): void {
  const found = findings(file, text);
  assertEquals(found.length, 1, found.join("\n") || `nothing found in: ${text}`);
  assert(found[0].startsWith(`${line}: `) && found[0].includes(word), found[0]);
}

Deno.test("the project keeps its own rules", () => {
  const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
  assertEquals(lintProject(root).map(({ file, message }) => `${file}: ${message}`), []);
});

Deno.test("an import of a lower layer passes", () => {
  assertClean("src/wire/ipv4.ts", 'import { x } from "../memory/slab.ts";');
  assertClean("src/cli/up.ts", 'import { x } from "../base/log.ts";\nimport "../../ffi/libc.ts";');
  assertClean("main.ts", 'import { x } from "./src/cli/command.ts";');
});

Deno.test("an import of the same folder passes, below a subfolder too", () => {
  assertClean("src/wireguard/device.ts", 'import { x } from "./peer.ts";');
  assertClean("src/lane/host/a.ts", 'import { x } from "../b.ts";');
});

Deno.test("an import of a higher layer is refused with its line", () => {
  assertRefused("src/wire/a.ts", '\n\nimport { x } from "../lane/lane.ts";', 3, "above");
});

Deno.test("an import of the folder beside is refused", () => {
  assertRefused("src/offload/a.ts", 'import { x } from "../tables/epoch.ts";', 1, "beside");
  assertRefused("src/tables/a.ts", 'import { x } from "../offload/gso.ts";', 1, "beside");
});

for (
  const [kind, statement] of [
    ["a type import", 'import type { X } from "../lane/lane.ts";'],
    ["a bare import", 'import "../lane/lane.ts";'],
    ["a namespace import", 'import * as lane from "../lane/lane.ts";'],
    ["a default import", 'import lane from "../lane/lane.ts";'],
    ["a re-export", 'export { x } from "../lane/lane.ts";'],
    ["a re-export of everything", 'export * from "../lane/lane.ts";'],
    ["a re-export of types", 'export type { X } from "../lane/lane.ts";'],
    ["a dynamic import", 'const x = await import("../lane/lane.ts");'],
    ["an import written over lines", 'import {\n  x,\n} from "../lane/lane.ts";'],
    ["an import by attribute", 'import t from "../lane/a.js" with { type: "text" };'],
    ["a worker's URL", 'const u = new URL("../lane/lane.ts", import.meta.url);'],
    ["an import inside a template", 'const s = `a ${await import("../lane/lane.ts")} b`;'],
    ["an import type", 'type X = import("../lane/lane.ts").X;'],
  ]
) {
  Deno.test(`${kind} counts as an import`, () => {
    const line = kind.includes("over lines") ? 3 : 1;
    assertRefused("src/wire/a.ts", statement, line, "above");
  });
}

Deno.test("ffi/ is refused in a pure layer, and in a mixed one but for its native files", () => {
  assertRefused("src/wireguard/a.ts", 'import { x } from "../../ffi/libc.ts";', 1, "ffi/");
  assertRefused("src/crypto/noble.ts", 'import { x } from "../../ffi/libc.ts";', 1, "ffi/");
  assertClean("src/crypto/native_aead.ts", 'import { x } from "../../ffi/libc.ts";');
});

Deno.test("ffi/ imports base and itself only", () => {
  assertClean("ffi/tun.ts", 'import "./libc.ts"; import "../src/base/errno.ts";');
  assertRefused("ffi/tun.ts", 'import { x } from "../src/memory/slab.ts";', 1, "src/base");
});

Deno.test("a folder that is in no layer is refused", () => {
  assertRefused("src/misc/a.ts", "export const x = 1;", 1, "no layer");
  assertRefused("src/wire/a.ts", 'import "../misc/a.ts";', 1, "no layer");
});

Deno.test("a package by address is refused, one of the import map passes", () => {
  assertRefused("src/cli/a.ts", 'import x from "npm:left-pad";', 1, "import map");
  assertRefused("src/cli/a.ts", 'import x from "https://example.org/x.ts";', 1, "import map");
  assertClean("src/crypto/noble.ts", 'import { x } from "@noble/hashes/blake2.js";');
});

Deno.test("node: modules are refused in pure layers", () => {
  assertRefused("src/wire/a.ts", 'import { x } from "node:os";', 1, "node:os");
  assertClean("src/daemon/a.ts", 'import { x } from "node:os";');
});

for (
  const use of [
    "Deno.exit(1);",
    "const now = Date.now();",
    "const at = new Date();",
    "performance.now();",
    "const x = Math.random();",
    "crypto.getRandomValues(bytes);",
    "setTimeout(() => {}, 1);",
    "console.log(1);",
    "await fetch(url);",
    "process.env.HOME;",
    "globalThis.Deno2;",
    "const text = `${Date.now()}`;",
    "const half = a / 2; Deno.exit(); const b = c / 2;",
  ]
) {
  Deno.test(`a pure layer may not say: ${use}`, () => {
    assertEquals(findings("src/wire/a.ts", use).length, 1);
    assertEquals(findings("src/lane/a.ts", `/* a\n */\n${use}`)[0]?.slice(0, 2), "3:");
    assertClean("src/daemon/a.ts", use);
  });
}

for (
  const [what, text] of [
    ["a line comment", "// Deno.exit, Date, performance"],
    ["a block comment", "/** Deno.exit()\n * import x from '../lane/a.ts' */"],
    ["a string", 'const x = "Deno.exit(Date)";'],
    ["a string with an escaped quote", 'const x = "\\" + Date.now()";'],
    ["a template's text", "const x = `Deno.exit(Date)`;"],
    ["a regular expression", 'const x = /Date"|`/.test(y);'],
    ["a regular expression with a class", "const x = [/[/'\"]Date/, 1];"],
    ["a property", "record.Date = row.performance;"],
    ["a property after ?.", "record?.Date;"],
    ["a key", "const x = { Date: 1, performance: 2 };"],
    ["a private name", "this.#process = 1;"],
    ["a method of that name", "interface X {\n  process(batch: number): void;\n}"],
    ["a longer word", "const DateLike = 1; updateDate();"],
    ["Math in general", "Math.max(1, 2); crypto.x25519(a);"],
  ]
) {
  Deno.test(`${what} is not a use of a global`, () => assertClean("src/wire/a.ts", text));
}

Deno.test("the printed table names every layer once", () => {
  const text = printLayers();
  for (const { path } of LAYERS.flat()) {
    assertEquals(text.split(`| \`${path}\` |`).length, 2, path);
  }
});
