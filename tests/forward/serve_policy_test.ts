/** Which destinations a node serves. */
import { assertEquals } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { ServePolicy } from "../../src/forward/serve_policy.ts";
import { DestinationVerdict } from "../../src/netstack/ip_input.ts";
import { address, addressText } from "../netstack/packets.ts";
import { prefix } from "./serve_scene.ts";

const { Forward, Foreign, Prohibited } = DestinationVerdict;

function judge(policy: ServePolicy, bytes: Uint8Array): DestinationVerdict {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return policy.judge(view, 0, bytes.length === 4 ? 4 : 6);
}

/** What becomes of each address when these prefixes are served. */
function verdicts(served: string[], expected: Record<string, DestinationVerdict>): void {
  const policy = new ServePolicy(served.map(prefix));
  for (const [text, verdict] of Object.entries(expected)) {
    assertEquals(judge(policy, address(text)), verdict, `${text} with ${served.join(", ")}`);
  }
}

Deno.test("what is not served is nobody's business, and each family stands for itself", () => {
  verdicts(["192.168.0.0/16"], {
    "192.168.255.255": Forward,
    "192.169.0.0": Foreign,
    "127.0.0.1": Foreign,
    "fd00::9": Foreign,
  });
  verdicts(["::/0"], { "10.0.0.9": Foreign, "2001:db8::1": Forward });
  verdicts([], { "10.0.0.9": Foreign });
});

Deno.test("hazard 76: everything does not include loopback, link-local and what is reserved", () => {
  verdicts(["0.0.0.0/0", "::/0"], {
    "8.8.8.8": Forward,
    "10.0.0.9": Forward,
    "0.0.0.0": Prohibited,
    "0.255.0.1": Prohibited,
    "127.0.0.1": Prohibited,
    "127.255.255.254": Prohibited,
    "169.254.169.254": Prohibited,
    "224.0.0.1": Prohibited,
    "240.0.0.1": Prohibited,
    "255.255.255.255": Prohibited,
    "126.0.0.1": Forward,
    "223.255.255.255": Forward,
    "2001:db8::1": Forward,
    "::": Prohibited,
    "::1": Prohibited,
    "::ffff:7f00:1": Prohibited,
    "::7f00:1": Prohibited,
    "fe80::1": Prohibited,
    "febf::1": Prohibited,
    "ff02::1": Prohibited,
    "fec0::1": Forward,
  });
});

Deno.test("a special address that is listed is served", () => {
  verdicts(["0.0.0.0/0", "169.254.169.254/32", "127.0.0.0/8", "fe80::/10", "::/0"], {
    "169.254.169.254": Forward,
    "169.254.169.253": Prohibited,
    "127.0.0.1": Forward,
    "fe80::1": Forward,
    "::1": Prohibited,
  });
});

Deno.test("random prefixes agree with the plain rule", () => {
  const seed = 99;
  const random = new SeededRandom(seed);
  const special = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "::/80",
    "fe80::/10",
  ]
    .concat("ff00::/8").map(prefix);
  const some = (): Uint8Array => {
    const isV6 = random.below(2) === 0;
    const firsts = isV6 ? [0, 0xfe, 0xff, 0x20] : [0, 10, 127, 169, 224, 255];
    const bytes = new Uint8Array(isV6 ? 16 : 4);
    for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(3) === 0 ? random.below(256) : 0;
    bytes[0] = firsts[random.below(firsts.length)];
    if (bytes[0] === 169) bytes[1] = 254;
    if (bytes[0] === 0xfe) bytes[1] = 0x80;
    return bytes;
  };
  const longest = (list: { address: Uint8Array; bits: number }[], of: Uint8Array) =>
    Math.max(-1, ...list.filter((one) => holds(one, of)).map(({ bits }) => bits));
  for (let run = 0; run < 3000; run++) {
    const served = Array.from({ length: random.below(6) }, () => {
      const base = some();
      return { address: base, bits: random.below(base.length * 8 + 1) };
    });
    const policy = new ServePolicy(served);
    const one = some();
    const bits = longest(served, one);
    const expected = bits < 0 ? Foreign : longest(special, one) > bits ? Prohibited : Forward;
    assertEquals(judge(policy, one), expected, `seed ${seed}, run ${run}, ${addressText(one)}`);
  }
});

function holds(one: { address: Uint8Array; bits: number }, other: Uint8Array): boolean {
  const binary = (bytes: Uint8Array) =>
    [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("").slice(0, one.bits);
  return one.address.length === other.length && binary(one.address) === binary(other);
}
