import { assert, assertEquals, assertThrows } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { invariant, InvariantError } from "../../src/base/invariant.ts";
import { SeededRandom } from "../../src/base/random.ts";
import { UapiSession } from "../../src/control/uapi.ts";
import {
  ConfigurationError,
  type DeviceChange,
  type DeviceStatus,
} from "../../src/wireguard/configuration.ts";
import { peerStatus } from "./peer_status.ts";

const KEY_A = "aa".repeat(32), KEY_B = "0123456789abcdef".repeat(4);
const EMPTY: DeviceStatus = { privateKey: null, listenPort: 0, fwmark: 0, peers: [] };

/** A device that keeps what it is told. */
class Recorder {
  readonly changes: DeviceChange[] = [];
  failure: Error | null = null;
  current: DeviceStatus = EMPTY;

  apply(change: DeviceChange): void {
    if (this.failure !== null) throw this.failure;
    this.changes.push(change);
  }

  status(): DeviceStatus {
    if (this.failure !== null) throw this.failure;
    return this.current;
  }
}

const encode = (text: string) => new TextEncoder().encode(text);

function readAll(session: UapiSession): string {
  const decoder = new TextDecoder();
  let text = "";
  for (let chunk = session.pollOutput(); chunk !== null; chunk = session.pollOutput()) {
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** Sends text over a fresh connection and returns the answers. */
function talk(text: string, target = new Recorder()): string {
  const session = new UapiSession(target);
  session.onData(encode(text));
  return readAll(session);
}

/** The single change that a set of these lines makes. */
function changeOf(...lines: string[]): DeviceChange {
  const target = new Recorder();
  assertEquals(talk(["set=1", ...lines, "", ""].join("\n"), target), "errno=0\n\n");
  assertEquals(target.changes.length, 1);
  return target.changes[0];
}

Deno.test("a get of an empty device answers errno=0 alone", () => {
  assertEquals(talk("get=1\n\n"), "errno=0\n\n");
});

Deno.test("a get tells every field, in the order of the protocol", () => {
  const target = new Recorder();
  target.current = {
    privateKey: new Uint8Array(32).fill(0xe8),
    listenPort: 12912,
    fwmark: 51820,
    peers: [{
      publicKey: new Uint8Array(32).fill(0xb8),
      presharedKey: new Uint8Array(32).fill(0x18),
      endpoint: {
        address: Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
        port: 51820,
        scopeId: 3,
      },
      keepaliveSeconds: 111,
      lastHandshakeWallNs: 1_700_000_000_012_345_678n,
      rxBytes: 2224,
      txBytes: 2 ** 40,
      allowedIps: [
        { address: Uint8Array.of(192, 168, 4, 4), bits: 32 },
        { address: new Uint8Array(16), bits: 0 },
      ],
    }, peerStatus(0x58)],
  };
  assertEquals(
    talk("get=1\n\n", target),
    `private_key=${"e8".repeat(32)}
listen_port=12912
fwmark=51820
public_key=${"b8".repeat(32)}
preshared_key=${"18".repeat(32)}
protocol_version=1
endpoint=[fe80::1%3]:51820
last_handshake_time_sec=1700000000
last_handshake_time_nsec=12345678
tx_bytes=1099511627776
rx_bytes=2224
persistent_keepalive_interval=111
allowed_ip=192.168.4.4/32
allowed_ip=::/0
public_key=${"58".repeat(32)}
preshared_key=${"00".repeat(32)}
protocol_version=1
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
errno=0

`,
  );
});

Deno.test("a private key of zeros counts as none in a get", () => {
  const target = new Recorder();
  target.current = { ...EMPTY, privateKey: new Uint8Array(32) };
  assertEquals(talk("get=1\n\n", target), "errno=0\n\n");
});

Deno.test("a set becomes one change that is applied once", () => {
  const change = changeOf(
    `private_key=${KEY_B}`,
    "listen_port=51820",
    "fwmark=4294967295",
    "replace_peers=true",
    `public_key=${KEY_A}`,
    "update_only=true",
    `preshared_key=${KEY_B.toUpperCase()}`,
    "endpoint=[2001:db8::7]:443",
    "persistent_keepalive_interval=65535",
    "replace_allowed_ips=true",
    "allowed_ip=10.0.0.1/8",
    "allowed_ip=-fd00::/64",
    "protocol_version=1",
    `public_key=${KEY_B}`,
    "remove=true",
  );
  const keyB = Uint8Array.from(KEY_B.match(/../g)!, (pair) => parseInt(pair, 16));
  const v6 = (text: string) =>
    Uint8Array.from(
      text.split(":").flatMap((group) => {
        const word = parseInt(group, 16);
        return [word >> 8, word & 255];
      }),
    );
  assertEquals(change, {
    privateKey: keyB,
    listenPort: 51820,
    fwmark: 4294967295,
    replacePeers: true,
    peers: [{
      publicKey: new Uint8Array(32).fill(0xaa),
      updateOnly: true,
      presharedKey: keyB,
      endpoint: { address: v6("2001:db8:0:0:0:0:0:7"), port: 443 },
      keepaliveSeconds: 65535,
      replaceAllowedIps: true,
      allowedIps: [
        { address: Uint8Array.of(10, 0, 0, 1), bits: 8, remove: false },
        { address: v6("fd00:0:0:0:0:0:0:0"), bits: 64, remove: true },
      ],
    }, { publicKey: keyB, remove: true, allowedIps: [] }],
  });
});

Deno.test("an empty set is applied and changes nothing", () => {
  assertEquals(changeOf(), { peers: [] });
});

Deno.test("replace_allowed_ips also forgets what the same body gave before it", () => {
  const [peer] = changeOf(
    `public_key=${KEY_A}`,
    "allowed_ip=10.0.0.1/32",
    "replace_allowed_ips=true",
    "allowed_ip=10.0.0.2/32",
  ).peers;
  assertEquals(peer.allowedIps.map((change) => change.address[3]), [2]);
});

Deno.test("several operations go over one connection, also when they arrive together", () => {
  const target = new Recorder();
  target.current = { ...EMPTY, listenPort: 7 };
  const answer = talk("get=1\n\nset=1\nlisten_port=1\n\nset=1\nbad\n\nget=1\n\n", target);
  assertEquals(
    answer,
    "listen_port=7\nerrno=0\n\nerrno=0\n\nerrno=-71\n\nlisten_port=7\nerrno=0\n\n",
  );
  assertEquals(target.changes, [{ listenPort: 1, peers: [] }]);
});

Deno.test("the answers are the same when the text arrives byte by byte or in random pieces", () => {
  const lines = `set=1\nprivate_key=${KEY_B}\npublic_key=${KEY_A}\nallowed_ip=10.0.0.1/8\n\n`;
  const text = encode(`get=1\n\n${lines}get=1\n\nset=1\nfwmark=x\n\n`);
  const whole = talk(new TextDecoder().decode(text));
  for (let seed = 0; seed < 30; seed++) {
    const random = new SeededRandom(seed);
    const target = new Recorder();
    const session = new UapiSession(target);
    let answer = "";
    for (let from = 0; from < text.length;) {
      const to = seed === 0 ? from + 1 : from + 1 + random.below(40);
      session.onData(text.slice(from, to));
      answer += readAll(session);
      from = to;
    }
    assertEquals(answer, whole, `seed ${seed}`);
    assertEquals(target.changes.length, 1, `seed ${seed}`);
  }
});

Deno.test("a bad line anywhere changes nothing, and the connection goes on", () => {
  const bad: [string, number][] = [
    ["no equals sign", Errno.EPROTO],
    ["nonsense=1", Errno.EINVAL],
    ["listen_port=65536", Errno.EINVAL],
    ["listen_port=-1", Errno.EINVAL],
    ["listen_port=", Errno.EINVAL],
    ["fwmark=4294967296", Errno.EINVAL],
    ["fwmark=0x10", Errno.EINVAL],
    ["replace_peers=false", Errno.EINVAL],
    [`private_key=${KEY_A.slice(1)}`, Errno.EINVAL],
    [`private_key=${KEY_A.slice(1)}x`, Errno.EINVAL],
    ["public_key=", Errno.EINVAL],
    ["allowed_ip=10.0.0.0/8", Errno.EINVAL],
    ["remove=true", Errno.EINVAL],
    ["=", Errno.EINVAL],
  ];
  const badOfPeer: [string, number][] = [
    ["allowed_ip=10.0.0.0/33", Errno.EINVAL],
    ["allowed_ip=--10.0.0.0/3", Errno.EINVAL],
    ["allowed_ip=", Errno.EINVAL],
    ["endpoint=example.org:51820", Errno.EINVAL],
    ["endpoint=1.2.3.4", Errno.EINVAL],
    ["endpoint=1.2.3.4:65536", Errno.EINVAL],
    ["persistent_keepalive_interval=65536", Errno.EINVAL],
    ["persistent_keepalive_interval=off", Errno.EINVAL],
    ["protocol_version=2", Errno.EINVAL],
    ["update_only=1", Errno.EINVAL],
    ["listen_port=1", Errno.EINVAL],
    ["preshared_key=00", Errno.EINVAL],
  ];
  const cases = [
    ...bad.map(([line, errno]) => [`listen_port=1\n${line}`, errno] as const),
    ...badOfPeer.map(([line, errno]) => [`public_key=${KEY_A}\n${line}`, errno] as const),
  ];
  for (const [lines, errno] of cases) {
    const target = new Recorder();
    const text = `set=1\n${lines}\npublic_key=${KEY_B}\n\nget=1\n\n`;
    assertEquals(talk(text, target), `errno=-${errno}\n\nerrno=0\n\n`, lines);
    assertEquals(target.changes, [], lines);
  }
});

Deno.test("a set that is cut off before its blank line changes nothing", () => {
  const target = new Recorder();
  assertEquals(talk("set=1\nlisten_port=1\n", target), "");
  assertEquals(target.changes, []);
});

Deno.test("what the device refuses is told as a negative number after a set", () => {
  const target = new Recorder();
  target.failure = new ConfigurationError("the port is taken", Errno.EADDRINUSE);
  assertEquals(talk("set=1\nlisten_port=1\n\n", target), "errno=-98\n\n");
  target.failure = new ConfigurationError("the socket broke", Errno.EIO);
  assertEquals(talk("set=1\n\n", target), "errno=-5\n\n");
});

Deno.test("what the device refuses is told as a positive number after a get", () => {
  const target = new Recorder();
  target.failure = new ConfigurationError("the socket broke", Errno.EIO);
  assertEquals(talk("get=1\n\n", target), "errno=5\n\n");
});

Deno.test("a failure that names no error number is told as 55", () => {
  const target = new Recorder();
  target.failure = new Error("out of luck");
  assertEquals(talk("set=1\n\nget=1\n\n", target), "errno=-55\n\nerrno=55\n\n");
});

Deno.test("a bug of this program is not told as an answer", () => {
  const target = new Recorder();
  target.apply = () => invariant(false, "a bug");
  assertThrows(() => talk("set=1\n\n", target), InvariantError);
});

Deno.test("a get with lines in its body is refused", () => {
  assertEquals(talk("get=1\nlisten_port=1\n\n"), "errno=22\n\n");
});

Deno.test("an unknown operation closes the connection without an answer", () => {
  for (const text of ["\n", "get=2\n\n", "GET=1\n\n", "get\n\n", "set=1 \n\n", "put=1\n\n"]) {
    const session = new UapiSession(new Recorder());
    session.onData(encode(text));
    assertEquals(readAll(session), "", text);
    assert(session.closed, text);
    session.onData(encode("get=1\n\n"));
    assertEquals(readAll(session), "", text);
  }
});

Deno.test("a connection that brings nothing (the probe of `wg`) stays quiet", () => {
  const session = new UapiSession(new Recorder());
  session.onData(new Uint8Array(0));
  assertEquals(session.pollOutput(), null);
  assertEquals(session.closed, false);
});

Deno.test("errors for the log name the line and never a value", () => {
  for (const line of [`private_key=${KEY_B}f`, KEY_B, `${KEY_B}=`, `preshared_key=${KEY_B}`]) {
    const session = new UapiSession(new Recorder());
    session.onData(encode(`set=1\nlisten_port=1\n${line}\n\n`));
    readAll(session);
    assert(session.lastError!.startsWith("set failed: line 2: "), session.lastError!);
    assert(!session.lastError!.includes(KEY_B.slice(0, 8)), session.lastError!);
  }
});

Deno.test("a line without end is refused, not kept", () => {
  const session = new UapiSession(new Recorder());
  session.onData(encode("set=1\n"));
  for (let i = 0; i < 100 && !session.closed; i++) session.onData(encode("x".repeat(100)));
  assertEquals(readAll(session), "errno=-71\n\n");
  assert(session.closed);
  const idle = new UapiSession(new Recorder());
  idle.onData(encode("x".repeat(513)));
  assertEquals(readAll(idle), "");
  assert(idle.closed);
});

Deno.test("100 MB of text is refused within bounds and changes nothing", () => {
  for (const line of ["allowed_ip=10.0.0.0/8\n", "nonsense\n"]) {
    const target = new Recorder();
    const session = new UapiSession(target, { limits: { setBytesMax: 1 << 20 } });
    session.onData(encode(`set=1\npublic_key=${KEY_A}\n`));
    const piece = encode(line.repeat(3000));
    let sentBytes = 0;
    for (; sentBytes < 1e8 && !session.closed; sentBytes += piece.length) session.onData(piece);
    assert(sentBytes < 2 ** 21, `took ${sentBytes} bytes`);
    assertEquals(readAll(session), "errno=-71\n\n");
    assertEquals(target.changes, []);
  }
});

Deno.test("a set of more peers or allowed IPs than the limit is refused", () => {
  const limits = { peersMax: 2, allowedIpsMax: 3 };
  const send = (text: string) => {
    const session = new UapiSession(new Recorder(), { limits });
    session.onData(encode(`set=1\n${text}\n`));
    return readAll(session);
  };
  const peer = `public_key=${KEY_A}\n`;
  assertEquals(send(peer.repeat(2)), "errno=0\n\n");
  assertEquals(send(peer.repeat(3)), "errno=-22\n\n");
  assertEquals(send(peer + "allowed_ip=::/0\n".repeat(3)), "errno=0\n\n");
  assertEquals(
    send(peer + "allowed_ip=::/0\n".repeat(2) + peer + "allowed_ip=::/0\n".repeat(2)),
    "errno=-22\n\n",
  );
});

Deno.test("a client that sends on without reading its answers is cut off", () => {
  const target = new Recorder();
  const session = new UapiSession(target, { limits: { backlogBytesMax: 1000 } });
  let sent = 0;
  for (; sent < 10_000 && !session.closed; sent++) session.onData(encode("get=1\n\n"));
  assert(sent < 200);
  assertEquals(session.wantsInput, false);
  session.pollOutput();
  assertEquals(readAll(session).length < 1000, true);
});

Deno.test("wantsInput is false while an answer waits", () => {
  const session = new UapiSession(new Recorder());
  assertEquals(session.wantsInput, true);
  session.onData(encode("get=1\n\n"));
  assertEquals(session.wantsInput, false);
  readAll(session);
  assertEquals(session.wantsInput, true);
});

Deno.test("130,560 allowed IPs pass in one set, and out again in chunks of at most 64 KiB", () => {
  const lines = ["set=1", `public_key=${KEY_A}`, "replace_allowed_ips=true"];
  for (let i = 0; i < 130_560; i++) {
    const group = (i & 65535).toString(16);
    lines.push(
      i & 1
        ? `allowed_ip=10.${i >> 16}.${i >> 8 & 255}.${i & 255}/32`
        : `allowed_ip=fd00:${1 + (i >> 16)}:1:1:1:1:1:${group}/128`,
    );
  }
  const text = encode(lines.join("\n") + "\n\n");
  const target = new Recorder();
  const session = new UapiSession(target);
  for (let from = 0; from < text.length; from += 65_536) {
    session.onData(text.slice(from, from + 65_536));
  }
  assertEquals(readAll(session), "errno=0\n\n");
  const { allowedIps, publicKey } = target.changes[0].peers[0];
  assertEquals(allowedIps.length, 130_560);
  target.current = {
    ...EMPTY,
    peers: [peerStatus(0, { publicKey, allowedIps })],
  };
  session.onData(encode("get=1\n\n"));
  let answer = "", chunks = 0;
  for (let chunk = session.pollOutput(); chunk !== null; chunk = session.pollOutput()) {
    assert(chunk.length <= 65_536);
    answer += new TextDecoder().decode(chunk);
    chunks++;
  }
  assert(chunks > 40);
  const listed = answer.split("\n").filter((line) => line.startsWith("allowed_ip="));
  assert(listed.join("\n") === lines.slice(3).join("\n"));
});

Deno.test("mutilated text is answered or ends the connection, and never throws", () => {
  const good = `get=1\n\nset=1\nprivate_key=${KEY_B}\nlisten_port=1\npublic_key=${KEY_A}\n` +
    "endpoint=[fe80::1%2]:9\nallowed_ip=10.0.0.0/8\nallowed_ip=-::/0\n\nget=1\n\n";
  for (let seed = 1; seed <= 2000; seed++) {
    const random = new SeededRandom(seed);
    const bytes = encode(good);
    for (let i = 1 + random.below(4); i > 0; i--) {
      bytes[random.below(bytes.length)] = [10, 61, 0, 255, 58, 47, 45, 91, 48][random.below(9)];
    }
    const target = new Recorder();
    const session = new UapiSession(target);
    try {
      session.onData(bytes);
      const answers = readAll(session).split("\n\n").slice(0, -1);
      assert(answers.every((answer) => /^errno=-?\d+$/.test(answer)), answers.join("; "));
      const applied = answers.filter((answer) => answer === "errno=0").length;
      assert(target.changes.length <= applied);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
