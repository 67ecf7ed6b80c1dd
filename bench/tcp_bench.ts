/**
 * What TCP itself costs: 16 MiB of stream from one layer to another, without an IP layer, copies or
 * cryptography. The baselines do the same in packets of one MSS.
 * `deno bench -A bench/tcp_bench.ts`
 */
import { TcpPair } from "./tcp_pair.ts";

const STREAM_BYTES = 16 << 20;

const pairs = {
  "64 KB segments out, runs in": new TcpPair(true, true),
  "MSS-sized packets out, runs in": new TcpPair(false, true),
  "MSS-sized packets out and in": new TcpPair(false, false),
};

for (const [name, pair] of Object.entries(pairs)) {
  const baseline = pair === pairs["MSS-sized packets out and in"];
  Deno.bench(name, { group: "16 MiB of stream", baseline }, () => pair.stream(STREAM_BYTES));
}
