import { assert, assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { formatDiagnostic } from "../../src/config/diagnostic.ts";
import { parseConfig, type ParseOptions } from "../../src/config/parse.ts";
import type { NodeConfig } from "../../src/config/types.ts";
import { formatAddress, formatPrefix } from "../../src/control/address_text.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const key = (byte: number) => formatKeyBase64(new Uint8Array(32).fill(byte));
const PRIVATE = key(0x41), PEER_1 = key(1), PEER_2 = key(2);
const INTERFACE = `[Interface]\nPrivateKey = ${PRIVATE}\n`;

function messages(text: string, options: Partial<ParseOptions> = {}): string[] {
  return parseConfig(text, { file: "wg0.conf", ...options }).diagnostics.map(formatDiagnostic);
}

/** The config of a file that must be free of errors and warnings. */
function clean(text: string): NodeConfig {
  const { config, diagnostics } = parseConfig(text, { file: "wg0.conf" });
  assertEquals(diagnostics.map(formatDiagnostic), []);
  assert(config !== null);
  return config!;
}

/** The config of a file that must be free of errors, whatever its warnings. */
function accepted(text: string, options: Partial<ParseOptions> = {}): NodeConfig {
  const { config, diagnostics } = parseConfig(text, { file: "wg0.conf", ...options });
  assert(config !== null, diagnostics.map(formatDiagnostic).join("\n"));
  return config!;
}

/** The one message about a file that must be refused. */
function refused(text: string): string {
  const { config, diagnostics } = parseConfig(text, { file: "f" });
  assertEquals(config, null);
  assertEquals(diagnostics.length, 1, diagnostics.map(formatDiagnostic).join("\n"));
  assertEquals(diagnostics[0].severity, "error");
  return formatDiagnostic(diagnostics[0]);
}

Deno.test("a file with every key of wg-quick that is supported is read completely", () => {
  const config = clean(`# a comment
[Interface]
PrivateKey = ${PRIVATE} # ours
ListenPort = 51820
FwMark = 0xca6c
Address = 10.0.0.1/24, fd00::1/64
Address = 10.1.0.1
MTU = 1420
Table = 1234
SaveConfig = false

[Peer]
PublicKey = ${PEER_1}
PresharedKey = ${key(9)}
AllowedIPs = 10.0.0.2/32 , fd00::2
AllowedIPs = 192.168.0.0/16
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = 25

[Peer]
PublicKey = ${PEER_2}
Endpoint = vpn.example.org:443
AllowedIPs =
PersistentKeepalive = off
`);
  assertEquals(config.interface.addresses.map(formatPrefix), [
    "10.0.0.1/24",
    "fd00::1/64",
    "10.1.0.1/32",
  ]);
  assertEquals([config.interface.mtu, config.interface.table], [1420, 1234]);
  const { device } = config;
  assertEquals(device.privateKey, new Uint8Array(32).fill(0x41));
  assertEquals([device.listenPort, device.fwmark], [51820, 0xca6c]);
  const [first, second] = device.peers;
  assertEquals(first.publicKey, new Uint8Array(32).fill(1));
  assertEquals(first.presharedKey, new Uint8Array(32).fill(9));
  assertEquals(first.keepaliveSeconds, 25);
  assertEquals(first.allowedIps.map(formatPrefix), [
    "10.0.0.2/32",
    "fd00::2/128",
    "192.168.0.0/16",
  ]);
  assert("address" in first.endpoint! && first.endpoint.port === 51820);
  assertEquals(second.endpoint, { host: "vpn.example.org", port: 443 });
  assertEquals([second.keepaliveSeconds, second.allowedIps], [0, []]);
  assertEquals([first.line, second.line], [12, 20]);
  assertEquals(config.routes.map(formatPrefix), ["10.0.0.2/32", "fd00::2/128", "192.168.0.0/16"]);
});

Deno.test("what a file leaves out is absent, or has its default", () => {
  const config = clean(INTERFACE);
  assertEquals(config.interface, {
    addresses: [],
    mtu: null,
    table: "auto",
    dnsServers: [],
    dnsSearchDomains: [],
    hooks: { preUp: [], postUp: [], preDown: [], postDown: [] },
    saveConfig: false,
  });
  assertEquals(Object.keys(config.device), ["privateKey", "peers"]);
  assertEquals(config.longhaul, {
    mode: "auto",
    lanes: "auto",
    encryptors: "auto",
    socketBufferBytes: null,
    offload: {
      udpGso: true,
      udpGro: true,
      tunTso: true,
      tunUso: true,
      tunGro: true,
      netstackGso: true,
    },
    localServices: [],
    serve: [],
    netstack: [],
    filter: [],
  });
});

Deno.test("keys and sections compare without case, and space around them does not count", () => {
  const config = clean(`\ufeff  [ INTERFACE ]\r\n\tprivatekey=${PRIVATE}\r\nLISTENPORT\t=\t7\r\n`);
  assertEquals(config.device.listenPort, 7);
});

Deno.test("[Longhaul] is read, as it stands and behind #:", () => {
  const lines = [
    "[Longhaul]",
    "Encryptors = 2",
    "Lanes = 3",
    "mode = TUN",
    "SocketBuffer = 2M",
    "Offload = no-udp-gso,no-tun-gro",
    "Offload = NO-TUN-USO",
  ];
  const expected = {
    mode: "tun",
    lanes: 3,
    encryptors: 2,
    socketBufferBytes: 2 * 1024 * 1024,
    offload: {
      udpGso: false,
      udpGro: true,
      tunTso: true,
      tunUso: false,
      tunGro: false,
      netstackGso: true,
    },
    localServices: [],
    serve: [],
    netstack: [],
    filter: [],
  };
  assertEquals(clean(INTERFACE + lines.join("\n")).longhaul, expected as NodeConfig["longhaul"]);
  const marked = lines.map((line, i) => (i & 1 ? "#: " : "  #:") + line).join("\n");
  assertEquals(clean(INTERFACE + marked).longhaul, expected as NodeConfig["longhaul"]);
});

Deno.test("a section behind #: leaves the section of ordinary lines alone", () => {
  const config = clean(
    `[Interface]\n#: [Longhaul]\nPrivateKey = ${PRIVATE}\n#: Encryptors = 3\nListenPort = 9\n`,
  );
  assertEquals([config.longhaul.encryptors, config.device.listenPort], [3, 9]);
  assertEquals(
    refused(`${INTERFACE}#: [Longhaul]\n[Peer]\nPublicKey = ${PEER_1}\n#: Encryptors = 3\n`),
    "f:6:4: error: unknown key `Encryptors` in [Peer]; it belongs in [Longhaul]",
  );
});

Deno.test("sizes are read with binary units", () => {
  const sizes: [string, number][] = [
    ["65536", 65536],
    ["128k", 131072],
    ["1 MiB", 1048576],
    ["2MB", 2097152],
    ["1G", 2 ** 30],
  ];
  for (const [text, bytes] of sizes) {
    assertEquals(
      clean(`${INTERFACE}[Longhaul]\nSocketBuffer=${text}`).longhaul.socketBufferBytes,
      bytes,
    );
  }
});

Deno.test("routes are the allowed IPs, each once and without host bits; none with Table = off", () => {
  const peers = `[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs = 10.0.0.1/8, 10.2.0.0/8, ::/0\n`;
  assertEquals(accepted(INTERFACE + peers).routes.map(formatPrefix), ["10.0.0.0/8", "::/0"]);
  assertEquals(accepted(`${INTERFACE}Table = off\n${peers}`).routes, []);
});

Deno.test("hazard 1: a key in bad base64, of wrong length, or all zero is refused by the field's name", () => {
  const zero = key(0);
  const bad: [string, string][] = [
    [PRIVATE.slice(1), "expected 44 characters of base64, found 43 characters"],
    [
      PRIVATE.replace("=", "!"),
      "expected 44 characters of base64, found 44 characters that are not the base64 of a key",
    ],
    ["", "expected 44 characters of base64, found 0 characters"],
    [zero, "the key is all zero"],
  ];
  for (const [text, message] of bad) {
    assertEquals(
      refused(`[Interface]\nPrivateKey = ${text}`),
      `f:2:14: error: PrivateKey: ${message}`,
    );
    const peer = `${INTERFACE}[Peer]\nPublicKey = ${text} \n`;
    assertEquals(refused(peer), `f:4:${text === "" ? 14 : 13}: error: PublicKey: ${message}`);
    const psk = `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nPresharedKey = ${text}`;
    assert(refused(psk).endsWith(`: PresharedKey: ${message}`));
  }
});

Deno.test("no message repeats a key, wherever in the file it stands", () => {
  const secret = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
  const hex = "c80a9ee5317e9575c9b5ed78b638b7ce530dabe85ddab6142202418" + "01ddf0669";
  for (
    const text of [secret, hex, secret.slice(0, 43), secret.slice(0, 30) + " " + secret.slice(30)]
  ) {
    for (
      const line of [
        text,
        `${text} = 1`,
        `[${text}]`,
        `[${text}`,
        ...[
          "PrivateKey",
          "ListenPort",
          "FwMark",
          "Address",
          "MTU",
          "Table",
          "SaveConfig",
          "Privatekye",
          "DNS",
        ].map((key) => `${key} = ${text}x`),
        ...["PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"].map((
          key,
        ) => `[Peer]\n${key} = ${text}x`),
        `[Peer]\nEndpoint = ${text}:1x`,
        ...["Mode", "Encryptors", "SocketBuffer", "Offload"].map((key) =>
          `[Longhaul]\n${key} = ${text}`
        ),
      ]
    ) {
      const found = messages(`[Interface]\n${line}\n`);
      assert(found.length > 0);
      for (const message of found) {
        for (let i = 0; i + 8 <= text.length; i++) {
          assert(!message.includes(text.slice(i, i + 8)), `${line} -> ${message}`);
        }
      }
    }
  }
});

Deno.test("hazard 2: a prefix that two peers claim belongs to the last, with a warning", () => {
  const text =
    `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs = 10.0.0.0/24, 10.1.0.0/24\n` +
    `[Peer]\nPublicKey = ${PEER_2}\nAllowedIPs = 10.1.0.0/24\n`;
  assertEquals(
    messages(text),
    [
      "wg0.conf:8:14: warning: AllowedIPs: 10.1.0.0/24 belongs to peer(AgIC...gICA) now, " +
      "not to peer(AQEB...EBAQ) (line 5): the last one wins",
    ].map((line) =>
      line.replace("gICA)", `${PEER_2.slice(39, 43)})`).replace("EBAQ)", `${PEER_1.slice(39, 43)})`)
    ),
  );
  assertEquals(accepted(text).device.peers[1].allowedIps.map(formatPrefix), ["10.1.0.0/24"]);
});

Deno.test("a prefix inside another peer's is no conflict", () => {
  clean(
    `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs = 10.0.0.0/8\n` +
      `[Peer]\nPublicKey = ${PEER_2}\nAllowedIPs = 10.1.0.0/24\n`,
  );
});

Deno.test("hazard 3: our own key as a peer is ignored with a warning", () => {
  const text = `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs = 10.0.0.0/8\n` +
    `[Peer]\nPublicKey = ${PEER_2}\n`;
  const options = { publicKeyOf: () => new Uint8Array(32).fill(1) };
  assertEquals(messages(text, options), [
    "wg0.conf:3:1: warning: this peer has our own key; it is ignored",
  ]);
  const config = accepted(text, options);
  assertEquals([config.device.peers.length, config.routes.length], [1, 0]);
});

Deno.test("hazard 4: a peer that stands there twice is one: the later section replaces what it sets", () => {
  const text =
    `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nEndpoint = a.example:1\nAllowedIPs = 10.0.0.0/8\n` +
    `[Peer]\nPublicKey = ${PEER_2}\n` +
    `[Peer]\nPublicKey = ${PEER_1}\nPersistentKeepalive = 5\nAllowedIPs = 10.1.0.0/16\n`;
  const [message, ...others] = messages(text);
  assertEquals(others, []);
  assert(message.startsWith("wg0.conf:9:1: warning: peer(AQEB..."), message);
  assert(message.includes("is the peer of line 3 again"), message);
  const { peers } = accepted(text).device;
  assertEquals(peers.length, 2);
  assertEquals(peers[0].endpoint, { host: "a.example", port: 1 });
  assertEquals(peers[0].keepaliveSeconds, 5);
  assertEquals(peers[0].allowedIps.map(formatPrefix), ["10.1.0.0/16"]);
});

Deno.test("hazard 5: numbers out of their range are refused, with what was expected", () => {
  const cases: [string, string][] = [
    [
      "ListenPort = 65536",
      "f:3:14: error: ListenPort: expected a number from 0 to 65535, found `65536`",
    ],
    ["ListenPort = -1", "f:3:14: error: ListenPort: expected a number from 0 to 65535, found `-1`"],
    ["ListenPort =", "f:3:13: error: ListenPort: expected a number from 0 to 65535, found nothing"],
    [
      "FwMark = 0x1ffffffff",
      "f:3:10: error: FwMark: expected `off`, a 32-bit number or a hexadecimal one as 0x1f, found `0x1ffffffff`",
    ],
    ["MTU = 67", "f:3:7: error: MTU: expected a number from 68 to 65440, found `67`"],
    [
      "Table = mains",
      "f:3:9: error: Table: expected `auto`, `off`, or the number or name of a routing table, " +
      "found `mains`",
    ],
  ];
  for (const [line, message] of cases) assertEquals(refused(INTERFACE + line), message);
});

Deno.test("hazard 5: an MTU below 1280 is refused with IPv6 and taken without", () => {
  const peer = `[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs =`;
  clean(`${INTERFACE}MTU = 1279\nAddress = 10.0.0.1/24\n${peer} 10.0.0.0/8`);
  clean(`${INTERFACE}MTU = 1280\nAddress = fd00::1/64\n`);
  const message = "f:3:7: error: MTU: IPv6 needs at least 1280 bytes, found 1279";
  assertEquals(refused(`${INTERFACE}MTU = 1279\nAddress = fd00::1/64\n`), message);
  assertEquals(refused(`${INTERFACE}MTU = 1279\n${peer} ::/0`), message);
});

Deno.test("endpoints are addresses, names, or refused", () => {
  const endpoint = (text: string) =>
    clean(`${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nEndpoint = ${text}`).device.peers[0].endpoint;
  assertEquals(endpoint("192.0.2.1:1"), { address: Uint8Array.of(192, 0, 2, 1), port: 1 });
  assertEquals(endpoint("localhost:65535"), { host: "localhost", port: 65535 });
  assertEquals(endpoint("a_b-c.example.org.:1"), { host: "a_b-c.example.org.", port: 1 });
  assertEquals(endpoint("[fe80::1%eth0]:1"), { host: "fe80::1%eth0", port: 1 });
  const bad: [string, string][] = [
    [
      "example.org",
      "expected a host and a port from 1 to 65535, as host.example:51820, found `example.org`",
    ],
    [
      "example.org:0",
      "expected a host and a port from 1 to 65535, as host.example:51820, found `example.org:0`",
    ],
    [
      "example.org:65536",
      "expected a host and a port from 1 to 65535, as host.example:51820, found `example.org:65536`",
    ],
    ["2001:db8::1:51820", "an IPv6 address stands in brackets, with a port: [2001:db8::1]:51820"],
    ["1.2.3.256:1", "expected an address or a host name before the port, found `1.2.3.256:1`"],
    ["1.2.3:1", "expected an address or a host name before the port, found `1.2.3:1`"],
    ["[::1:1", "expected an address or a host name before the port, found `[::1:1`"],
    ["exa mple:1", "expected an address or a host name before the port, found `exa mple:1`"],
    ["-a:1", "expected an address or a host name before the port, found `-a:1`"],
    [":1", "expected an address or a host name before the port, found `:1`"],
  ];
  for (const [text, message] of bad) {
    assertEquals(
      refused(`${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nEndpoint = ${text}`),
      `f:5:12: error: Endpoint: ${message}`,
    );
  }
});

Deno.test("a hostile endpoint is refused in bounded time", () => {
  const text = `${"a-".repeat(50_000)}!:1`;
  assert(refused(`${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nEndpoint = ${text}`).length < 300);
});

Deno.test("host bits of an allowed IP are told and ignored", () => {
  const text = `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs = 10.0.0.0/8,  10.0.0.1/24\n`;
  assertEquals(messages(text), [
    "wg0.conf:5:27: warning: AllowedIPs: 10.0.0.1/24 has host bits; they are ignored",
  ]);
});

Deno.test("each wrong item of a list is reported at its own column", () => {
  const text = `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs = 10.0.0.0/33, ::/0,x,\n`;
  const expected = "expected an address such as 10.0.0.1/24 or fd00::1/64, found";
  assertEquals(messages(text), [
    `wg0.conf:5:14: error: AllowedIPs: ${expected} \`10.0.0.0/33\``,
    `wg0.conf:5:32: error: AllowedIPs: ${expected} \`x\``,
    `wg0.conf:5:34: error: AllowedIPs: ${expected} nothing`,
  ]);
});

Deno.test("an unknown key is refused and the nearest known key named", () => {
  const cases: [string, string][] = [
    ["Adress = 1", "unknown key `Adress` in [Interface]; did you mean `Address`?"],
    ["listen_port = 1", "unknown key `listen_port` in [Interface]; did you mean `ListenPort`?"],
    ["AllowedIPs = ::/0", "unknown key `AllowedIPs` in [Interface]; it belongs in [Peer]"],
    ["Offload = x", "unknown key `Offload` in [Interface]; it belongs in [Longhaul]"],
    ["Zzzzzzz = 1", "unknown key `Zzzzzzz` in [Interface]"],
    [
      "[Peer]\nPublicKey = " + PEER_1 + "\nAlowedIP = ::/0",
      "unknown key `AlowedIP` in [Peer]; did you mean `AllowedIPs`?",
    ],
  ];
  for (const [lines, message] of cases) {
    assert(
      refused(INTERFACE + lines).endsWith(`:1: error: ${message}`),
      refused(INTERFACE + lines),
    );
  }
});

Deno.test("an unknown section is refused, not ignored, and its keys are not reported again", () => {
  assertEquals(
    refused(`${INTERFACE}  [Pear]\nPublicKey = x\nNonsense = 1\n`),
    "f:3:3: error: unknown section `Pear`; did you mean `Peer`?",
  );
});

Deno.test("what is not supported yet is refused by name, never ignored", () => {
  assertEquals(
    refused(`${INTERFACE}[Longhaul]\nMemory = 4`),
    "f:4:10: error: Memory: not supported yet; remove the line",
  );
  assertEquals(
    refused(`${INTERFACE}[Socks5]\nBindAddress = 127.0.0.1:1080`),
    "f:3:1: error: [Socks5] is not supported yet; remove the section",
  );
});

Deno.test("DNS is servers and search domains, separated by commas or spaces", () => {
  const { dnsServers, dnsSearchDomains } = clean(
    `${INTERFACE}DNS = 10.0.0.53, fd00::53 example.org\nDNS = 1.1.1.1 ~corp.example,~.\n`,
  ).interface;
  assertEquals(dnsServers.map(formatAddress), ["10.0.0.53", "fd00::53", "1.1.1.1"]);
  assertEquals(dnsSearchDomains, ["example.org", "~corp.example", "~."]);
  assertEquals(
    refused(`${INTERFACE}DNS = 1.1.1`),
    "f:3:7: error: DNS: expected the address of a server or a search domain, found `1.1.1`",
  );
});

Deno.test("hooks are kept as they stand, in order, # and all", () => {
  const { hooks } = clean(
    `${INTERFACE}PostUp = iptables -A FORWARD -i %i -m comment --comment "# %i" -j ACCEPT # why\r\n` +
      "postup = echo a=b, c\nPreUp = x\n# PreUp = no\nPreDown=a;b\nPostDown =  \nPostDown = z\n",
  ).interface;
  assertEquals(hooks, {
    preUp: ["x"],
    postUp: [
      'iptables -A FORWARD -i %i -m comment --comment "# %i" -j ACCEPT # why',
      "echo a=b, c",
    ],
    preDown: ["a;b"],
    postDown: ["z"],
  });
});

Deno.test("a routing table has a number, or a name that this machine knows", () => {
  const table = (text: string) =>
    accepted(`${INTERFACE}Table = ${text}`, {
      routingTable: (name) => name === "vpn" ? 1234 : undefined,
    }).interface.table;
  assertEquals(["OFF", "0x10", "main", "vpn"].map(table), ["off", 16, 254, 1234]);
});

Deno.test("SaveConfig is true or false", () => {
  assertEquals(clean(`${INTERFACE}SaveConfig = TRUE`).interface.saveConfig, true);
  assertEquals(
    refused(`${INTERFACE}SaveConfig = yes`),
    "f:3:14: error: SaveConfig: expected `true` or `false`, found `yes`",
  );
});

Deno.test("every error of a file is reported at once, and one bad line yields no config", () => {
  const { config, diagnostics } = parseConfig(
    `ListenPort = 1\nnonsense\n[Interface\n[Interface]\nListenPort = x\n[Peer]\nAllowedIPs = 1\n[Longhaul]\nOffload = no-upd-gso\nEncryptors = 65\n`,
    { file: "f" },
  );
  assertEquals(config, null);
  assertEquals(diagnostics.map(formatDiagnostic), [
    "f:1:1: error: expected a section such as `[Interface]` before any key",
    "f:2:1: error: expected `Key = value` or `[Section]`",
    "f:3:1: error: expected `]` at the end of the section's name",
    "f:4:1: warning: [Interface] has no PrivateKey: no peer can connect until one is set",
    "f:5:14: error: ListenPort: expected a number from 0 to 65535, found `x`",
    "f:6:1: error: [Peer] has no PublicKey",
    "f:7:14: error: AllowedIPs: expected an address such as 10.0.0.1/24 or fd00::1/64, found `1`",
    "f:9:11: error: Offload: expected one of no-udp-gso, no-udp-gro, no-tun-tso, no-tun-uso, " +
    "no-tun-gro, no-netstack-gso, found `no-upd-gso`; did you mean `no-udp-gso`?",
    "f:10:14: error: Encryptors: expected `auto` or a number from 0 to 16, found `65`",
  ]);
});

Deno.test("a file without [Interface] is refused", () => {
  assertEquals(refused(""), "f:1:1: error: there is no [Interface] section");
  assertEquals(refused("# only a comment\n\n"), "f:1:1: error: there is no [Interface] section");
});

Deno.test("a key that is set twice has its last value, with a warning", () => {
  const text = `${INTERFACE}ListenPort = 1\nlistenport = 2\n`;
  assertEquals(messages(text), ["wg0.conf:4:1: warning: ListenPort replaces that of line 3"]);
  assertEquals(accepted(text).device.listenPort, 2);
});

Deno.test("hazard 9: 130,560 allowed IPs are read, and as many bad lines reported within bounds", () => {
  const count = 130_560;
  const ip = (i: number) => `10.${i >> 16}.${i >> 8 & 255}.${i & 255}`;
  const ips = Array.from({ length: count }, (_, i) => ip(i));
  const text = `${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\nAllowedIPs = ${ips.join(", ")}\n`;
  assertEquals(clean(text).routes.length, count);
  const lines = ips.map((ip) => `AllowedIPs = ${ip}/33`).join("\n");
  const found = messages(`${INTERFACE}[Peer]\nPublicKey = ${PEER_1}\n${lines}\n`);
  assertEquals(found.length, 101);
  assertEquals(found.at(-1), "wg0.conf:104:14: error: 130460 more errors are not listed");
});

Deno.test("a mutilated file yields a config or errors, and never an exception", () => {
  const good = `${INTERFACE}Address = 10.0.0.1/24, fd00::1/64\nMTU = 1420\n#: [Longhaul]\n` +
    `#: Offload = no-udp-gso\n[Peer]\nPublicKey = ${PEER_1}\nEndpoint = [fe80::1%eth0]:1\n` +
    `AllowedIPs = 10.0.0.0/8,::/0\n`;
  for (let seed = 1; seed <= 2000; seed++) {
    const random = new SeededRandom(seed);
    let text = good;
    for (let i = 1 + random.below(4); i > 0; i--) {
      const at = random.below(text.length);
      const piece = ["", "\n", "[", "]", "=", "#", "#:", ",", ":", "%", "\0", "\ud800", "é"][
        random.below(13)
      ];
      text = text.slice(0, at) + piece + text.slice(at + random.below(3));
    }
    try {
      const { config, diagnostics } = parseConfig(text, { file: "f" });
      const hasErrors = diagnostics.some(({ severity }) => severity === "error");
      assertEquals(config === null, hasErrors);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
