/** What the receiving half accepts, acknowledges, tells and offers. */
import { tcpTest } from "../../dsl/script.ts";
import { measured, passive } from "./scenes.ts";

/** Sixteen segments: connections begin without delaying acknowledgments. */
function pastQuickAcks(from = 1): string {
  return Array.from({ length: 16 }, (_, i) => {
    const [start, end] = [from + i * 10, from + (i + 1) * 10];
    return `
      < P. ${start}:${end}(10) ack 1 win 512
      > . 1:1(0) ack ${end}
    `;
  }).join("");
}

tcpTest(
  "data in order is read as it was sent",
  `
    ${passive()}
    < P. 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 1001
    readable 1000
    read 600
    < P. 1001:1501(500) ack 1 win 512
    > . 1:1(0) ack 1501
    read 900
    readable 0
  `,
);

tcpTest(
  "an application that takes pieces gets the same stream without a buffer",
  `
    ${passive({ listen: "take" })}
    < P. 1:2921(2920) ack 1 win 512 gro 1460
    > . 1:1(0) ack 2921
    received 2920
    < . 3921:4921(1000) ack 1 win 512
    > . 1:1(0) ack 2921 <sack 3921:4921>
    < P. 2921:3921(1000) ack 1 win 512
    > . 1:1(0) ack 4921
    readall
    received 4920
  `,
);

tcpTest(
  "a run of packets is acknowledged once",
  `
    ${passive()}
    < P. 1:29201(29200) ack 1 win 512 gro 1460
    > . 1:1(0) ack 29201
    read 29200
    > ...
  `,
);

tcpTest(
  "several segments in one turn are acknowledged once",
  `
    ${passive()}
    << . 1:1001(1000) ack 1 win 512
    << . 1001:2001(1000) ack 1 win 512
    << . 2001:3001(1000) ack 1 win 512
    < P. 3001:4001(1000) ack 1 win 512
    > . 1:1(0) ack 4001
    read 4000
  `,
);

tcpTest(
  "one segment is acknowledged within the delay, two at once (MUST-40, MUST-58)",
  `
    ${passive()}
    ${pastQuickAcks()}
    < . 161:1161(1000) ack 1 win 512
    +.003~+.04 > . 1:1(0) ack 1161
    < . 1161:2161(1000) ack 1 win 512
    < . 2161:3161(1000) ack 1 win 512
    > . 1:1(0) ack 3161
  `,
);

tcpTest(
  "an acknowledgment rides on data that is sent meanwhile",
  `
    ${passive()}
    ${pastQuickAcks()}
    < P. 161:261(100) ack 1 win 512
    write 50
    > P. 1:51(50) ack 261
    +.05 < . 261:261(0) ack 51 win 512
    > nothing
  `,
);

tcpTest(
  "a segment beyond a gap is told at once by SACK, and the gap's end at once too",
  `
    ${passive()}
    < . 1001:2001(1000) ack 1 win 512
    > . 1:1(0) ack 1 <sack 1001:2001>
    < . 2001:3001(1000) ack 1 win 512
    > . 1:1(0) ack 1 <sack 1001:3001>
    < . 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 3001 <>
    read 3000
  `,
);

tcpTest(
  "the newest SACK block comes first, and four are told without timestamps (RFC 2018)",
  `
    ${passive()}
    < . 1001:1101(100) ack 1 win 512
    > . 1:1(0) ack 1 <sack 1001:1101>
    < . 3001:3101(100) ack 1 win 512
    > . 1:1(0) ack 1 <sack 3001:3101 1001:1101>
    < . 2001:2101(100) ack 1 win 512
    > . 1:1(0) ack 1 <sack 2001:2101 3001:3101 1001:1101>
    < . 4001:4101(100) ack 1 win 512
    > . 1:1(0) ack 1 <sack 4001:4101 2001:2101 3001:3101 1001:1101>
    < . 5001:5101(100) ack 1 win 512
    > . 1:1(0) ack 1 <sack 5001:5101 4001:4101 2001:2101 3001:3101>
  `,
);

tcpTest(
  "three SACK blocks are told beside timestamps",
  `
    ${passive({ timestamps: true })}
    < . 1001:1101(100) ack 1 win 512 <TS val 101 ecr 0>
    > . 1:1(0) ack 1 <TS,sack 1001:1101>
    < . 2001:2101(100) ack 1 win 512 <TS val 102 ecr 0>
    > . 1:1(0) ack 1 <TS,sack 2001:2101 1001:1101>
    < . 3001:3101(100) ack 1 win 512 <TS val 103 ecr 0>
    > . 1:1(0) ack 1 <TS,sack 3001:3101 2001:2101 1001:1101>
    < . 4001:4101(100) ack 1 win 512 <TS val 104 ecr 0>
    > . 1:1(0) ack 1 <TS,sack 4001:4101 3001:3101 2001:2101>
  `,
);

tcpTest(
  "nothing is told by SACK to a peer that has not permitted it",
  `
    ${passive({ sack: false })}
    < . 1001:2001(1000) ack 1 win 512
    > . 1:1(0) ack 1 <>
    < . 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 2001 <>
  `,
);

