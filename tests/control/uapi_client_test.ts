import { assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { UapiSession } from "../../src/control/uapi.ts";
import {
  checkSetAnswer,
  formatSet,
  GET_TEXT,
  isWholeAnswer,
  parseGet,
} from "../../src/control/uapi_client.ts";
import {
  ConfigurationError,
  type ConfigurationTarget,
  type DeviceChange,
  type DeviceStatus,
} from "../../src/wireguard/configuration.ts";
import { peerStatus } from "./peer_status.ts";

/** Speaks `text` to a session over `target` and returns the answer. */
function talk(target: Partial<ConfigurationTarget>, text: string): string {
  const session = new UapiSession(target as ConfigurationTarget);
  session.onData(new TextEncoder().encode(text));
  let answer = "";
  for (let chunk = session.pollOutput(); chunk !== null; chunk = session.pollOutput()) {
    answer += new TextDecoder().decode(chunk);
  }
  return answer;
}

const random = new SeededRandom(5);
const key = () => random.fill(new Uint8Array(32));

Deno.test("a change that formatSet() writes arrives unchanged", () => {
  const changes: DeviceChange[] = [
    { peers: [] },
    { privateKey: key(), listenPort: 0, fwmark: 0, replacePeers: true, peers: [] },
    {
      peers: [
        { publicKey: key(), remove: true, allowedIps: [] },
        {
          publicKey: key(),
          updateOnly: true,
          presharedKey: key(),
          endpoint: { address: Uint8Array.of(10, 1, 2, 3), port: 9 },
          keepaliveSeconds: 0,
          replaceAllowedIps: true,
          allowedIps: [
            { address: Uint8Array.of(10, 0, 0, 0), bits: 8, remove: false },
            { address: random.fill(new Uint8Array(16)), bits: 128, remove: true },
          ],
        },
      ],
    },
  ];
  for (const change of changes) {
    const seen: DeviceChange[] = [];
    const answer = talk({ apply: (change) => void seen.push(change) }, formatSet(change));
    checkSetAnswer(answer);
    assertEquals(seen, [change]);
  }
});

Deno.test("a status that a session writes is what parseGet() reads", () => {
  const status: DeviceStatus = {
    privateKey: key(),
    listenPort: 51820,
    fwmark: 0,
    peers: [{
      publicKey: key(),
      presharedKey: key(),
      endpoint: { address: random.fill(new Uint8Array(16)), port: 1, scopeId: 4 },
      keepaliveSeconds: 25,
      lastHandshakeWallNs: 1_700_000_000_999_999_999n,
      rxBytes: 2 ** 52,
      txBytes: 0,
      allowedIps: [{ address: Uint8Array.of(0, 0, 0, 0), bits: 0 }],
    }, peerStatus(0, { publicKey: key() })],
  };
  assertEquals(parseGet(talk({ status: () => status }, GET_TEXT)), status);
});

Deno.test("parseGet() skips fields that it does not know", () => {
  const text = `new=1\npublic_key=${"0a".repeat(32)}\nnewer=2\nerrno=0\n\n`;
  assertEquals(parseGet(text).peers.length, 1);
});

Deno.test("an answer with an error number of either sign is thrown", () => {
  for (const answer of ["errno=98\n\n", "errno=-98\n\n"]) {
    for (const read of [parseGet, checkSetAnswer]) {
      const error = assertThrows(() => read(answer), ConfigurationError);
      assertEquals([error.errno, error.message], [
        98,
        "the device answered EADDRINUSE: another program has that UDP port",
      ]);
    }
  }
});

Deno.test("an answer that is cut off or malformed is refused", () => {
  for (
    const text of ["", "listen_port=1\n", "errno=\n\n", "errno=x\n\n", "listen_port=x\nerrno=0\n\n"]
  ) {
    assertThrows(() => parseGet(text), ConfigurationError, undefined, text);
  }
  assertThrows(() => checkSetAnswer("listen_port=1\nerrno=0\n\n"), ConfigurationError);
});

Deno.test("isWholeAnswer() waits for the blank line behind errno", () => {
  assertEquals(
    ["", "errno=0", "errno=0\n", "a=1\nerrno=0\n\n", "errno=-98\n\n", "xerrno=0\n\n"].map(
      isWholeAnswer,
    ),
    [
      false,
      false,
      false,
      true,
      true,
      false,
    ],
  );
});
