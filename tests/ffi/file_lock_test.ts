import { assert, assertEquals, assertRejects } from "@std/assert";
import { SystemCallError } from "../../ffi/error.ts";
import { withFolderLock } from "../../ffi/file_lock.ts";
import { requires } from "../requires.ts";

Deno.test({
  name: "a folder that another process has locked is waited for, and given back in the end",
  ...requires("flock", "sh"),
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "longhaul-test-" });
    const lock = (...command: string[]) =>
      new Deno.Command("flock", { args: [...command], stdout: "piped" });
    try {
      const holder = lock(folder, "sh", "-c", 'echo held; sleep 0.3; touch "$0/done"', folder)
        .spawn();
      await holder.stdout.getReader().read();
      const seen = await withFolderLock(folder, async () => {
        // Nobody else gets it meanwhile, also while this waits for something.
        const other = await lock("--nonblock", folder, "true").output();
        return [...Deno.readDirSync(folder)].map(({ name }) => name).concat(`${other.code}`);
      });
      assertEquals(seen, ["done", "1"]);
      assertEquals((await lock("--nonblock", folder, "true").output()).code, 0);
      assertEquals((await holder.status).code, 0);
      await assertRejects(
        () => withFolderLock(folder, () => Promise.reject(new Error("x"))),
        Error,
        "x",
      );
      assert((await lock("--nonblock", folder, "true").output()).success, "also after a failure");
      await assertRejects(() => withFolderLock(`${folder}/no`, () => 0), SystemCallError, "ENOENT");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
