import { assert, assertEquals } from "@std/assert";
import { TcpFlag, tcpFlags } from "../../../src/wire/tcp.ts";
import { tcpTest } from "../../dsl/script.ts";
import { transfer } from "./tcp_pair.ts";

const handshake = `
    listen
    < SEC 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 7>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 5000
    = connected
`;

tcpTest(
  "a SYN that asks for ECN gets it, one without both flags does not (RFC 3168)",
  `
    ${handshake}
    2:< SE 0:0(0) win 65535 <mss 1000>
    2:> S. 0:0(0) ack 1
  `,
);

tcpTest(
  "a mark is echoed until the other end has said that it slows down",
  `
    ${handshake}
    < P. 1:101(100) ack 1 win 5000 ce
    > E. 1:1(0) ack 101
    < P. 101:201(100) ack 1 win 5000
    > E. 1:1(0) ack 201
    < PC. 201:301(100) ack 1 win 5000
    > . 1:1(0) ack 301
    < PC. 301:401(100) ack 1 win 5000 ce
    > E. 1:1(0) ack 401
    read 400
  `,
);

tcpTest(
  "an echo makes the window smaller once for each window, and is answered by CWR",
  `
    ${handshake}
    write 10000
    > P. 1:10001(10000) ack 1
    < E. 1:1(0) ack 1001 win 5000
    < E. 1:1(0) ack 2001 win 5000
    < E. 1:1(0) ack 10001 win 5000
    write 20000
    > C. 10001:17001(7000) ack 1
    < . 1:1(0) ack 17001 win 5000
    > . 17001:24001(7000) ack 1
    < . 1:1(0) ack 24001 win 5000
    > ...
  `,
);

Deno.test("a marked path slows a stream down without a single retransmission", () => {
  const { net, client, server } = transfer({ limits: { requestsEcn: true } }, 4 << 20);
  const log: typeof net.log = net.log = [];
  let count = 0;
  net.fate = (flight) => {
    const hasData = flight.bytes.length > flight.headerBytes;
    if (hasData) assertEquals(flight.tos & 3, 2, "new data is ECN-capable");
    else assertEquals(flight.tos & 3, 0, "an ACK is not");
    if (hasData && ++count % 200 === 0) flight.tos |= 3;
    return 0;
  };
  assert(net.run(() => client.end >= 0 && server.end >= 0));
  assertEquals([server.readBytes, server.faultAt], [4 << 20, -1]);
  const flags = log!.map(({ bytes }) => tcpFlags(new DataView(bytes.buffer), 0));
  assert(flags.some((each) => (each & TcpFlag.Cwr) !== 0 && (each & TcpFlag.Syn) === 0));
  const dataBytes = log!.reduce((sum, each) => sum + each.bytes.length - each.headerBytes, 0);
  assertEquals(dataBytes, 4 << 20, "nothing was sent twice");
  assert(client.connection!.sender.congestion.ssthreshBytes < 1 << 20, "it has slowed down");
});
