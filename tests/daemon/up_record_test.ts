import { assert, assertEquals, assertThrows } from "@std/assert";
import { requires } from "../requires.ts";
import { SetupError } from "../../src/daemon/setup_error.ts";
import {
  findRecord,
  forgetRecord,
  stepsOfOthers,
  type UndoStep,
  UpRecord,
} from "../../src/daemon/up_record.ts";

const FOLDER = "/run/longhaul";
const SYSCTL: UndoStep = { kind: "sysctl", path: "/proc/sys/x", value: "0" };
const NFT: UndoStep = { kind: "nft", table: "longhaul-x" };
const POST_DOWN: UndoStep = { kind: "hooks", when: "PostDown", commands: ["true"] };

let serial = 0;

function recordTest(name: string, scenario: (interfaceName: string, path: string) => void): void {
  Deno.test({
    name,
    ...requires("root"),
    fn: () => {
      const interfaceName = `lhr${Deno.pid.toString(36)}${serial++}`;
      const path = `${FOLDER}/${interfaceName}.json`;
      try {
        scenario(interfaceName, path);
      } finally {
        if (exists(path)) Deno.removeSync(path);
      }
    },
  });
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

recordTest(
  "a record is a file for its owner alone, as long as something stands in it",
  (name, path) => {
    const record = UpRecord.begin(name);
    assertEquals([exists(path), findRecord(name)], [false, null]);
    record.add(SYSCTL);
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
    const found = findRecord(name)!;
    assertEquals([found.isLive, found.isHere], [true, true]);
    assertEquals(found.content.steps, [{ kind: "interface" }, SYSCTL]);
    record.add(NFT);
    record.strikeLast();
    assertEquals(findRecord(name)!.content.steps, [{ kind: "interface" }, SYSCTL]);
    record.strikeLast();
    assertEquals([record.steps, exists(path)], [[], false]);
  },
);

recordTest("what PostDown undoes comes before the interface", (name) => {
  const record = UpRecord.begin(name);
  record.add(POST_DOWN);
  record.add(NFT);
  assertEquals(record.steps.map(({ kind }) => kind), ["hooks", "interface", "nft"]);
});

recordTest(
  "what changes is on disk before it is done: a change is told before and after",
  (name) => {
    const seen: number[] = [];
    const record = UpRecord.begin(name, () => {
      seen.push(findRecord(name)?.content.steps.length ?? 0);
    });
    record.add(NFT);
    record.add(SYSCTL);
    record.strikeLast();
    record.strikeLast();
    assertEquals(seen, [0, 2, 2, 3, 3, 2, 2, 0]);
  },
);

recordTest("another process takes a record over and strikes its steps out", (name, path) => {
  UpRecord.begin(name).add(NFT);
  const taken = UpRecord.takeOver(findRecord(name)!.content);
  assertEquals(taken.steps.length, 2);
  taken.strikeLast();
  assert(!exists(path));
});

recordTest(
  "a record of a process that has ended, or whose number is used again, is not live",
  (name, path) => {
    UpRecord.begin(name).add(NFT);
    const content = JSON.parse(Deno.readTextFileSync(path));
    for (const change of [{ processId: 2 ** 22 + 1 }, { processStart: "1" }]) {
      Deno.writeTextFileSync(path, JSON.stringify({ ...content, ...change }));
      assertEquals(findRecord(name)!.isLive, false);
    }
    Deno.writeTextFileSync(path, JSON.stringify({ ...content, namespace: "cookie 0" }));
    assertEquals(findRecord(name)!.isHere, false);
  },
);

recordTest("a record that another user could have written is not trusted", (name, path) => {
  UpRecord.begin(name).add(NFT);
  Deno.chmodSync(path, 0o620);
  assertThrows(() => findRecord(name), SetupError, "can be written by others");
  Deno.chmodSync(path, 0o600);
  Deno.chownSync(path, 65_534, null);
  assertThrows(() => findRecord(name), SetupError, "belongs to another user");
});

recordTest("a record from before the last boot is void", (name, path) => {
  UpRecord.begin(name).add(NFT);
  const content = JSON.parse(Deno.readTextFileSync(path));
  Deno.writeTextFileSync(path, JSON.stringify({ ...content, bootId: "another" }));
  assertEquals([findRecord(name), exists(path)], [null, false]);
});

recordTest("a file that is no record is told, and no step is taken from it", (name, path) => {
  UpRecord.begin(name).add(NFT);
  for (const text of ["", "{", "[]", '{"version":2,"steps":[]}', '{"version":1}', "null"]) {
    Deno.writeTextFileSync(path, text);
    assertThrows(() => findRecord(name), SetupError, path);
    assertEquals(stepsOfOthers("other").includes(NFT), false);
  }
  forgetRecord(name);
  assertEquals(findRecord(name), null);
});

recordTest(
  "the steps of other tunnels of this namespace are known, our own are not among them",
  (name, path) => {
    const step: UndoStep = { ...SYSCTL, value: name };
    UpRecord.begin(name).add(step);
    const isThere = () =>
      stepsOfOthers("other").some((each) => "value" in each && each.value === name);
    assertEquals(isThere(), true);
    assertEquals(stepsOfOthers(name).some((each) => "value" in each && each.value === name), false);
    const content = JSON.parse(Deno.readTextFileSync(path));
    Deno.writeTextFileSync(path, JSON.stringify({ ...content, namespace: "cookie 0" }));
    assertEquals(isThere(), false);
  },
);
