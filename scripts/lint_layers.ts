/**
 * Proves that imports point downward only, that `ffi/` is touched only where the table says so, and
 * that clocks, randomness and the runtime stay out of the pure layers.
 *
 *     deno run --allow-read scripts/lint_layers.ts [--print]
 *
 * `--print` writes the table as Markdown, for ARCHITECTURE.md. The sources are read token by token,
 * so comments, strings and regular expressions never count as code.
 */
import { code, type Token, tokenize } from "./tokenize.ts";

/** One row of the layer order. */
export interface Layer {
  /** Folder below the project, or a file at its top. */
  readonly path: string;
  readonly purpose: string;
  /**
   * Which of its files may import `ffi/` and use the runtime: all, none, or those whose name begins
   * with this prefix.
   */
  readonly system: "all" | "none" | { readonly prefix: string };
}

/**
 * The order, lowest first. A file may import from its own folder and from rows above its own in
 * this table; folders of one row do not import each other. This is the only place that states it.
 */
export const LAYERS: readonly (readonly Layer[])[] = [
  [{
    path: "src/base",
    purpose: "assertions, reasons, clock and random interfaces",
    system: "none",
  }],
  [{ path: "src/memory", purpose: "the shared slab, rings, doorbells", system: "none" }],
  [{ path: "src/kernels", purpose: "WebAssembly routines over the slab", system: "none" }],
  [{ path: "src/wire", purpose: "headers and checksums over (view, at)", system: "none" }],
  [
    { path: "src/offload", purpose: "split and coalesce of super-packets", system: "none" },
    { path: "src/tables", purpose: "allowed IPs, peers, keypairs, replay windows", system: "none" },
  ],
  [
    { path: "src/netstack", purpose: "a TCP/IP stack without I/O", system: "none" },
    { path: "src/nat", purpose: "address translation and the filter", system: "none" },
  ],
  [{ path: "src/forward", purpose: "from the stack to sockets of the host", system: "none" }],
  [{ path: "src/crypto", purpose: "primitives and packet AEAD", system: { prefix: "native" } }],
  [{ path: "src/wireguard", purpose: "handshake, timers, cookies, device", system: "none" }],
  [{ path: "src/lane", purpose: "the data plane: read loop and encryptor", system: "none" }],
  [{ path: "src/node", purpose: "device, lanes and control plane joined", system: "none" }],
  [{ path: "src/control", purpose: "the UAPI protocol and status text", system: "none" }],
  [{ path: "src/config", purpose: "configuration files", system: "none" }],
  [{ path: "src/worker", purpose: "worker entry points and their start", system: "all" }],
  [{ path: "src/daemon", purpose: "the process: reactor, sockets, supervision", system: "all" }],
  [{ path: "src/bench", purpose: "what `bench` measures, and how", system: "all" }],
  [{ path: "src/cli", purpose: "commands", system: "all" }],
  [{ path: "main.bundle.js", purpose: "the layers above as one file", system: "all" }],
  [{ path: "main.ts", purpose: "arguments in, exit code out", system: "all" }],
];

/** Beside the order: the kernel and C libraries, which know nothing of the project but base. */
const FFI = "ffi";
const FFI_MAY_IMPORT = "src/base";

/** Globals that bring in time, randomness, I/O or threads. */
const SYSTEM_GLOBALS = new Set([
  ...["Deno", "console", "fetch", "WebSocket", "Worker", "BroadcastChannel"],
  ...["Date", "performance", "Temporal", "setTimeout", "setInterval", "setImmediate"],
  ...["clearTimeout", "clearInterval", "globalThis", "navigator"],
]);

/** Members of globals that do the same while the global itself is harmless. */
const SYSTEM_MEMBERS = new Set([
  ...["Math.random", "crypto.getRandomValues", "crypto.randomUUID", "crypto.subtle"],
  ...["Atomics.waitAsync", "process.env", "process.hrtime", "process.exit", "process.pid"],
  ...["self.postMessage", "self.onmessage", "self.close"],
]);

/** One broken rule. */
export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** Checks one source text; `file` is its path below the project, with forward slashes. */
export function lintSource(file: string, text: string): Finding[] {
  const tokens = code(tokenize(text));
  const findings: Finding[] = [];
  const home = folderOf(file);
  if (home !== FFI && rankOf(home) < 0) {
    return [{ file, line: 1, message: `${home} is in no layer: add it to scripts/lint_layers.ts` }];
  }
  for (const { specifier, line } of importsOf(tokens)) {
    const message = specifierFault(file, home, specifier);
    if (message !== null) findings.push({ file, line, message });
  }
  if (!mayUseSystem(file, home)) {
    for (const { name, line } of systemUses(tokens)) {
      findings.push({
        file,
        line,
        message: `${name} is not for ${home}: time, randomness and I/O come in as parameters`,
      });
    }
  }
  return findings;
}

/** Specifiers of all static and dynamic imports, re-exports, and `new URL(..., import.meta.url)`. */
function importsOf(tokens: readonly Token[]): { specifier: string; line: number }[] {
  const found: { specifier: string; line: number }[] = [];
  const textAt = (at: number) => tokens[at]?.text;
  const add = (at: number) => {
    const token = tokens[at];
    if (token?.kind === "string") found.push({ specifier: token.value, line: token.line });
  };
  for (let at = 0; at < tokens.length; at++) {
    if (tokens[at].kind !== "word" || textAt(at - 1) === ".") continue;
    switch (tokens[at].text) {
      case "import":
        if (tokens[at + 1]?.kind === "string") add(at + 1);
        else if (textAt(at + 1) === "(") add(at + 2);
        else if (textAt(at + 1) !== ".") add(fromClause(tokens, at));
        break;
      case "export":
        if (textAt(at + 1) === "*" || textAt(at + 1) === "{" || isTypeExport(tokens, at)) {
          add(fromClause(tokens, at));
        }
        break;
      case "URL":
        if (textAt(at + 1) === "(" && textAt(at + 3) === "," && textAt(at + 4) === "import") {
          add(at + 2);
        }
        break;
    }
  }
  return found;
}

