import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeFd, openPipe, pollFd, POLLIN, readFd, setInherited } from "../../ffi/descriptor.ts";
import { SystemCallError } from "../../ffi/error.ts";
import { readToEnd } from "../../ffi/files.ts";
import { fixedBytes } from "../../ffi/memory.ts";
import {
  isDumpable,
  killProcess,
  openProcess,
  ownProcessId,
  pollExit,
  SIGKILL,
  SIGTERM,
  spawnProcess,
  waitExit,
} from "../../ffi/process.ts";
import { runProgram } from "../../ffi/run_program.ts";
import { Errno } from "../../src/base/errno.ts";

const ENVIRONMENT = [`PATH=${Deno.env.get("PATH")}`, "GREETING=hello"];

/** Runs a shell script whose descriptor `target` is a pipe, and returns what it wrote there. */
function shell(script: string, target = 1, newSession = false): string {
  const pipe = openPipe();
  const pid = spawnProcess({
    program: "sh",
    args: ["-c", script],
    environment: ENVIRONMENT,
    descriptors: [[pipe.writeEnd, target]],
    newSession,
  });
  closeFd(pipe.writeEnd);
  const output = readToEnd(pipe.readEnd, 10_000, "read");
  closeFd(pipe.readEnd);
  assertEquals(waitExit(pid, 5000), { code: 0, signal: 0 });
  return new TextDecoder().decode(output).trim();
}

Deno.test("a started program has its arguments, its environment and nothing else", () => {
  assertEquals(shell('echo "$GREETING" "$HOME"'), "hello");
  assertEquals(shell("echo to three >&3", 3), "to three");
});

Deno.test("only the chosen descriptors are open in a started program", () => {
  const extra = openPipe();
  setInherited(extra.readEnd, true);
  const { readEnd } = extra;
  assertEquals(shell(`test -e /proc/$$/fd/${readEnd} && echo open || echo closed`), "closed");
  assertEquals(shell("readlink /proc/$$/fd/0 /proc/$$/fd/2"), "/dev/null\n/dev/null");
  closeFd(extra.readEnd);
  closeFd(extra.writeEnd);
});

Deno.test("descriptors can be swapped on the way", () => {
  const a = openPipe(), b = openPipe();
  const pid = spawnProcess({
    program: "sh",
    args: ["-c", `cd /proc/$$/fd; echo first > ${b.writeEnd}; echo second > ${a.writeEnd}`],
    environment: ENVIRONMENT,
    descriptors: [[a.writeEnd, b.writeEnd], [b.writeEnd, a.writeEnd]],
  });
  assertEquals(waitExit(pid, 5000), { code: 0, signal: 0 });
  const bytes = fixedBytes(100);
  assertEquals(readFd(a.readEnd, bytes), "first\n".length);
  assertEquals(readFd(b.readEnd, bytes), "second\n".length);
  for (const fd of [a.readEnd, a.writeEnd, b.readEnd, b.writeEnd]) closeFd(fd);
});

Deno.test("a new session has its own leader; otherwise the group stays ours", () => {
  const script = 'read -r line < /proc/$$/stat; set -- $line; echo "$1 $5 $6"';
  const [pid, group, session] = shell(script, 1, true).split(" ");
  assertEquals([group, session], [pid, pid]);
  const [other, otherGroup] = shell(script, 1, false).split(" ");
  assert(other !== otherGroup);
});

Deno.test("signals ignored or blocked here have their default action in a started program", () => {
  const ignored = shell("exec grep -E '^Sig(Ign|Blk)' /proc/self/status");
  assertEquals(ignored.match(/\b0{16}\b/g)?.length, 2, ignored);
});

Deno.test("a program that does not exist is ENOENT, named", () => {
  const error = assertThrows(
    () => spawnProcess({ program: "/none", args: [], environment: [], descriptors: [] }),
    SystemCallError,
  );
  const { message, errno } = error as SystemCallError;
  assertEquals([errno, message.startsWith('posix_spawn("/none"): ENOENT')], [Errno.ENOENT, true]);
});

