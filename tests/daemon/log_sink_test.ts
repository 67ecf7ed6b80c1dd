import { assert, assertEquals } from "@std/assert";
import { closeFd, O_CLOEXEC, O_WRONLY, openPipe, readFd } from "../../ffi/descriptor.ts";
import { checked, libc } from "../../ffi/libc.ts";
import { cString, fixedBytes } from "../../ffi/memory.ts";
import { CountingSink, datagramSink, descriptorSink } from "../../src/daemon/log_sink.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const lossOf = (lost: number) => encode(`lost ${lost}\n`);

function readText(fd: number): string {
  const bytes = fixedBytes(100_000);
  return new TextDecoder().decode(bytes.subarray(0, readFd(fd, bytes)));
}

Deno.test("a reader that has stopped costs lines, no time, and they are counted", () => {
  const pipe = openPipe();
  const sink = new CountingSink(descriptorSink(pipe.writeEnd));
  const line = encode("x".repeat(4000) + "\n");
  // A pipe takes 64 KiB; a blocking write beyond that would never return here.
  for (let i = 0; i < 30; i++) sink.write(line, lossOf);
  const kept = readText(pipe.readEnd).trimEnd().split("\n").length;
  assert(kept > 0 && kept < 30);
  sink.write(encode("after\n"), lossOf);
  assertEquals(readText(pipe.readEnd), `lost ${30 - kept}\nafter\n`);
  closeFd(pipe.readEnd);
  closeFd(pipe.writeEnd);
});

Deno.test("a closed pipe is no error", () => {
  const pipe = openPipe();
  closeFd(pipe.readEnd);
  const sink = new CountingSink(descriptorSink(pipe.writeEnd));
  for (let i = 0; i < 3; i++) sink.write(encode("x\n"), lossOf);
  closeFd(pipe.writeEnd);
});

Deno.test("a full disk is no error", () => {
  const fd = checked(libc().open(cString("/dev/full"), O_WRONLY | O_CLOEXEC, 0));
  const sink = new CountingSink(descriptorSink(fd));
  for (let i = 0; i < 3; i++) sink.write(encode("x\n"), lossOf);
  closeFd(fd);
});

Deno.test("a journal that is not there gives no sink to a bad path, and lost lines to a missing one", () => {
  assertEquals(datagramSink("/" + "x".repeat(200)), null);
  const sink = datagramSink("/nowhere/socket");
  assertEquals(sink?.(encode("x")), false);
});