tcpTest(
  "SACK blocks are told before data that goes out in the same turn",
  `
    ${passive({ mss: 1460 })}
    << . 1001:1101(100) ack 1 win 512
    write 4000
    > . 1:1(0) ack 1 <sack 1001:1101>
    > P. 1:4001(4000) ack 1 gso 1460
  `,
);

tcpTest(
  "a segment that came before is told by DSACK, once (RFC 2883)",
  `
    ${passive()}
    < P. 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 1001
    < P. 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 1001 <sack 1:1001>
    < . 2001:3001(1000) ack 1 win 512
    > . 1:1(0) ack 1001 <sack 2001:3001>
    < . 2001:3001(1000) ack 1 win 512
    > . 1:1(0) ack 1001 <sack 2001:3001 2001:3001>
  `,
);

tcpTest(
  "the new part of a segment that partly came before is taken",
  `
    ${passive()}
    < P. 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 1001
    < P. 501:1501(1000) ack 1 win 512
    > . 1:1(0) ack 1501 <sack 501:1001>
    read 1500
  `,
);

tcpTest(
  "a run that closes several gaps in part leaves the stream exact",
  `
    ${passive()}
    < . 2001:3001(1000) ack 1 win 512
    > . 1:1(0) ack 1 <sack 2001:3001>
    < . 4001:5001(1000) ack 1 win 512
    > . 1:1(0) ack 1 <sack 4001:5001 2001:3001>
    < P. 501:6501(6000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 1 <sack 2001:3001 501:6501>
    < . 1:501(500) ack 1 win 512
    > . 1:1(0) ack 6501
    read 6500
  `,
);

tcpTest(
  "a segment with a wrong checksum is counted and not answered",
  `
    ${passive()}
    < P. 1:1001(1000) ack 1 win 512 badsum
    > nothing
    < P. 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 1001
  `,
);

for (const header of [0, 1, 4, 15]) {
  tcpTest(
    `a data offset of ${header} words is survived without an answer`,
    `
      ${passive()}
      < P. 1:11(10) ack 1 win 512 header ${header * 4}
      > nothing
      < P. 1:11(10) ack 1 win 512
      > . 1:1(0) ack 11
    `,
  );
}

tcpTest(
  "impossible and unknown options are passed over, in any segment (MUST-4 to MUST-7)",
  `
    ${passive()}
    < P. 1:11(10) ack 1 win 512 <raw fe 4 0 0>
    > . 1:1(0) ack 11
    < P. 11:21(10) ack 1 win 512 <nop,nop,raw fe 0>
    > . 1:1(0) ack 21
    < P. 21:31(10) ack 1 win 512 <raw fe 28 1 2>
    > . 1:1(0) ack 31
    < P. 31:41(10) ack 1 win 512 <raw 8 2>
    > . 1:1(0) ack 41
    < P. 41:51(10) ack 1 win 512 <raw 5 3 0,nop>
    > . 1:1(0) ack 51
    < P. 51:61(10) ack 1 win 512 <nop,nop,nop,raw fe>
    > . 1:1(0) ack 61
    < P. 61:71(10) ack 1 win 512 <eol,raw 5 a 1 2 3>
    > . 1:1(0) ack 71
    < P. 71:81(10) ack 1 win 512 <mss 1>
    > . 1:1(0) ack 81
    write 2000
    > P. 1:2001(2000) ack 81 gso 1000
  `,
);

tcpTest(
  "urgent data is read like any other (MUST-30, RFC 6093)",
  `
    ${passive()}
    < PU. 1:101(100) ack 1 win 512 urg 50
    > . 1:1(0) ack 101
    < U. 101:201(100) ack 1 win 512 urg 65535
    > . 1:1(0) ack 201
    read 200
  `,
);

tcpTest(
  "bytes beyond the window are not delivered, and the part inside is",
  `
    ${passive()}
    < . 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 1001 win 523008
    < . 500001:565001(65000) ack 1 win 512
    > . 1:1(0) ack 1001 <sack 500001:524009>
    < . 524009:524010(1) ack 1 win 512
    > . 1:1(0) ack 1001
  `,
  { limits: { receiveBytesFirst: 524_008 } },
);

tcpTest(
  "a segment wholly beyond the window is answered and dropped",
  `
    ${passive()}
    < . 600001:601001(1000) ack 1 win 512
    > . 1:1(0) ack 1 <>
  `,
);

tcpTest(
  "the window closes as data is not read, and its right edge never moves back",
  `
    ${passive()}
    < . 1:4001(4000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 4001 win 61536
    < . 4001:64001(60000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 64001 win 1536
    < . 64001:65537(1536) ack 1 win 512 gro 1000
    > . 1:1(0) ack 65537 win 0
    < . 65537:66537(1000) ack 1 win 512
    > . 1:1(0) ack 65537 win 0
  `,
  { limits: { receiveBytesFirst: 65_536, receiveBytesMax: 65_536 } },
);

