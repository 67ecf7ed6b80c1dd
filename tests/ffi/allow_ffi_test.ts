import { assertEquals } from "@std/assert";
import { Errno } from "../../src/base/errno.ts";
import { requires } from "../requires.ts";

const decoder = new TextDecoder();

Deno.test("all of ffi/ works with --allow-ffi alone, without a prompt", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "longhaul-test-" });
  try {
    const program = new URL("./allow_ffi_program.ts", import.meta.url).pathname;
    const output = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-ffi", "--no-prompt", program, folder],
    }).output();
    assertEquals([decoder.decode(output.stdout), decoder.decode(output.stderr)], ["done\n", ""]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("importing ffi/ opens no library: it needs no permission", async () => {
  const files = [...Deno.readDirSync(new URL("../../ffi/", import.meta.url))]
    .map((entry) => entry.name).filter((name) => name.endsWith(".ts")).sort();
  const imports = files.map((name) =>
    `await import(${JSON.stringify(new URL(`../../ffi/${name}`, import.meta.url).href)});`
  );
  const folder = Deno.makeTempDirSync({ prefix: "longhaul-test-" });
  try {
    const program = `${folder}/imports.ts`;
    Deno.writeTextFileSync(program, `${imports.join("\n")}\nconsole.log("done");`);
    const root = new URL("../../", import.meta.url).pathname;
    const output = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", `--allow-read=${root}`, program],
    }).output();
    assertEquals([decoder.decode(output.stdout), decoder.decode(output.stderr)], ["done\n", ""]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test({
  name: "a signal ends a bare epoll_wait with EINTR, and Epoll.wait() goes on waiting",
  ...requires("sh"),
  async fn() {
    const module = (file: string) =>
      JSON.stringify(new URL(`../../ffi/${file}`, import.meta.url).href);
    const script = `
      import { checked, libc } from ${module("libc.ts")};
      import { Epoll, EPOLLIN } from ${module("epoll.ts")};
      import { createFfiMemory } from ${module("memory.ts")};
      const epoll = new Epoll();
      epoll.add(0, EPOLLIN, 7);
      const events = createFfiMemory(64);
      console.log("bare");
      console.log(checked(libc().epoll_wait_at(epoll.fd, events.address, 4, -1)));
      console.log("wrapped");
      const n = epoll.wait(-1);
      console.log(n, epoll.tokenAt(0));
    `;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", script],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    let text = "";
    /** Stops and continues the child, which interrupts its system calls, until a line has come. */
    const until = async (line: string, interrupt: boolean): Promise<void> => {
      const interrupter = interrupt
        ? setInterval(() => (child.kill("SIGSTOP"), child.kill("SIGCONT")), 10)
        : undefined;
      while (!text.includes(line)) {
        const { value, done } = await reader.read();
        if (done) break;
        text += decoder.decode(value);
      }
      clearInterval(interrupter);
    };
    await until("bare\n", false);
    await until("wrapped\n", true);
    assertEquals(text, `bare\n${-Errno.EINTR}\nwrapped\n`);
    for (let i = 0; i < 10; i++) {
      child.kill("SIGSTOP");
      child.kill("SIGCONT");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const writer = child.stdin.getWriter();
    await writer.write(new Uint8Array([1]));
    await until("1 7\n", false);
    assertEquals(text, `bare\n${-Errno.EINTR}\nwrapped\n1 7\n`);
    await writer.close();
    await reader.cancel();
    await child.status;
  },
});
