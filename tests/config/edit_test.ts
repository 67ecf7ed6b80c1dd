import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SeededRandom } from "../../src/base/random.ts";
import { appendPeer, removePeer } from "../../src/config/edit.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { formatKeyBase64 } from "../../src/control/key_text.ts";

const random = new SeededRandom(77);
const KEYS = Array.from({ length: 6 }, () => formatKeyBase64(random.fill(new Uint8Array(32))));

Deno.test("removing a peer leaves every other byte as it was", () => {
  const text = [
    "# my tunnel",
    "[Interface]",
    "PrivateKey = x # a bad line stays",
    "PostUp = echo [Peer] # not a section",
    "",
    "# Alice, her phone",
    "# (the old one)",
    "[Peer]",
    `PublicKey = ${KEYS[0]} # key`,
    "#: NatAddress = 10.0.0.9",
    "",
    "  AllowedIPs = 10.0.0.2/32",
    "#AllowedIPs = 10.0.0.9/32",
    "",
    "# Bob",
    "[peer]",
    `publickey=${KEYS[1]}`,
    "# Carol",
    "[Peer]",
    `PublicKey = ${KEYS[2]}`,
    "#: [Longhaul]",
    "#: Offload = no-udp-gso",
    "AllowedIPs = 10.0.0.4/32",
    "# the end",
  ];
  const without = (...ranges: [number, number][]) =>
    text.filter((_, i) => !ranges.some(([from, to]) => i >= from && i <= to)).join("\n");
  const whole = text.join("\n");
  assertEquals(removePeer(whole, KEYS[0]), without([4, 12]));
  assertEquals(removePeer(whole, KEYS[1]), without([13, 16]));
  // The section behind `#:` is not the peer's.
  assertEquals(removePeer(whole, KEYS[2]), without([17, 19], [22, 23]) + "\n");
  assertEquals(removePeer(whole, KEYS[3]), whole);
});

Deno.test("a peer with several sections goes with all of them", () => {
  const section = (key: string, ip: string) => `[Peer]\nPublicKey = ${key}\nAllowedIPs = ${ip}\n`;
  const text = `[Interface]\n\n${section(KEYS[0], "10.0.0.1")}\n${section(KEYS[1], "10.0.0.2")}\n` +
    section(KEYS[0], "10.0.0.3");
  assertEquals(removePeer(text, KEYS[0]), `[Interface]\n\n${section(KEYS[1], "10.0.0.2")}`);
});

Deno.test("a peer that is added can be read, and is the last one", () => {
  const text = `[Interface]\r\nAddress = 10.0.0.1/24`;
  const added = appendPeer(text, {
    friendlyName: "phone",
    keys: [["PublicKey", KEYS[0]], ["AllowedIPs", "10.0.0.2/32"]],
  });
  assertEquals(
    added,
    `${text}\r\n\r\n[Peer]\r\n# friendly_name = phone\r\nPublicKey = ${KEYS[0]}\r\n` +
      "AllowedIPs = 10.0.0.2/32\r\n",
  );
  const { config } = parseConfig(added, { file: "test" });
  assertEquals(config?.device.peers.map((peer) => peer.friendlyName), ["phone"]);
});

/** A line that belongs to a section without being a key, or a key. */
const insideLine = fc.oneof(
  fc.constantFrom("", "  ", "# a comment", "\t#x", "AllowedIPs = 10.9.0.0/16 # why", "#: X = 1"),
  fc.stringMatching(/^# [a-z []{0,20}$/),
);

/** One piece of a file; a whole file is made of them. The text of a peer goes with the peer. */
const peerPiece = fc.record({
  key: fc.constantFrom(...KEYS),
  header: fc.constantFrom("[Peer]", "[peer]", " [ Peer ]", "[Peer] # who"),
  above: fc.array(fc.constantFrom("# above", "#", "  # [Peer]"), { maxLength: 3 }),
  inside: fc.array(insideLine, { maxLength: 5 }),
  isSpaced: fc.boolean(),
});

const otherPiece = fc.constantFrom(
  "[Interface]\nAddress = 10.0.0.1/24\n",
  "\n[Longhaul]\n# ours\nMode = auto\n",
  "\n\n\n[Interface]\nPostUp = echo '#' [Peer]\n",
  "\n# lonely comment\n\n[Interface]\nMTU = 1400\n",
);

Deno.test("any peer of any file can be removed, and nothing else changes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(peerPiece, otherPiece), { maxLength: 8 }),
      fc.constantFrom(...KEYS),
      fc.constantFrom("\n", "\r\n"),
      (pieces, key, lineEnd) => {
        const texts = pieces.map((piece) => {
          if (typeof piece === "string") return piece;
          const lines = [
            ...(piece.isSpaced ? [""] : []),
            ...piece.above,
            piece.header,
            ...piece.inside,
            `PublicKey = ${piece.key}`,
          ];
          return lines.map((line) => line + "\n").join("");
        });
        const isGone = (at: number) => {
          const piece = pieces[at];
          return typeof piece !== "string" && piece.key === key;
        };
        const whole = texts.join("").replaceAll("\n", lineEnd);
        const rest = texts.filter((_, at) => !isGone(at)).join("").replaceAll("\n", lineEnd);
        assertEquals(removePeer(whole, key), rest);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("what is appended and removed again leaves the text as it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.boolean(), (noise, hasEnd) => {
      const text = noise.replaceAll(KEYS[0], "") + (hasEnd ? "\n" : "");
      const added = appendPeer(text, { friendlyName: "x", keys: [["PublicKey", KEYS[0]]] });
      assert(added.startsWith(text));
      const removed = removePeer(added, KEYS[0]);
      const isEnded = text === "" || text.endsWith("\n");
      assertEquals(removed, isEnded ? text : text + (text.includes("\r\n") ? "\r\n" : "\n"));
    }),
    { numRuns: 500 },
  );
});
