import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  environmentList,
  getEnvironment,
  homeFolder,
  hostName,
  setEnvironment,
} from "../../ffi/environment.ts";
import { SystemCallError } from "../../ffi/error.ts";
import {
  exists,
  fileStatus,
  listFolder,
  makeFolders,
  readFile,
  readTextFile,
  removeFile,
  removeFolder,
  setFileMode,
  writeFileAtomic,
} from "../../ffi/files.ts";
import { PathWatch } from "../../ffi/path_watch.ts";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";

/** Runs a test in a folder of its own, which is removed afterwards. */
function inFolder(action: (folder: string) => void): () => void {
  return () => {
    const folder = Deno.makeTempDirSync({ prefix: "longhaul-test-" });
    try {
      action(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

function errnoOf(action: () => unknown): number {
  return (assertThrows(action, SystemCallError) as SystemCallError).errno;
}

Deno.test(
  "readFile() reads files of all sizes up to its bound, and refuses one byte more",
  inFolder((folder) => {
    const path = `${folder}/file`;
    for (const length of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
      const content = Uint8Array.from({ length }, (_, i) => i * 7);
      Deno.writeFileSync(path, content);
      assertEquals(readFile(path, length), content);
      if (length > 0) assertEquals(errnoOf(() => readFile(path, length - 1)), 27);
    }
    assertEquals(errnoOf(() => readFile("/dev/zero", 1_000_000)), 27);
  }),
);

Deno.test(
  "readFile() tells what it could not read and why",
  inFolder((folder) => {
    const error = assertThrows(() => readFile(`${folder}/none`, 10), SystemCallError);
    assertEquals(
      (error as SystemCallError).message,
      `open("${folder}/none"): ENOENT (no such file or directory)`,
    );
    assertThrows(() => readFile(folder, 10), SystemCallError, "is a directory");
    assert(readFile("/proc/self/status", 100_000).length > 100, "a file of unknown size");
  }),
);

Deno.test(
  "writeFileAtomic() sets content and mode exactly and leaves nothing beside",
  inFolder((folder) => {
    const path = `${folder}/key`;
    for (const mode of [0o600, 0o644, 0o666]) {
      writeFileAtomic(path, `mode ${mode.toString(8)}`, mode);
      assertEquals(Deno.readTextFileSync(path), `mode ${mode.toString(8)}`);
      assertEquals(fileStatus(path)!.mode, mode);
    }
    assertEquals(readTextFile(path, 100), "mode 666");
    assertEquals(listFolder(folder), ["key"]);
  }),
);

Deno.test(
  "writeFileAtomic() that fails leaves the old file and no temporary one",
  inFolder((folder) => {
    assertEquals(errnoOf(() => writeFileAtomic(`${folder}/no/file`, "x", 0o600)), Errno.ENOENT);
    Deno.mkdirSync(`${folder}/target`);
    Deno.writeTextFileSync(`${folder}/target/inside`, "");
    assertThrows(() => writeFileAtomic(`${folder}/target`, "x", 0o600), SystemCallError);
    assertEquals(listFolder(folder), ["target"]);
  }),
);

Deno.test({
  name: "writeFileAtomic() leaves a file with the owner that it had",
  ...requires("root"),
  fn: inFolder((folder) => {
    const path = `${folder}/theirs`;
    Deno.writeTextFileSync(path, "old");
    Deno.chownSync(path, 1234, 5678);
    writeFileAtomic(path, "new", 0o640);
    const { ownerUid, ownerGid, mode } = fileStatus(path)!;
    assertEquals([ownerUid, ownerGid, mode, Deno.readTextFileSync(path)], [
      1234,
      5678,
      0o640,
      "new",
    ]);
  }),
});

Deno.test({
  name: "a full disk fails the write with ENOSPC and keeps the old file",
  ...requires("root", "mount"),
  fn: inFolder((folder) => {
    const mount = (...args: string[]) =>
      new Deno.Command(args[0], { args: args.slice(1) })
        .outputSync().success;
    if (!mount("mount", "-t", "tmpfs", "-o", "size=64k", "none", folder)) return;
    try {
      writeFileAtomic(`${folder}/state`, "old", 0o600);
      const large = new Uint8Array(new ArrayBuffer(1_000_000));
      assertEquals(errnoOf(() => writeFileAtomic(`${folder}/state`, large, 0o600)), Errno.ENOSPC);
      assertEquals(listFolder(folder), ["state"]);
      assertEquals(readTextFile(`${folder}/state`, 10), "old");
    } finally {
      mount("umount", folder);
    }
  }),
});

Deno.test(
  "makeFolders() makes what is missing, keeps what exists, and refuses a file in the way",
  inFolder((folder) => {
    makeFolders(`${folder}/a/b/c`, 0o750);
    makeFolders(`${folder}/a/b/c`, 0o700);
    makeFolders(`${folder}/a/d/`, 0o700);
    assertEquals(fileStatus(`${folder}/a/b/c`)!.kind, "folder");
    assertEquals(listFolder(`${folder}/a`), ["b", "d"]);
    Deno.writeTextFileSync(`${folder}/file`, "");
    assertThrows(() => makeFolders(`${folder}/file/x`, 0o700), SystemCallError, "mkdir");
    assertEquals([removeFolder(`${folder}/a/d`), removeFolder(`${folder}/a/d`)], [true, false]);
  }),
);

Deno.test(
  "status, existence, mode and removal of files",
  inFolder((folder) => {
    const path = `${folder}/file`;
    assertEquals([exists(path), fileStatus(path), removeFile(path)], [false, undefined, false]);
    Deno.writeTextFileSync(path, "12345");
    setFileMode(path, 0o640);
    const status = fileStatus(path)!;
    const reference = Deno.statSync(path);
    assertEquals([status.kind, status.mode, status.sizeBytes], ["file", 0o640, 5]);
    assertEquals(status.ownerUid, reference.uid);
    assertEquals(Number(status.modifiedNs / 1_000_000n), reference.mtime!.getTime());
    assert(status.identity.endsWith(`:${reference.ino}`), status.identity);
    assertEquals(fileStatus("/dev/null")!.kind, "other");
    assertEquals(removeFile(path), true);
    assertEquals(exists(path), false);
    assertEquals(errnoOf(() => removeFile(folder)), 21);
    assertEquals(errnoOf(() => listFolder(path)), Errno.ENOENT);
  }),
);

Deno.test(
  "PathWatch notices deletion and replacement, and not a mere touch",
  inFolder((folder) => {
    const path = `${folder}/file`;
    Deno.writeTextFileSync(path, "");
    const watch = new PathWatch(path);
    assertEquals(watch.isGone(), false);
    Deno.utimeSync(path, 1, 1);
    assertEquals(watch.isGone(), false);
    writeFileAtomic(path, "new", 0o600);
    assertEquals(watch.isGone(), true);
    watch.close();
    const second = new PathWatch(path);
    Deno.removeSync(path);
    assertEquals(second.isGone(), true);
    second.close();
    assertEquals(errnoOf(() => new PathWatch(path)), Errno.ENOENT);
  }),
);

Deno.test("environment variables are read, set, listed and removed", () => {
  assertEquals(getEnvironment("PATH"), Deno.env.get("PATH"));
  assertEquals(getEnvironment("LONGHAUL_NEVER_SET"), undefined);
  for (let i = 0; i < 50; i++) setEnvironment(`LONGHAUL_TEST_${i}`, `ä=${i}`);
  assertEquals(getEnvironment("LONGHAUL_TEST_49"), "ä=49");
  assert(environmentList().includes("LONGHAUL_TEST_49=ä=49"));
  for (let i = 0; i < 50; i++) setEnvironment(`LONGHAUL_TEST_${i}`, undefined);
  assertEquals(environmentList().filter((entry) => entry.startsWith("LONGHAUL_TEST_")), []);
  assertEquals(errnoOf(() => setEnvironment("A=B", "x")), Errno.EINVAL);
});

Deno.test("the home folder falls back to the user database", () => {
  const home = getEnvironment("HOME");
  setEnvironment("HOME", "/somewhere");
  assertEquals(homeFolder(), "/somewhere");
  setEnvironment("HOME", undefined);
  assert(homeFolder()!.startsWith("/"));
  setEnvironment("HOME", home);
  assertEquals(hostName(), Deno.hostname());
});
