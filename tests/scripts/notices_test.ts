import { assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const EXTERNAL = /from "([^."][^"]*)"/g;

/** The names in `import` statements of the program that are no paths. */
async function importedNames(folder: URL): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isDirectory) {
      for (const name of await importedNames(new URL(`${entry.name}/`, folder))) names.add(name);
    } else if (entry.name.endsWith(".ts")) {
      const text = await Deno.readTextFile(new URL(entry.name, folder));
      for (const [, name] of text.matchAll(EXTERNAL)) names.add(name);
    }
  }
  return names;
}

Deno.test("NOTICES names each package that the bundles have inside", async () => {
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const notices = await Deno.readTextFile(new URL("NOTICES", ROOT));
  const names = [...await importedNames(new URL("src/", ROOT))];
  const used = Object.entries(imports as Record<string, string>)
    .filter(([key]) => names.some((name) => name.startsWith(key)))
    .map(([, specifier]) => specifier.match(/^npm:\/?(@?[^@]+)@/)?.[1] ?? specifier);
  assertEquals(used.includes("@noble/ciphers"), true);
  assertEquals(used.filter((name) => !notices.includes(name)), []);
});
