import { assertEquals } from "@std/assert";
import { getEnvironment, setEnvironment } from "../../ffi/environment.ts";
import { ServiceManager } from "../../src/daemon/service_manager.ts";
import { DatagramListener } from "./datagram_listener.ts";

function withEnvironment(variables: Record<string, string>): ServiceManager {
  for (const [name, value] of Object.entries(variables)) setEnvironment(name, value);
  return ServiceManager.fromEnvironment();
}

for (const kind of ["a path", "an abstract name"]) {
  Deno.test(`the service manager at ${kind} is told of readiness, state, life and end`, () => {
    const folder = Deno.makeTempDirSync();
    const name = kind === "a path" ? `${folder}/notify` : `@longhaul-test-${Deno.pid}`;
    using listener = new DatagramListener(name);
    const manager = withEnvironment({ NOTIFY_SOCKET: name, WATCHDOG_USEC: "20000000" });
    manager.ready("wg0: 1 of 2 peers");
    manager.status("wg0: 1 of 2 peers");
    manager.status("wg0: 2\nof 2 peers");
    manager.alive();
    manager.reloading();
    manager.stopping("asked to stop");
    assertEquals(listener.received, [
      "READY=1\nSTATUS=wg0: 1 of 2 peers",
      "STATUS=wg0: 2; of 2 peers",
      "WATCHDOG=1",
      "RELOADING=1",
      "STOPPING=1\nSTATUS=asked to stop",
    ]);
    Deno.removeSync(folder, { recursive: true });
  });
}

Deno.test("programs that this one starts do not speak in its name", () => {
  withEnvironment({ NOTIFY_SOCKET: "@nobody", WATCHDOG_USEC: "1", WATCHDOG_PID: `${Deno.pid}` });
  for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) {
    assertEquals(getEnvironment(name), undefined, name);
  }
});

Deno.test("the watchdog is fed only where it was asked for, of this process", () => {
  const others: Record<string, string> = { WATCHDOG_USEC: "20000000", WATCHDOG_PID: "1" };
  for (const more of [{}, others]) {
    const name = `@longhaul-test-${Deno.pid}`;
    using listener = new DatagramListener(name);
    withEnvironment({ NOTIFY_SOCKET: name, ...more }).alive();
    assertEquals(listener.received, []);
  }
});

Deno.test("a service manager that is not there, or has gone, is no error", () => {
  for (const name of ["", "relative", "@gone", "/nowhere/notify", `/${"x".repeat(200)}`]) {
    const manager = withEnvironment({ NOTIFY_SOCKET: name });
    manager.ready("up");
    manager.stopping("end");
  }
});
