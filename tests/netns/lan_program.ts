/**
 * Servers on the hosts of a network, and a client, to be run in some namespace:
 *
 *     dns PORT                 a.test A 192.0.2.99, large.test TXT of 3,000 bytes; UDP and TCP
 *     echo PORT                UDP: sends back what it gets
 *     keep PORT                TCP: keeps connections until their other end closes
 *     hold HOST PORT N         TCP: makes N connections, prints how many there are, and holds them
 *     flow HOST PORT N BYTES   UDP: N datagrams of that length, many under way at a time, as HTTP/3
 *                              does; prints how many came back as they were
 */
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import process from "node:process";

const UNDER_WAY_MAX = 32;
const WAIT_MS = 20_000;
/** A datagram that is not back by then is counted as lost, and another one takes its place. */
const LOST_MS = 1000;
const DIALS_AT_ONCE = 64;
const TYPE_TXT = 16;

/** The command that runs this file in some role. */
export function lanProgram(...args: (string | number)[]): string[] {
  const file = new URL(import.meta.url).pathname;
  return [Deno.execPath(), "run", "-A", "--no-prompt", "--quiet", file, ...args.map(String)];
}

/** The answer to a question with one name, which stands behind the header of 12 bytes. */
function dnsAnswer(query: Buffer): Buffer {
  let end = 12;
  while (query[end] !== 0) end += query[end] + 1;
  end += 5;
  const isText = query.readUInt16BE(end - 4) === TYPE_TXT;
  const text = Buffer.concat(
    Array(12).fill(Buffer.concat([Buffer.from([250]), Buffer.alloc(250, 97)])),
  );
  const data = isText ? text : Buffer.from([192, 0, 2, 99]);
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(1, 6);
  header.writeUInt16BE(0, 10);
  const record = Buffer.alloc(12);
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(isText ? TYPE_TXT : 1, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt16BE(data.length, 10);
  return Buffer.concat([header, query.subarray(12, end), record, data]);
}

function dns(port: number): void {
  const socket = createSocket("udp6");
  socket.on("message", (query: Buffer, from: { port: number; address: string }) => {
    socket.send(dnsAnswer(query), from.port, from.address);
  });
  const server = createServer((stream) => {
    stream.on("error", () => {});
    stream.on("data", (data: Buffer) => {
      const answer = dnsAnswer(data.subarray(2));
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      stream.write(Buffer.concat([length, answer]));
    });
  });
  server.listen(port, "::", () => socket.bind(port, "::", () => console.log("listening")));
}

function echo(port: number): void {
  const socket = createSocket("udp6");
  socket.on("message", (data: Buffer, from: { port: number; address: string }) => {
    socket.send(data, from.port, from.address);
  });
  socket.bind(port, "::", () => console.log("listening"));
}

function datagramOf(number: number, bytes: number): Buffer {
  const data = Buffer.alloc(bytes, number & 255);
  data.writeUInt32BE(number);
  return data;
}

function flow(host: string, port: number, count: number, bytes: number): void {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const underWay = new Map<number, number>();
  let sent = 0, answers = 0, lost = 0;
  const sendMore = () => {
    while (sent < count && underWay.size < UNDER_WAY_MAX) {
      underWay.set(sent, performance.now());
      socket.send(datagramOf(sent++, bytes));
    }
    if (underWay.size > 0) return;
    console.log(JSON.stringify({ answers, lost }));
    process.exit(0);
  };
  const forget = () => {
    for (const [number, sentMs] of underWay) {
      if (performance.now() - sentMs < LOST_MS) continue;
      underWay.delete(number);
      lost++;
    }
    sendMore();
  };
  socket.on("message", (data: Buffer) => {
    const number = data.readUInt32BE();
    if (!underWay.delete(number)) return;
    if (data.equals(datagramOf(number, bytes))) answers++;
    sendMore();
  });
  socket.connect(port, host, () => {
    setInterval(forget, 100);
    sendMore();
  });
  setTimeout(() => process.exit(1), WAIT_MS);
}

function keep(port: number): void {
  const server = createServer((stream) => stream.on("error", () => {}));
  server.listen({ port, host: "::", backlog: 4096 }, () => console.log("listening"));
}

function hold(host: string, port: number, count: number): void {
  let begun = 0, made = 0, failed = 0;
  const more = () => {
    if (begun < count) dial();
    else if (made + failed === count) console.log(JSON.stringify({ made, failed }));
  };
  const dial = () => {
    begun++;
    let isMade = false;
    const socket = connect({ host, port }, () => {
      isMade = true;
      made++;
      more();
    });
    socket.on("error", () => {
      if (isMade) return;
      failed++;
      more();
    });
  };
  for (let i = 0; i < Math.min(count, DIALS_AT_ONCE); i++) dial();
}

if (import.meta.main) {
  const [role, ...words] = process.argv.slice(2);
  const numbers = words.map(Number);
  if (role === "dns") dns(numbers[0]);
  else if (role === "echo") echo(numbers[0]);
  else if (role === "keep") keep(numbers[0]);
  else if (role === "hold") hold(words[0], numbers[1], numbers[2]);
  else if (role === "flow") flow(words[0], numbers[1], numbers[2], numbers[3]);
  else throw new Error(`no role ${role}`);
}
