import { assertEquals, assertThrows } from "@std/assert";
import { copyFile, copyFolder, removeTree, renamePath } from "../../ffi/copy.ts";
import { SystemCallError } from "../../ffi/error.ts";

function withFolder(action: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync();
  try {
    action(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function mode(path: string): number {
  return Deno.statSync(path).mode! & 0o7777;
}

Deno.test("a file of several chunks is copied whole, with the mode that is asked for", () => {
  withFolder((folder) => {
    const bytes = new Uint8Array(9 * 1024 * 1024 + 17).map((_, i) => i * 7);
    Deno.writeFileSync(`${folder}/a`, bytes, { mode: 0o600 });
    copyFile(`${folder}/a`, `${folder}/b`, 0o751);
    assertEquals(Deno.readFileSync(`${folder}/b`), bytes);
    assertEquals(mode(`${folder}/b`), 0o751);
  });
});

Deno.test("a file that is there already is not written over", () => {
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/a`, "new");
    Deno.writeTextFileSync(`${folder}/b`, "old");
    assertThrows(() => copyFile(`${folder}/a`, `${folder}/b`, 0o644), SystemCallError, "EEXIST");
    assertEquals(Deno.readTextFileSync(`${folder}/b`), "old");
    assertThrows(() => copyFile(`${folder}/no`, `${folder}/c`, 0o644), SystemCallError, "ENOENT");
  });
});

Deno.test("a folder is copied with what is wanted of it, links followed, for all to read", () => {
  withFolder((folder) => {
    Deno.mkdirSync(`${folder}/a/deep`, { recursive: true });
    Deno.writeTextFileSync(`${folder}/a/deep/text`, "1", { mode: 0o600 });
    Deno.writeTextFileSync(`${folder}/a/run`, "2", { mode: 0o700 });
    Deno.writeTextFileSync(`${folder}/a/skip`, "3");
    Deno.symlinkSync("run", `${folder}/a/link`);
    copyFolder(`${folder}/a`, `${folder}/b/c`, (path) => path !== "skip");
    assertEquals([...Deno.readDirSync(`${folder}/b/c`)].map(({ name }) => name).toSorted(), [
      "deep",
      "link",
      "run",
    ]);
    assertEquals(Deno.readTextFileSync(`${folder}/b/c/deep/text`), "1");
    assertEquals(Deno.lstatSync(`${folder}/b/c/link`).isFile, true);
    assertEquals([mode(`${folder}/b/c/deep/text`), mode(`${folder}/b/c/run`)], [0o644, 0o755]);
  });
});

Deno.test("a tree is removed with links in it, and what they lead to stays", () => {
  withFolder((folder) => {
    Deno.mkdirSync(`${folder}/tree/deep`, { recursive: true });
    Deno.mkdirSync(`${folder}/stays`);
    Deno.writeTextFileSync(`${folder}/stays/file`, "");
    Deno.writeTextFileSync(`${folder}/tree/deep/file`, "");
    Deno.symlinkSync(`${folder}/stays`, `${folder}/tree/link`);
    removeTree(`${folder}/tree`);
    removeTree(`${folder}/tree`);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["stays"]);
    assertEquals([...Deno.readDirSync(`${folder}/stays`)].length, 1);
    renamePath(`${folder}/stays`, `${folder}/moved`);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["moved"]);
  });
});
