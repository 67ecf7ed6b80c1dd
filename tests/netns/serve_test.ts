/** A whole network reached through a node without root and without a TUN. */
import { assert, assertEquals } from "@std/assert";
import { run } from "./command.ts";
import { FAR_V4, FAR_V6, LAN_V4, LAN_V6, listens, servedTest } from "./served.ts";

const EVERYTHING = ["Serve = 0.0.0.0/0, ::/0"];

servedTest(
  "a web server of the LAN is reached by its pages, over both families",
  EVERYTHING,
  async (scene) => {
    const { lan, far, away, start } = scene;
    for (const host of [lan, far]) {
      await start(host, ["python3", "-m", "http.server", "--bind", "::", "8080"]);
      await listens(host, 8080);
    }
    for (const address of [LAN_V4, FAR_V4, `[${LAN_V6}]`, `[${FAR_V6}]`]) {
      const argv = [
        "curl",
        "-sSg",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        `http://${address}:8080/`,
      ];
      const { stdout } = await run(argv, { namespace: away });
      assertEquals(stdout, "200");
    }
    assert(true);
  },
  ["curl", "python3"],
);
