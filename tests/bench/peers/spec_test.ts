import { assertEquals, assertThrows } from "@std/assert";
import { parseContestant } from "../../../bench/peers/programs/spec.ts";

Deno.test("a contestant may name a checkout, variables, settings, and a program for each side", () => {
  const plain = { name: "longhaul", checkout: undefined, env: {}, settings: [] };
  assertEquals(parseContestant("longhaul"), { label: "longhaul", a: plain, b: plain });
  const label = "longhaul@/tmp/x+LONGHAUL_ENCRYPTORS=1+Offload=no-udp-gso:wireguard-go";
  assertEquals(parseContestant(label), {
    label,
    a: {
      name: "longhaul",
      checkout: "/tmp/x",
      env: { LONGHAUL_ENCRYPTORS: "1" },
      settings: ["Offload = no-udp-gso"],
    },
    b: { ...plain, name: "wireguard-go" },
  });
});

Deno.test("what is no contestant is refused, and said", () => {
  assertThrows(() => parseContestant("openvpn"), Error, "no such program: openvpn");
  assertThrows(() => parseContestant("boringtun@/x"), Error, "only longhaul takes");
  assertThrows(() => parseContestant("longhaul+x"), Error, "no NAME=VALUE");
  assertThrows(() => parseContestant("longhaul:boringtun:longhaul"), Error, "two ends");
});
