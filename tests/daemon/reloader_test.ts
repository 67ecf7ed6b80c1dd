import { assert, assertEquals, assertRejects } from "@std/assert";
import { toDeviceChange } from "../../src/config/device_change.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";
import { RequestError } from "../../src/control/request.ts";
import type { EndpointResolver } from "../../src/daemon/endpoint_resolver.ts";
import { CONFIG_REQUEST, RELOAD_REQUEST, Reloader } from "../../src/daemon/reloader.ts";
import { DeviceReference } from "../reference/device_reference.ts";
import { RecordingLog } from "./recording_log.ts";

const [A, B] = [1, 2].map((number) => formatKeyBase64(new Uint8Array(32).fill(number)));
const FILE = "/etc/longhaul/x.conf";

function text(address: string, ...peers: string[]): string {
  return `[Interface]\nAddress = ${address}\n` +
    peers.map((key) => `[Peer]\nPublicKey = ${key}\nEndpoint = a.example:1\n`).join("");
}

/** A reloader over a device without an interface; `file.text` is what it reads. */
function scene(begin: string) {
  const file = { text: begin };
  const parse = () => parseConfig(file.text, { file: FILE });
  const config = parse().config!;
  const node = new DeviceReference();
  node.apply(toDeviceChange(config.device, () => null));
  const log = new RecordingLog();
  const resolvers: { isStopped: boolean; isInUse: boolean }[] = [];
  const reloader = new Reloader(config, {
    path: FILE,
    interfaceName: "x",
    hasInterface: false,
    hasStack: true,
    node,
    read: parse,
    peerNames: null,
    log,
    resolveAnew: () => {
      const state = { isStopped: false, isInUse: false };
      resolvers.push(state);
      return Promise.resolve(
        {
          addressOf: () => null,
          stop: () => state.isStopped = true,
          state,
        } as unknown as EndpointResolver,
      );
    },
    onApplied: (resolver) =>
      (resolver as unknown as { state: { isInUse: boolean } }).state.isInUse = true,
  });
  return { file, node, log, resolvers, reloader };
}

Deno.test("before the tunnel is up there is nothing to load again", async () => {
  const { reloader } = scene(text("10.0.0.1/24"));
  await assertRejects(() => reloader.reload(), RequestError, "still coming up");
});

Deno.test("peers follow, the resolver is exchanged; without an interface addresses are the stack's", async () => {
  const { file, node, resolvers, reloader } = scene(text("10.0.0.1/24", A));
  reloader.ready();
  file.text = text("10.0.0.2/24", A, B);
  assertEquals(await reloader.reload(), {
    changes: ["1 peer added", "address 10.0.0.2/24 added", "address 10.0.0.1/24 removed"],
    notes: [
      `${FILE}:1:1: warning: [Interface] has no PrivateKey: no peer can connect until one is set`,
    ],
  });
  assertEquals(node.status().peers.length, 2);
  assertEquals(resolvers, [{ isStopped: false, isInUse: true }]);
});

Deno.test("hazard 8: a bad line leaves the old config whole, and every error is told", async () => {
  const { file, node, log, resolvers, reloader } = scene(text("10.0.0.1/24", A));
  reloader.ready();
  file.text = text("10.0.0.1/33", B, "nonsense");
  const error = await assertRejects(() => reloader.reload(), RequestError) as RequestError;
  assertEquals(error.reasons.length, 2);
  assert(error.reasons[0].startsWith(`${FILE}:2:11: error: Address`), error.reasons[0]);
  assertEquals(node.status().peers.map(({ publicKey }) => formatKeyBase64(publicKey)), [A]);
  assertEquals(resolvers, [], "no name is looked up for it");
  assert(JSON.stringify(log).includes("nothing has changed"), JSON.stringify(log));
  await reloader.reloadForSignal();
});

Deno.test("requests tell the file, and refuse to load another one", async () => {
  const { reloader } = scene(text("10.0.0.1/24"));
  reloader.ready();
  const requests = new Map(reloader.requests());
  assertEquals([...await requests.get(CONFIG_REQUEST)!([])], [["file", FILE]]);
  const reload = async (file: string) => await requests.get(RELOAD_REQUEST)!([["file", file]]);
  assertEquals([...await reload(FILE)].map(([key]) => key), ["note"]);
  await assertRejects(() => reload("/tmp/x.conf"), RequestError, `x runs with ${FILE}`);
});

Deno.test("reloads that come at the same time are done one after the other", async () => {
  const { file, node, reloader } = scene(text("10.0.0.1/24"));
  reloader.ready();
  file.text = text("10.0.0.1/24", A);
  const outcomes = await Promise.all([reloader.reload(), reloader.reload()]);
  assertEquals(outcomes.map(({ changes }) => changes), [["1 peer added"], []]);
  assertEquals(node.status().peers.length, 1);
});
