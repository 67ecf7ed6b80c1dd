/** Opens silent connections and nine that want echoes to a server on the loopback; prints its answers. */
import {
  BENCH_PORT,
  decodeMessage,
  encodeMessage,
  helloText,
  MESSAGE_BYTES,
} from "../../src/bench/peer_protocol.ts";

const connect = () => Deno.connect({ hostname: "127.0.0.1", port: BENCH_PORT });

for (let i = 0; i < 5; i++) await connect();
const answers: string[] = [];
for (let i = 0; i < 9; i++) {
  const connection = await connect();
  await connection.write(encodeMessage(helloText({ task: "echo", durationMs: 0 })));
  const bytes = new Uint8Array(MESSAGE_BYTES);
  await connection.read(bytes);
  answers.push(decodeMessage(bytes));
}
console.log(answers.join(" "));
Deno.exit(0);
