/** The UAPI session with the real `wg` at the other end of a Unix socket. */
import { assert, assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { formatStatus } from "../../src/control/status_text.ts";
import { UapiSession } from "../../src/control/uapi.ts";
import {
  ConfigurationError,
  type ConfigurationTarget,
  type DeviceChange,
  type DeviceStatus,
} from "../../src/wireguard/configuration.ts";
import { requires } from "../requires.ts";
import { peerStatus } from "./peer_status.ts";

const KEY = "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=";
const PEER = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/** Serves `target` where `wg` looks for an interface, while `use` runs. */
async function withDevice(
  target: ConfigurationTarget,
  use: (name: string) => Promise<void>,
): Promise<void> {
  const name = `lhtest${Deno.pid}`.slice(0, 15);
  const path = `/var/run/wireguard/${name}.sock`;
  await Deno.mkdir("/var/run/wireguard", { recursive: true });
  const listener = Deno.listen({ transport: "unix", path });
  const serving: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const connection of listener) serving.push(serve(target, connection));
  })();
  try {
    await use(name);
  } finally {
    listener.close();
    await accepting;
    await Promise.all(serving);
    await Deno.remove(path).catch(() => {});
  }
}

async function serve(target: ConfigurationTarget, connection: Deno.Conn): Promise<void> {
  // `wg` writes the zone of an address as the interface's name.
  const session = new UapiSession(target, { interfaceIndex: (name) => name === "lo" ? 1 : 0 });
  const buffer = new Uint8Array(65_536);
  try {
    while (!session.closed) {
      const length = await connection.read(buffer);
      if (length === null) break;
      session.onData(buffer.subarray(0, length));
      for (let chunk = session.pollOutput(); chunk !== null; chunk = session.pollOutput()) {
        for (let at = 0; at < chunk.length;) at += await connection.write(chunk.subarray(at));
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  } finally {
    connection.close();
  }
}

async function wg(args: string[], input = ""): Promise<{ code: number; out: string; err: string }> {
  const child = new Deno.Command("wg", {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env: { WG_COLOR_MODE: "never" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: decode(stdout), err: decode(stderr) };
}

const STATUS: DeviceStatus = {
  privateKey: Uint8Array.from({ length: 32 }, (_, i) => 0x40 + i),
  listenPort: 51820,
  fwmark: 0x1234,
  peers: [peerStatus(1), {
    publicKey: new Uint8Array(32).fill(2),
    presharedKey: new Uint8Array(32).fill(3),
    endpoint: {
      address: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
      port: 9,
    },
    keepaliveSeconds: 25,
    lastHandshakeWallNs: 1_600_000_000_000_000_000n,
    rxBytes: 123_456_789,
    txBytes: 1000,
    allowedIps: [{ address: Uint8Array.of(10, 0, 0, 0), bits: 24 }, {
      address: new Uint8Array(16),
      bits: 0,
    }],
  }],
};

Deno.test({
  name: "wg show prints of a device what formatStatus() prints",
  ...requires("root", "wg"),
  async fn() {
    const target = { apply() {}, status: () => STATUS };
    await withDevice(target, async (name) => {
      const shown = await wg(["show", name]);
      assertEquals(shown.err, "");
      const publicKey = /public key: (\S+)/.exec(shown.out)![1];
      const options = {
        interfaceName: name,
        publicKey: Uint8Array.from(atob(publicKey), (c) => c.charCodeAt(0)),
        nowWallNs: BigInt(Date.now()) * 1_000_000n,
      };
      // The age differs by the seconds between the two readings.
      const withoutAge = (text: string) => text.replace(/handshake: .* ago/, "handshake");
      assertEquals(withoutAge(shown.out), withoutAge(formatStatus(STATUS, options)));
      assert(shown.out.includes(" days"), shown.out);
    });
  },
});

Deno.test({
  name: "wg setconf arrives as one change with all that the file says",
  ...requires("root", "wg"),
  async fn() {
    const changes: DeviceChange[] = [];
    const target = {
      apply: (change: DeviceChange) => void changes.push(change),
      status: () => STATUS,
    };
    await withDevice(target, async (name) => {
      const config =
        `[Interface]\nPrivateKey = ${KEY}\nListenPort = 1\n[Peer]\nPublicKey = ${PEER}\n` +
        "Endpoint = [fe80::1%1]:7\nAllowedIPs = 10.0.0.0/8, fd00::/64\nPersistentKeepalive = 5\n";
      const { code, err } = await wg(["setconf", name, "/dev/stdin"], config);
      assertEquals([code, err], [0, ""]);
    });
    assertEquals(changes.length, 1);
    const [{ privateKey, listenPort, replacePeers, peers: [peer] }] = changes;
    assertEquals([privateKey, listenPort, replacePeers], [STATUS.privateKey!, 1, true]);
    assertEquals(peer.endpoint?.scopeId, 1);
    assertEquals(peer.keepaliveSeconds, 5);
    assertEquals(peer.allowedIps.map(({ bits, remove }) => [bits, remove]), [
      [8, false],
      [64, false],
    ]);
  },
});

Deno.test({
  name: "wg setconf of 130,560 allowed IPs passes, and wg show lists them",
  ...requires("root", "wg"),
  async fn() {
    let status: DeviceStatus = { ...STATUS, peers: [] };
    const target: ConfigurationTarget = {
      apply: ({ peers: [peer] }) => {
        status = {
          ...status,
          peers: [{ ...STATUS.peers[0], ...peer } as DeviceStatus["peers"][0]],
        };
      },
      status: () => status,
    };
    await withDevice(target, async (name) => {
      const ips = Array.from(
        { length: 130_560 },
        (_, i) => `10.${i >> 16}.${i >> 8 & 255}.${i & 255}/32`,
      );
      const config = `[Peer]\nPublicKey = ${PEER}\nAllowedIPs = ${ips.join(",")}\n`;
      assertEquals((await wg(["setconf", name, "/dev/stdin"], config)).code, 0);
      const { out } = await wg(["show", name, "allowed-ips"]);
      assert(out.trim() === `${PEER}\t${ips.join(" ")}`);
    });
  },
});

Deno.test({
  name: "wg prints the right message for an errno after a set and after a get",
  ...requires("root", "wg"),
  async fn() {
    const fail = (): never => {
      throw new ConfigurationError("taken", Errno.EADDRINUSE);
    };
    await withDevice({ apply: fail, status: () => STATUS }, async (name) => {
      const { code, err } = await wg(["set", name, "listen-port", "1"]);
      assertEquals(code, 1);
      assert(err.includes("Address already in use"), err);
    });
    await withDevice({ apply() {}, status: fail }, async (name) => {
      const { code, err } = await wg(["show", name]);
      assertEquals(code, 1);
      assert(err.includes("Address already in use"), err);
    });
  },
});
