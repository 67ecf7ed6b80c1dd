/** What served flows cost: memory while they are idle, memory that a burst took, descriptors. */
import { assert, assertEquals } from "@std/assert";
import { run, waitFor } from "./command.ts";
import { lanProgram } from "./lan_program.ts";
import { INNER_V4 } from "./rootless.ts";
import { FAR_V4, type ServedScene, servedTest } from "./served.ts";
import { assertIperf, assertPing } from "./traffic.ts";

const EVERYTHING = ["Serve = 0.0.0.0/0"];
const MEBIBYTE = 1024 * 1024;
/** Flows that every client may have by default, with room for others. */
const FLOWS = 10_000;

servedTest(
  "ten thousand idle flows cost less than 200 MB, and all of it but garbage comes back",
  EVERYTHING,
  async (scene) => {
    await assertIperfWarm(scene);
    const before = residentBytes(scene);
    const descriptors = descriptorsOf(scene);
    await scene.start(scene.far, lanProgram("keep", 7000), /listening/);
    const argv = lanProgram("hold", FAR_V4, 7000, FLOWS);
    const client = await scene.start(scene.away, argv);
    await client.says(/made/, 60_000);
    assertEquals(JSON.parse(client.log), { made: FLOWS, failed: 0 });
    const growth = (residentBytes(scene) - before) / MEBIBYTE;
    assert(growth < 200, `${growth.toFixed(0)} MB more`);
    client.kill("SIGKILL");
    await waitFor("the flows have ended", 30_000, () => descriptorsOf(scene) <= descriptors + 10);
    await assertPing(scene.away, FAR_V4);
  },
  ["iperf3"],
);

servedTest("memory that a burst took goes back to the system", EVERYTHING, async (scene) => {
  await assertIperfWarm(scene);
  const before = residentBytes(scene);
  const ends = { client: scene.away, server: scene.far, address: FAR_V4 };
  await assertIperf({ ...ends, seconds: 2, args: ["-P", "50", "-R"] }, 10);
  await waitFor("memory is given back", 30_000, () => {
    return residentBytes(scene) - before < 64 * MEBIBYTE;
  });
}, ["iperf3"]);

servedTest(
  "hazard 36: at the limit of descriptors new flows are shed, the tunnel and others go on",
  EVERYTHING,
  async (scene) => {
    await scene.start(scene.far, lanProgram("keep", 7000), /listening/);
    const client = await scene.start(scene.away, lanProgram("hold", FAR_V4, 7000, 100));
    await client.says(/"made":100/);
    const greedy = await scene.start(scene.away, lanProgram("hold", FAR_V4, 7000, 700));
    await waitFor("drops are counted", 30_000, async () => {
      const { stdout } = await run(["ss", "-Htn", "state", "syn-sent"], { namespace: scene.away });
      return stdout.trim() !== "";
    });
    assert(descriptorsOf(scene) < 600);
    await assertPing(scene.away, INNER_V4);
    greedy.kill("SIGKILL");
    await waitFor("there is room again", 30_000, () => descriptorsOf(scene) < 250);
    await assertPing(scene.away, FAR_V4);
  },
  [],
  { openFiles: 600 },
);

/** Compiled code and grown heaps are no flows' memory. */
async function assertIperfWarm({ away, far }: ServedScene): Promise<void> {
  for (const args of [[], ["-R"]]) {
    await assertIperf({ client: away, server: far, address: FAR_V4, seconds: 1, args }, 10);
  }
}

function residentBytes({ up }: ServedScene): number {
  const status = Deno.readTextFileSync(`/proc/${up.child.pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024;
}

function descriptorsOf({ up }: ServedScene): number {
  return [...Deno.readDirSync(`/proc/${up.child.pid}/fd`)].length;
}