/** All findings in the project at `root`. */
export function lintProject(root: string): Finding[] {
  const findings: Finding[] = [];
  const visit = (path: string) => {
    if (path.endsWith(".ts")) {
      findings.push(...lintSource(path, Deno.readTextFileSync(`${root}/${path}`)));
    } else if (Deno.statSync(`${root}/${path}`).isDirectory) {
      const names = [...Deno.readDirSync(`${root}/${path}`)].map((entry) => entry.name);
      for (const name of names.sort()) visit(`${path}/${name}`);
    }
  };
  for (const path of ["src", FFI, "main.ts"]) visit(path);
  return findings;
}

/** The table as Markdown, lowest layer last, as one reads a stack. */
export function printLayers(): string {
  const rows = LAYERS.toReversed().flatMap((row) =>
    row.map((layer) => `| \`${layer.path}\` | ${layer.purpose} | ${systemText(layer)} |`)
  );
  return [
    "| layer, highest first | what it is | may touch `ffi/`, `Deno`, clocks, randomness |",
    "| --- | --- | --- |",
    ...rows,
    `| \`${FFI}\` (beside the stack) | libc, libcrypto, kernel layouts | imports \`${FFI_MAY_IMPORT}\` only |`,
  ].join("\n");
}

function systemText(layer: Layer): string {
  if (typeof layer.system === "object") return `only \`${layer.system.prefix}*.ts\``;
  return layer.system === "all" ? "yes" : "no";
}

function specifierFault(file: string, home: string, specifier: string): string | null {
  if (/^(npm|jsr|https?|file|data):/.test(specifier)) {
    return `"${specifier}": name packages in the import map of deno.json`;
  }
  if (specifier.startsWith("node:")) {
    return mayUseSystem(file, home) ? null : `"${specifier}" is not for ${home}`;
  }
  if (!specifier.startsWith(".")) return null;
  const target = folderOf(resolve(file, specifier));
  if (target === home) return null;
  if (target === FFI) {
    return mayUseSystem(file, home) ? null : `"${specifier}": ${file} may not import ffi/`;
  }
  if (home === FFI) {
    return target === FFI_MAY_IMPORT ? null : `"${specifier}": ffi/ may import ${FFI_MAY_IMPORT}`;
  }
  const [from, to] = [rankOf(home), rankOf(target)];
  if (to < 0) return `"${specifier}" leads to ${target}, which is in no layer`;
  return to < from
    ? null
    : `"${specifier}": ${home} may not import ${target}, which is ${
      to === from ? "beside" : "above"
    } it`;
}

/** `src/<folder>` for a file below src, the first folder of others, the name of a top file. */
function folderOf(file: string): string {
  const parts = file.split("/");
  return parts[0] === "src" ? parts.slice(0, 2).join("/") : parts[0];
}

function rankOf(folder: string): number {
  return LAYERS.findIndex((row) => row.some((layer) => layer.path === folder));
}

function mayUseSystem(file: string, home: string): boolean {
  if (home === FFI) return true;
  const { system } = LAYERS[rankOf(home)].find((layer) => layer.path === home)!;
  if (typeof system === "string") return system === "all";
  return file.slice(file.lastIndexOf("/") + 1).startsWith(system.prefix);
}

function resolve(file: string, specifier: string): string {
  const parts = file.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function fromClause(tokens: readonly Token[], at: number): number {
  for (let i = at + 1; i < tokens.length; i++) {
    const { kind, text } = tokens[i];
    if (kind === "word" && text === "from" && tokens[i + 1]?.kind === "string") return i + 1;
    if (kind === "string" || text === ";" || text === "=" || text === "(") return -1;
  }
  return -1;
}

function isTypeExport(tokens: readonly Token[], at: number): boolean {
  const next = tokens[at + 2]?.text;
  return tokens[at + 1]?.text === "type" && (next === "{" || next === "*");
}

function systemUses(tokens: readonly Token[]): { name: string; line: number }[] {
  const found: { name: string; line: number }[] = [];
  for (let at = 0; at < tokens.length; at++) {
    const { kind, text, line } = tokens[at];
    if (kind !== "word" || isMemberOrKey(tokens, at)) continue;
    const member = accessor(tokens[at + 1]?.text) ? `${text}.${tokens[at + 2]?.text}` : "";
    if (SYSTEM_GLOBALS.has(text)) found.push({ name: text, line });
    else if (SYSTEM_MEMBERS.has(member)) found.push({ name: member, line });
  }
  return found;
}

function accessor(text: string | undefined): boolean {
  return text === "." || text === "?.";
}

/** True for `x.Date`, `{ Date: ... }` and `Date(): ...` in a type, which name no global. */
function isMemberOrKey(tokens: readonly Token[], at: number): boolean {
  const before = tokens[at - 1]?.text;
  if (accessor(before) || tokens[at].text.startsWith("#")) return true;
  const after = tokens[at + 1]?.text;
  return (before === "{" || before === ",") && after === ":";
}

if (import.meta.main) {
  if (Deno.args.includes("--print")) {
    console.log(printLayers());
  } else {
    const findings = lintProject(new URL("..", import.meta.url).pathname.replace(/\/$/, ""));
    for (const { file, line, message } of findings) console.error(`${file}:${line}: ${message}`);
    if (findings.length > 0) Deno.exit(1);
    console.log("layers: imports point downward, and the pure layers are pure");
  }
}
