/** Hazard 40: a client of the control socket that stalls, floods or vanishes. */
import { assert, assertEquals } from "@std/assert";
import { pause } from "../netns/command.ts";
import { connectUp, LONGHAUL_PAIR, nodeTest } from "../netns/pair.ts";
import { assertPing } from "../netns/traffic.ts";
import type { NodeProcess } from "../netns/node_process.ts";

function open(node: NodeProcess): Promise<Deno.UnixConn> {
  return Deno.connect({ transport: "unix", path: `/var/run/wireguard/${node.name}.sock` });
}

function residentBytes(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)![1]) * 1024;
}

const text = (line: string) => new TextEncoder().encode(line);

/** Writes until `bytes` are written, the connection ends, or `timeoutMs` have passed. */
async function flood(
  connection: Deno.UnixConn,
  line: Uint8Array,
  bytes: number,
  timeoutMs: number,
) {
  const chunk = new Uint8Array(64 * 1024 + line.length);
  for (let at = 0; at < chunk.length; at++) chunk[at] = line[at % line.length];
  const block = chunk.subarray(0, Math.floor(65_536 / line.length) * line.length);
  let written = 0;
  const endMs = performance.now() + timeoutMs;
  try {
    while (written < bytes && performance.now() < endMs) written += await connection.write(block);
  } catch {
    // The node has closed it.
  }
  return written;
}

const FLOODS = [
  { name: "one endless line", line: text("a") },
  { name: "valid lines without an end", line: text("fwmark=0\n") },
  { name: "operations that do not exist", line: text("nothing=1\n\n") },
];
for (const { name, line } of FLOODS) {
  nodeTest(`hazard 40: 100 MB of ${name} cost neither memory nor traffic`, async (net) => {
    const { a, b } = await connectUp(net, LONGHAUL_PAIR);
    const beforeBytes = residentBytes(a.node.pid);
    const connection = await open(a.node);
    await connection.write(text("set=1\n"));
    const flooding = flood(connection, line, 100e6, 4000);
    await assertPing(a.namespace, b.inner4, { count: 20 });
    await flooding;
    try {
      connection.close();
    } catch {
      // Closed already.
    }
    const grownBytes = residentBytes(a.node.pid) - beforeBytes;
    assert(grownBytes < 80e6, `${grownBytes} bytes more`);
    assertEquals((await a.node.show()).peers.length, 1);
    assertEquals(a.node.exit, null);
  });
}

nodeTest("hazard 40: clients that stall in the middle hold up nobody", async (net) => {
  const { a, b } = await connectUp(net, LONGHAUL_PAIR);
  const stalled = [];
  for (const words of ["", "get=1", "set=1\nprivate_key=", "get=1\n", "set=1\nlisten_port=1\n"]) {
    const connection = await open(a.node);
    if (words !== "") await connection.write(text(words));
    stalled.push(connection);
  }
  // One that asks for everything again and again and never reads.
  const deaf = await open(a.node);
  const asking = flood(deaf, text("get=1\n\n"), 4e6, 1500);
  await assertPing(a.namespace, b.inner4, { count: 20 });
  assertEquals((await a.node.show()).peers.length, 1);
  for (const connection of [...stalled, deaf]) connection.close();
  await asking;
  await pause(50);
  assertEquals((await a.node.show()).peers.length, 1);
  assertEquals(a.node.exit, null);
});

nodeTest(
  "hazard 40: a hundred connections at once are bounded, and the next client is served",
  async (net) => {
    const { a } = await connectUp(net, LONGHAUL_PAIR);
    const connections = [];
    for (let i = 0; i < 100; i++) {
      try {
        connections.push(await open(a.node));
      } catch {
        // Refused: the queue of the socket is full.
      }
    }
    for (const connection of connections) connection.close();
    await pause(100);
    assertEquals((await a.node.show()).peers.length, 1);
  },
);
