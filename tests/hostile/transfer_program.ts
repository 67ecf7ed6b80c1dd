/**
 * One end of a transfer, for a process of its own in a namespace: `serve PORT` takes one connection
 * after another and answers each with the hash of what came; `send HOST PORT BYTES SEED` sends and
 * prints the hash of what it sent and the one that it was answered. `-udp` variants use UDP.
 */
import { createHash } from "node:crypto";
import { createConnection, createServer } from "node:net";

const [mode, ...args] = Deno.args;

function block(seed: number): Uint8Array {
  const bytes = new Uint8Array(1 << 18);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

if (mode === "serve") {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash("sha256");
    socket.on("data", (bytes: Uint8Array) => hash.update(bytes));
    socket.on("end", () => socket.end(hash.digest("hex")));
    socket.on("error", () => {});
  });
  server.listen(Number(args[0]), "::");
} else {
  const [host, port, total, seed] = args;
  const hash = createHash("sha256");
  const socket = createConnection({ host, port: Number(port), allowHalfOpen: true });
  let left = Number(total);
  let answer = "";
  const bytes = block(Number(seed));
  const push = () => {
    while (left > 0) {
      const part = bytes.slice(0, Math.min(left, bytes.length));
      new DataView(part.buffer).setUint32(0, left);
      left -= part.length;
      hash.update(part);
      if (!socket.write(part)) return;
    }
    socket.end();
  };
  socket.on("connect", push);
  socket.on("drain", push);
  socket.on("data", (data: Uint8Array) => answer += new TextDecoder().decode(data));
  socket.on("close", () => {
    console.log(hash.digest("hex") === answer ? "same" : `different ${answer}`);
    Deno.exit(0);
  });
}
