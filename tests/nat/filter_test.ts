import { assert, assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "../../src/base/random.ts";
import { createSlab } from "../../src/memory/slab.ts";
import {
  FILTER_BYTES,
  FILTER_RULES_MAX,
  FilterAction,
  FilterDirection,
  type FilterRule,
  FilterTable,
  FilterView,
} from "../../src/nat/filter.ts";
import { describeSuperPacket, SuperPacket } from "../../src/offload/super_packet.ts";
import { EpochTable } from "../../src/tables/epoch.ts";
import { buildPacket, type PacketFields, pattern, TCP, UDP } from "../offload/packet_builder.ts";
import { filterReference } from "../reference/filter_reference.ts";

const { In, Out } = FilterDirection;
const { Allow, Deny } = FilterAction;
const PACKET = 64;
const TABLE = 1 << 16;

function makeFilter() {
  const slab = createSlab(TABLE + FILTER_BYTES + 4096);
  const epochs = new EpochTable(slab, TABLE + FILTER_BYTES, 1);
  return {
    slab,
    epochs,
    table: new FilterTable(slab, TABLE, epochs),
    view: new FilterView(slab, TABLE),
  };
}

const { slab, table, view } = makeFilter();

/** Whether the rules let a packet with these fields go. */
function allows(
  rules: readonly FilterRule[],
  fields: Partial<PacketFields>,
  direction: number,
): boolean {
  table.set(rules);
  const packet = buildPacket(fields);
  slab.u8.set(packet, PACKET);
  const sp = new SuperPacket();
  assertEquals(describeSuperPacket(slab, PACKET, packet.length, sp), 0);
  return view.allows(sp, direction);
}

const prefix = (bits: number, ...address: number[]) => ({
  address: Uint8Array.from(address),
  bits,
});

Deno.test("without a rule everything is allowed, and nothing needs to be asked", () => {
  assert(allows([], {}, In));
  assert(!view.isActive);
  table.set([{ action: Deny, directions: In }]);
  assert(view.isActive);
});

Deno.test("the first rule that matches decides", () => {
  const ssh = { protocol: TCP, ports: { first: 22, last: 22 }, directions: In };
  const rules = [{ ...ssh, action: Allow }, { action: Deny, directions: In | Out }];
  assert(allows(rules, { destinationPort: 22 }, In));
  assert(!allows(rules, { destinationPort: 23 }, In));
  assert(!allows(rules, { destinationPort: 22 }, Out), "the first one is for what comes in");
  assert(!allows([...rules].reverse(), { destinationPort: 22 }, In));
});

Deno.test("a prefix is the source of what comes in and the destination of what goes out", () => {
  // The builder sends from 10.0.0.x to 192.168.0.x.
  const rules = [{ action: Deny, directions: In | Out, prefix: prefix(8, 10, 0, 0, 0) }];
  assert(!allows(rules, {}, In));
  assert(allows(rules, {}, Out));
  const destinations = [{ action: Deny, directions: In | Out, prefix: prefix(16, 192, 168, 0, 0) }];
  assert(allows(destinations, {}, In));
  assert(!allows(destinations, {}, Out));
});

Deno.test("rules with ports match TCP and UDP only", () => {
  const rules = [{ action: Deny, directions: In, ports: { first: 0, last: 65_534 } }];
  assert(!allows(rules, { protocol: TCP }, In));
  assert(!allows(rules, { protocol: UDP }, In));
  assert(allows(rules, { protocol: 132 }, In));
});

Deno.test("later fragments pass rules with ports: their first one has been judged", () => {
  const fragment = { fragmentField: 100, payload: pattern(64) };
  const http = { protocol: TCP, ports: { first: 80, last: 80 }, directions: In };
  assert(allows([{ ...http, action: Deny }], fragment, In));
  const onlyHttp = [{ ...http, action: Allow }, { action: Deny, directions: In }];
  assert(allows(onlyHttp, fragment, In));
  assert(!allows([{ action: Deny, directions: In }], fragment, In));
});

Deno.test("a rule may name this end too, whichever way the packet goes", () => {
  const packet = buildPacket({});
  const [source, destination] = [packet.slice(12, 16), packet.slice(16, 20)];
  const rulesAbout = (address: Uint8Array) => [
    { action: Deny, directions: In | Out, ownPrefix: prefix(32, ...address) },
  ];
  assert(!allows(rulesAbout(destination), {}, In));
  assert(allows(rulesAbout(destination), {}, Out));
  assert(allows(rulesAbout(source), {}, In));
  assert(!allows(rulesAbout(source), {}, Out));
  assert(allows(rulesAbout(destination), { version: 6 }, In));
});

Deno.test("random lists agree with the plain one", () => {
  const seed = 4711;
  const random = new SeededRandom(seed);
  const makeRule = (): FilterRule => {
    const version6 = random.below(2) === 0;
    const address = version6
      ? Uint8Array.from([0xfd, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0, 0, 0, 0, 0, 0, 0, 2])
      : Uint8Array.of(10, 0, 0, random.below(4));
    const first = random.below(4);
    return {
      action: random.below(2) === 0 ? Allow : Deny,
      directions: 1 + random.below(3),
      ...random.below(2) === 0
        ? { prefix: { address, bits: random.below(version6 ? 129 : 33) } }
        : {},
      ...random.below(3) === 0
        ? { ownPrefix: { address, bits: random.below(version6 ? 129 : 33) } }
        : {},
      ...random.below(2) === 0 ? { protocol: [6, 17, 132][random.below(3)] } : {},
      ...random.below(2) === 0 ? { ports: { first, last: first + random.below(3) } } : {},
    };
  };
  for (let run = 0; run < 3000; run++) {
    const rules = Array.from({ length: random.below(8) }, makeRule);
    const fields = {
      version: random.below(2) === 0 ? 4 as const : 6 as const,
      protocol: [6, 17, 132][random.below(3)],
      source: random.below(4),
      destinationPort: random.below(6),
      fragmentField: 0,
      payload: pattern(40),
    };
    const packet = buildPacket(fields);
    const expected = filterReference(rules, {
      remote: fields.version === 4 ? packet.slice(12, 16) : packet.slice(8, 24),
      own: fields.version === 4 ? packet.slice(16, 20) : packet.slice(24, 40),
      protocol: fields.protocol,
      destinationPort: fields.protocol === 132 ? null : fields.destinationPort,
      isLaterFragment: false,
    }, In);
    assertEquals(allows(rules, fields, In), expected, `seed ${seed}, run ${run}`);
  }
});

Deno.test("more rules than fit are refused, and the old list stays", () => {
  table.set([{ action: Deny, directions: In }]);
  const rules = new Array(FILTER_RULES_MAX + 1).fill({ action: Allow, directions: In });
  assertThrows(() => table.set(rules), RangeError);
  assert(view.isActive);
  assert(table.set(rules.slice(1)));
});

Deno.test("a lane in the middle of a turn keeps the list that it reads; the newest one waits", () => {
  const { table, view, epochs } = makeFilter();
  const deny = (count: number) => new Array(count).fill({ action: Deny, directions: In });
  epochs.announce(0, epochs.current());
  assert(table.set(deny(1)));
  assert(table.set(deny(2)));
  assert(table.set(deny(3)));
  assert(!table.set(deny(4)), "the lane may be reading any of the other blocks");
  assert(!table.set([]));
  assert(view.isActive);
  epochs.announce(0, epochs.current());
  assert(table.retry());
  assert(!view.isActive, "what was set last is published");
  assert(table.retry());
});