tcpTest(
  "a window that was closed is told when it is worth it, not for a byte (SWS, MUST-39)",
  `
    ${passive()}
    < . 1:60001(60000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 60001
    < . 60001:65537(5536) ack 1 win 512 gro 1000
    > . 1:1(0) ack 65537 win 0
    read 1
    > nothing
    read 500
    > nothing
    read 2500
    > . 1:1(0) ack 65537 win >=2920
    read 10000
    > ...
  `,
  { limits: { receiveBytesFirst: 65_536, receiveBytesMax: 65_536 } },
);

tcpTest(
  "a probe of a closed window is answered (RFC 9293 section 3.8.6.1)",
  `
    ${passive()}
    < . 1:60001(60000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 60001
    < . 60001:65537(5536) ack 1 win 512 gro 1000
    > . 1:1(0) ack 65537 win 0
    < . 65537:65538(1) ack 1 win 512
    > . 1:1(0) ack 65537 win 0
    < . 65536:65536(0) ack 1 win 512
    > . 1:1(0) ack 65537 win 0
  `,
  { limits: { receiveBytesFirst: 65_536, receiveBytesMax: 65_536 } },
);

tcpTest(
  "RST is accepted while our window is closed (MUST-66)",
  `
    ${passive()}
    < . 1:60001(60000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 60001
    < . 60001:65537(5536) ack 1 win 512 gro 1000
    > . 1:1(0) ack 65537 win 0
    < R 65537:65537(0)
    = end Reset
  `,
  { limits: { receiveBytesFirst: 65_536, receiveBytesMax: 65_536 } },
);

tcpTest(
  "acknowledgments and a window update are read from a segment while our window is closed",
  `
    ${passive({ win: 0 })}
    < . 1:60001(60000) ack 1 win 0 gro 1000
    > . 1:1(0) ack 60001
    < . 60001:65537(5536) ack 1 win 0 gro 1000
    > . 1:1(0) ack 65537 win 0
    write 100
    < . 65537:65537(0) ack 1 win 512
    > P. 1:101(100) ack 65537
  `,
  { limits: { receiveBytesFirst: 65_536, receiveBytesMax: 65_536 } },
);

tcpTest(
  "FIN is taken in order only, and its data before it",
  `
    ${passive()}
    < FP. 1001:2001(1000) ack 1 win 512
    > . 1:1(0) ack 1 <sack 1001:2001>
    state Established
    finished no
    < . 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 2002
    state CloseWait
    finished no
    read 2000
    finished
  `,
);

tcpTest(
  "a FIN that comes again is acknowledged again",
  `
    ${passive()}
    < F. 1:1(0) ack 1 win 512
    > . 1:1(0) ack 2
    < F. 1:1(0) ack 1 win 512
    > . 1:1(0) ack 2
    state CloseWait
  `,
);

tcpTest(
  "data behind FIN is not delivered",
  `
    ${passive()}
    < FP. 1:101(100) ack 1 win 512
    > . 1:1(0) ack 102
    < P. 102:202(100) ack 1 win 512
    > ...
    read 100
    readable 0
    finished
  `,
);

tcpTest(
  "segments of one byte in reverse are one SACK block and end in the exact stream",
  `
    ${passive()}
    ${
    Array.from({ length: 199 }, (_, i) => `<< . ${200 - i}:${201 - i}(1) ack 1 win 512`).join("\n")
  }
    < . 500:501(1) ack 1 win 512
    > . 1:1(0) ack 1 <sack 500:501 2:201>
    < . 1:2(1) ack 1 win 512
    > . 1:1(0) ack 201 <sack 500:501>
    read 200
  `,
);

tcpTest(
  "what no pool block could be had for is not acknowledged, and comes again",
  `
    ${passive()}
    < . 1:30001(30000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 1
    < . 1:1001(1000) ack 1 win 512
    > ...
  `,
  { poolBytes: 16 << 10 },
);

tcpTest(
  "the window grows with what the application reads in a round trip",
  `
    ${measured({ timestamps: true })}
    ${autotuneRounds()}
  `,
);

/** Ten round trips of 100 ms in which 400 KB come and are read at once. */
function autotuneRounds(): string {
  const lines: string[] = [];
  let seq = 1;
  lines.push("autoread", "write 1");
  lines.push("> P. 1:2(1) ack 1", "+.1 < . 1:1(0) ack 2 win 512 <TS val 200 ecr 100>");
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 8; i++) {
      const end = seq + 50_000;
      const ts = `<TS val ${300 + round * 100 + i} ecr ${100 + round * 100}>`;
      lines.push(`< . ${seq}:${end}(50000) ack 2 win 512 gro 1000 ${ts}`, "> ...");
      seq = end;
    }
    lines.push("+.1 > ...");
  }
  lines.push(`< . ${seq}:${seq + 1}(1) ack 2 win 512 <TS val 2000 ecr 1100>`);
  lines.push(`+0~+.04 > . 2:2(0) ack ${seq + 1} win >=1000000`);
  return lines.join("\n");
}
