/** An empty Deno with as many workers as a node has: V8's own floor. */
import { Foreground } from "../../../tests/cli/longhaul.ts";
import type { Net } from "../../../tests/netns/net.ts";

const PROGRAM = new URL("./floor_program.ts", import.meta.url).pathname;

/** Starts it with the flags that Longhaul is started with. */
export async function startFloor(
  net: Net,
  namespace: string,
  workers: number,
): Promise<{ pid: number }> {
  const argv = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi", PROGRAM];
  const started = Foreground.start(net, namespace, [...argv, `${workers}`]);
  await started.says(/ready/);
  return { pid: started.child.pid };
}

/** The threads of a Deno process that are workers. */
export function workersOf(pid: number): number {
  let count = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/task`)) {
    if (Deno.readTextFileSync(`/proc/${pid}/task/${name}/comm`).startsWith("worker-")) count++;
  }
  return count;
}
