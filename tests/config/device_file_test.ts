import { assert, assertEquals } from "@std/assert";
import { parseDeviceFile } from "../../src/config/device_file.ts";
import { formatDiagnostic } from "../../src/config/diagnostic.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const KEY = formatKeyBase64(new Uint8Array(32).fill(1));
const parse = (text: string) => parseDeviceFile(text, "f");

Deno.test("what wg takes is taken, also peers without an interface", () => {
  const peer = `[Peer]\nPublicKey = ${KEY}\nAllowedIPs = 10.0.0.0/8\n`;
  const { device, errors } = parse(peer);
  assertEquals([device?.peers.length, device?.privateKey, errors], [1, undefined, []]);
  assertEquals(parse(`[Interface]\nListenPort = 7\n${peer}`).device?.listenPort, 7);
  assertEquals(parse("").device?.peers, []);
  // Lines of ours are comments to wg.
  assertEquals(parse(`#: [Longhaul]\n#: Offload = no-udp-gso\n${peer}`).errors, []);
});

Deno.test("every key of wg-quick is refused at its place, not ignored", () => {
  const lines = [
    "[Interface]",
    ...["Address = 10.0.0.1/24", "DNS = 9.9.9.9", "MTU = 1400", "Table = off", "PreUp = true"],
    ...["PostUp = true", "PreDown = true", "PostDown = true", "SaveConfig = false"],
  ];
  const { device, errors } = parse(lines.join("\n"));
  assertEquals(device, null);
  assertEquals(errors.map(({ line }) => line), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert(errors.every(({ message }) => /key of wg-quick/.test(message)));
});

Deno.test("errors of the parser are told as well, each once", () => {
  const { errors } = parse("[Interface]\nListenPort = x\nAdress = 1\n[Peer]\n");
  assertEquals(errors.map(formatDiagnostic).map((text) => text.slice(0, 12)), [
    ...["f:2:14: erro", "f:3:1: error", "f:4:1: error"],
  ]);
});
