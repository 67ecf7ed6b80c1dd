/**
 * Servers and clients of a test, to be run in some namespace. What a client has found it prints as
 * one line of JSON.
 *
 *     sum-server PORT [HOST]      reads to the end, then answers with length and SHA-256
 *     sum-client HOST PORT BYTES  sends so much, ends its direction, prints what it gets back
 *     give-server PORT BYTES      sends so much and ends its direction, then reads to the end
 *     give-client HOST PORT       reads to the end, then says how much it was
 *     many-client HOST PORT N     N connections at once; says how many were made, and were answered
 *     refused-client HOST PORT    prints the error's code and how long it took
 *     echo-server PORT            UDP: sends back what it gets
 *     echo-client HOST PORT N     UDP: N datagrams of growing length, prints how many came back
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import process from "node:process";

const CHUNK_BYTES = 65_536;
const UDP_WAIT_MS = 5000;
const UDP_UNDER_WAY_MAX = 4;
/** How long many connections stay open before each ends. */
const MANY_WAIT_MS = 800;

/** Bytes that differ from place to place. */
function pattern(bytes: number): Buffer {
  const block = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) block[i] = (i * 2_654_435_761) >>> 24;
  return block;
}

/** The command that runs this file in some role. */
export function program(...args: (string | number)[]): string[] {
  const file = new URL(import.meta.url).pathname;
  return [Deno.execPath(), "run", "-A", "--no-prompt", "--quiet", file, ...args.map(String)];
}

/** The length and the digest of `pattern(bytes)`. */
export function digestOf(bytes: number): string {
  return `${bytes} ${createHash("sha256").update(pattern(bytes)).digest("hex")}`;
}

function sumServer(port: number, host: string): void {
  createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash("sha256");
    let bytes = 0;
    socket.on("data", (data: Buffer) => {
      hash.update(data);
      bytes += data.length;
    });
    socket.on("end", () => socket.end(`${bytes} ${hash.digest("hex")}`));
    socket.on("error", () => {});
  }).listen(port, host, () => console.log("listening"));
}

function sumClient(host: string, port: number, bytes: number): void {
  const socket = connect({ host, port, allowHalfOpen: true });
  let answer = "";
  socket.on("data", (data: Buffer) => answer += data.toString());
  socket.on("end", () => console.log(JSON.stringify({ answer })));
  socket.on("error", (error: Error) => console.log(JSON.stringify({ error: String(error) })));
  const data = pattern(bytes);
  for (let at = 0; at < bytes; at += CHUNK_BYTES) socket.write(data.subarray(at, at + CHUNK_BYTES));
  socket.end();
}

function manyClient(host: string, port: number, count: number): void {
  let connected = 0, answered = 0;
  for (let i = 0; i < count; i++) {
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.on("connect", () => connected++);
    socket.on("data", () => answered++);
    socket.on("error", () => {});
    setTimeout(() => socket.end(), MANY_WAIT_MS);
  }
  setTimeout(() => {
    console.log(JSON.stringify({ connected, answered }));
    process.exit(0);
  }, 2 * MANY_WAIT_MS);
}

function giveServer(port: number, bytes: number): void {
  createServer({ allowHalfOpen: true }, (socket) => {
    let answer = "";
    socket.on("data", (data: Buffer) => answer += data.toString());
    socket.on("end", () => {
      console.log(JSON.stringify({ answer }));
      process.exit(0);
    });
    socket.on("error", () => {});
    socket.end(pattern(bytes));
  }).listen(port, "127.0.0.1", () => console.log("listening"));
}

function giveClient(host: string, port: number): void {
  const socket = connect({ host, port, allowHalfOpen: true });
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (data: Buffer) => {
    hash.update(data);
    bytes += data.length;
  });
  socket.on("end", () => socket.end(`${bytes} ${hash.digest("hex")}`));
}

function refusedClient(host: string, port: number): void {
  const startedMs = performance.now();
  const tell = (code: string) => {
    console.log(JSON.stringify({ code, ms: Math.round(performance.now() - startedMs) }));
    process.exit(0);
  };
  const socket = connect({ host, port });
  socket.on("connect", () => tell("connected"));
  socket.on("error", (error: Error & { code?: string }) => tell(error.code ?? String(error)));
}

function echoServer(port: number): void {
  const socket = createSocket("udp4");
  socket.on(
    "message",
    (data: Uint8Array, from: { port: number; address: string }) =>
      socket.send(data, from.port, from.address),
  );
  socket.bind(port, "127.0.0.1", () => console.log("listening"));
}

function echoClient(host: string, port: number, count: number): void {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const lengths = new Set<number>();
  let sent = 0;
  const tell = (code: string) => {
    console.log(JSON.stringify({ code, answers: lengths.size }));
    process.exit(0);
  };
  // A few at a time: more would find the kernel's buffers full.
  const sendMore = () => {
    while (sent < count && sent < lengths.size + UDP_UNDER_WAY_MAX) {
      socket.send(pattern(sent++ * 37));
    }
  };
  socket.on("error", (error: Error & { code?: string }) => tell(error.code ?? String(error)));
  socket.on("message", (data: Uint8Array) => {
    lengths.add(data.length);
    if (lengths.size === count) tell("");
    else sendMore();
  });
  socket.connect(port, host, sendMore);
  setTimeout(() => tell("timeout"), UDP_WAIT_MS);
}

if (import.meta.main) {
  const [role, ...words] = process.argv.slice(2);
  const numbers = words.map(Number);
  if (role === "sum-server") sumServer(numbers[0], words[1] ?? "127.0.0.1");
  else if (role === "sum-client") sumClient(words[0], numbers[1], numbers[2]);
  else if (role === "give-server") giveServer(numbers[0], numbers[1]);
  else if (role === "give-client") giveClient(words[0], numbers[1]);
  else if (role === "many-client") manyClient(words[0], numbers[1], numbers[2]);
  else if (role === "refused-client") refusedClient(words[0], numbers[1]);
  else if (role === "echo-server") echoServer(numbers[0]);
  else if (role === "echo-client") echoClient(words[0], numbers[1], numbers[2]);
  else throw new Error(`there is no role ${role}`);
}
