import { assert, assertEquals } from "@std/assert";
import { formatDiagnostic } from "../../src/config/diagnostic.ts";
import { peerNats } from "../../src/config/nat_address.ts";
import { nodeDifference } from "../../src/config/node_difference.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { formatAddress } from "../../src/control/address_text.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const key = (byte: number) => formatKeyBase64(new Uint8Array(32).fill(byte));
const OWN = "Address = 10.0.0.1/24, fd00::1/64";

/** A file with one peer for each list of lines; the first peer's lines begin at line 7. */
function file(peers: readonly string[][], own = OWN): string {
  const sections = peers.map((lines, i) =>
    ["[Peer]", `PublicKey = ${key(i + 1)}`, ...lines].join("\n")
  );
  return `[Interface]\nPrivateKey = ${key(0x41)}\n${own}\n\n${sections.join("\n\n")}\n`;
}

function parse(text: string) {
  const { config, diagnostics } = parseConfig(text, { file: "f" });
  return { config, messages: diagnostics.map(formatDiagnostic) };
}

function accepted(text: string) {
  const { config, messages } = parse(text);
  assert(config !== null, messages.join("\n"));
  return config!;
}

/** The translations of a file: peer number, own address, address at the peer. */
function nats(text: string): [number, string, string][] {
  return peerNats(accepted(text)).flatMap(({ publicKey, pairs }) =>
    pairs.map(({ own, theirs }): [number, string, string] => [
      publicKey[0],
      formatAddress(own),
      formatAddress(theirs),
    ])
  );
}

/** The one message about a file that must be refused. */
function refused(text: string): string {
  const { config, messages } = parse(text);
  assertEquals(config, null);
  assertEquals(messages.length, 1, messages.join("\n"));
  return messages[0];
}

Deno.test("each peer may know us by one address of each family, on one line or on two", () => {
  const text = file([
    ["NatAddress = 10.9.0.7, fd09::7"],
    ["AllowedIPs = 10.0.0.3/32"],
    ["nataddress = 10.9.0.8", "NatAddress = fd09::8"],
  ]);
  assertEquals(nats(text), [
    [1, "10.0.0.1", "10.9.0.7"],
    [1, "fd00::1", "fd09::7"],
    [3, "10.0.0.1", "10.9.0.8"],
    [3, "fd00::1", "fd09::8"],
  ]);
});

Deno.test("two peers may know us by the same address", () => {
  const text = file([["NatAddress = 10.9.0.7"], ["NatAddress = 10.9.0.7"]]);
  assertEquals(nats(text).map(([peer]) => peer), [1, 2]);
});

Deno.test("the first Address of a family is the one that is translated", () => {
  const own = "Address = 10.0.0.1/24, 10.0.0.2/24\nAddress = 10.0.0.3";
  assertEquals(nats(file([["NatAddress = 10.9.0.7"]], own)), [[1, "10.0.0.1", "10.9.0.7"]]);
});

Deno.test("a peer that stands there twice has the later addresses", () => {
  const peer = `[Peer]\nPublicKey = ${key(1)}\n`;
  const text = file([["NatAddress = 10.9.0.7"]]);
  assertEquals(nats(`${text}${peer}NatAddress = fd09::7\n`), [[1, "fd00::1", "fd09::7"]]);
  assertEquals(nats(`${text}${peer}`), [[1, "10.0.0.1", "10.9.0.7"]]);
});

Deno.test("what is no address of one node is refused where it stands", () => {
  const expected = "expected an address without a prefix length, such as 10.9.0.7 or fd00::7";
  for (const wrong of ["10.9.0.0/24", "10.9.0.7/32", "10.9.0", "node7", "10.9.0.7:80"]) {
    const message = refused(file([[`NatAddress = ${wrong}`]]));
    assertEquals(message, `f:7:14: error: NatAddress: ${expected}, found \`${wrong}\``);
  }
  for (const wrong of ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "ff02::1"]) {
    const message = refused(file([[`NatAddress = ${wrong}`]]));
    assert(message.includes(`${wrong} cannot be the address of one node`), message);
  }
});

Deno.test("two addresses of a family are refused, and the first is named", () => {
  const message = refused(file([["NatAddress = 10.9.0.7", "NatAddress = fd09::7, 10.9.0.8"]]));
  assertEquals(
    message,
    "f:8:23: error: NatAddress: a peer knows us by one IPv4 address, and that is 10.9.0.7 (line 7)",
  );
});

Deno.test("an address of a family that we have no address of is refused", () => {
  const message = refused(file([["NatAddress = fd09::7"]], "Address = 10.0.0.1/24"));
  assert(message.endsWith("[Interface] has no IPv6 Address that fd09::7 could stand for"), message);
});

Deno.test("addresses that belong to this node or to a peer are refused, our own only warned of", () => {
  const own = "Address = 10.0.0.1/24, 10.0.0.2/24";
  const second = refused(file([["NatAddress = 10.0.0.2"]], own));
  assert(second.endsWith("another Address of this node; only 10.0.0.1 is translated"), second);
  const itself = refused(file([["AllowedIPs = 10.9.0.7/32", "NatAddress = 10.9.0.7"]]));
  assert(
    itself.endsWith("10.9.0.7 is an address of this peer itself, by its AllowedIPs"),
    itself,
  );
  const other = refused(file([["NatAddress = fd09::7"], ["AllowedIPs = fd09::7"]]));
  assert(
    other.endsWith("fd09::7 is an address of the peer of line 9, by its AllowedIPs"),
    other,
  );
  const wide = file([["AllowedIPs = 0.0.0.0/0, 10.9.0.0/24", "NatAddress = 10.9.0.7"]]);
  assertEquals(nats(wide).length, 1);
  const native = file([["NatAddress = 10.0.0.1"]]);
  assertEquals(parse(native).messages, [
    "f:7:14: warning: NatAddress: 10.0.0.1 is our own address: there is nothing to translate",
  ]);
  assertEquals(nats(native), []);
});

Deno.test("other translations, also of another own address, are a difference of two configs", () => {
  const hasOther = (before: string, after: string) =>
    nodeDifference(accepted(before), accepted(after)).hasOtherNat;
  const plain = file([[]]), nat = file([["NatAddress = 10.9.0.7, fd09::7"]]);
  assertEquals([hasOther(plain, plain), hasOther(nat, nat)], [false, false]);
  assertEquals([hasOther(plain, nat), hasOther(nat, plain)], [true, true]);
  const moved = file([["NatAddress = 10.9.0.7, fd09::7"]], "Address = 10.0.0.9/24, fd00::1/64");
  assertEquals(hasOther(nat, moved), true);
});