Deno.test("exit codes and signals are told apart, and a running program from both", () => {
  const start = (script: string) =>
    spawnProcess({
      program: "sh",
      args: ["-c", script],
      environment: ENVIRONMENT,
      descriptors: [],
    });
  assertEquals(waitExit(start("exit 7"), 5000), { code: 7, signal: 0 });
  const pid = start("exec sleep 60");
  assertEquals([pollExit(pid), waitExit(pid, 5)], [undefined, undefined]);
  assertEquals(killProcess(pid, SIGTERM), 0);
  assertEquals(waitExit(pid, 5000), { code: 0, signal: SIGTERM });
  assertEquals(killProcess(pid, SIGKILL), -3);
  assertThrows(() => pollExit(pid), SystemCallError);
  assertEquals(ownProcessId(), Deno.pid);
});

Deno.test("a closed pipe tells the starter that a background program is ready, or has failed", () => {
  for (const [script, expected] of [["echo r >&3; exec sleep 60", 2], ["exit 1", 0]] as const) {
    const ready = openPipe();
    const pid = spawnProcess({
      program: "sh",
      args: ["-c", script],
      environment: ENVIRONMENT,
      descriptors: [[ready.writeEnd, 3]],
      newSession: true,
    });
    closeFd(ready.writeEnd);
    assertEquals(readFd(ready.readEnd, fixedBytes(10)), expected);
    closeFd(ready.readEnd);
    killProcess(-pid, SIGKILL);
    waitExit(pid, 5000);
  }
});

Deno.test("makeUndumpable() holds for the whole process", async () => {
  // In a process of its own: it cannot be undone as another user.
  const script = `
    import { isDumpable, makeUndumpable } from ${moduleText("process.ts")};
    const before = isDumpable();
    makeUndumpable();
    console.log(before, isDumpable());
  `;
  const output = await new Deno.Command(Deno.execPath(), { args: ["eval", script] }).output();
  assertEquals(
    new TextDecoder().decode(output.stdout),
    "true false\n",
  );
  assertEquals(isDumpable(), true);
});

function moduleText(file: string): string {
  return JSON.stringify(new URL(`../../ffi/${file}`, import.meta.url).href);
}

Deno.test("runProgram() collects both outputs and the exit code", async () => {
  const result = await runProgram({
    program: "sh",
    args: ["-c", 'echo "$GREETING"; echo bad >&2; cat; exit 3'],
    environment: ENVIRONMENT,
    timeoutMs: 5000,
  });
  assertEquals(result, { code: 3, signal: 0, timedOut: false, stdout: "hello\n", stderr: "bad\n" });
});

Deno.test("runProgram() goes on when there is more output than it keeps", async () => {
  const result = await runProgram({
    program: "sh",
    args: ["-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo end >&2"],
    environment: ENVIRONMENT,
    timeoutMs: 10_000,
    outputBytesMax: 100,
  });
  assertEquals([result.stdout, result.stderr, result.code], ["x".repeat(100), "end\n", 0]);
});

Deno.test("runProgram() feeds as much input as the program reads", async () => {
  const input = "0123456789".repeat(100_000);
  const options = { environment: ENVIRONMENT, timeoutMs: 10_000 };
  const whole = await runProgram({ ...options, program: "wc", args: ["-c"], input });
  assertEquals(whole.stdout.trim(), "1000000");
  const part = await runProgram({ ...options, program: "head", args: ["-c", "3"], input });
  assertEquals([part.code, part.stdout], [0, "012"]);
});

Deno.test("runProgram() ends a program that takes too long, even one that ignores SIGTERM", async () => {
  for (const [script, signal] of [["sleep 60", SIGTERM], ["trap '' TERM; sleep 60", SIGKILL]]) {
    const result = await runProgram({
      program: "sh",
      args: ["-c", `${script}; exit 0`],
      environment: ENVIRONMENT,
      timeoutMs: 50,
      graceMs: 50,
    });
    assertEquals([result.timedOut, result.signal], [true, signal as number]);
  }
});

Deno.test("openProcess() gives what is readable once a process has ended, reaped or not", () => {
  const pid = spawnProcess({
    program: "sleep",
    args: ["60"],
    environment: ENVIRONMENT,
    descriptors: [],
  });
  const fd = openProcess(pid);
  assertEquals(pollFd(fd, POLLIN, 0), 0);
  killProcess(pid, SIGKILL);
  assertEquals(pollFd(fd, POLLIN, 5000), POLLIN);
  closeFd(fd);
  assertEquals(waitExit(pid, 5000), { code: 0, signal: SIGKILL });
  assert(openProcess(pid) < 0, "no such process any more");
});
