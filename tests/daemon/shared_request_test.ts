import { assertEquals, assertRejects } from "@std/assert";
import { SharedRequest } from "../../src/daemon/shared_request.ts";

Deno.test("who asks while an answer is expected gets that one; the next one asks anew", async () => {
  const request = new SharedRequest<number>();
  let asked = 0;
  const first = request.make(() => asked++);
  const second = request.make(() => asked++);
  request.answer(() => 7);
  assertEquals([await first, await second, asked], [7, 7, 1]);
  request.answer(() => {
    throw new Error("nobody waits");
  });
  const third = request.make(() => asked++);
  request.answer(() => 8);
  assertEquals([await third, asked], [8, 2]);
});

Deno.test("a lane that does not answer is not waited for without end", async () => {
  const request = new SharedRequest<number>(1);
  await assertRejects(() => request.make(() => {}), Error, "does not answer");
  const again = request.make(() => {});
  request.answer(() => 1);
  assertEquals(await again, 1);
});
