/** Timestamps, round-trip times by them, and PAWS (RFC 7323). */
import { tcpTest } from "../../dsl/script.ts";
import { active, passive } from "./scenes.ts";

const PASSIVE = passive({ timestamps: true });

tcpTest(
  "every segment carries timestamps once both ends have offered them",
  `
    ${PASSIVE}
    write 100
    > P. 1:101(100) ack 1 <TS val 0 ecr 100>
    +.05 < . 1:1(0) ack 101 win 512 <TS val 150 ecr 0>
    < P. 1:101(100) ack 101 win 512 <TS val 160 ecr 0>
    > . 101:101(0) ack 101 <TS val 50 ecr 160>
    shutdown
    > F. 101:101(0) ack 101 <TS val 50 ecr 160>
  `,
);

tcpTest(
  "no timestamps are sent to a peer that has offered none",
  `
    ${passive()}
    write 100
    > P. 1:101(100) ack 1 <>
  `,
);

tcpTest(
  "the SYN's timestamp echoes nothing, the SYN-ACK's the SYN's",
  `
    connect
    > S 0:0(0) <mss 1460,sackOK,TS val 0 ecr 0,wscale 7>
    +.1 < S. 0:0(0) ack 1 win 1000 <mss 1000,TS val 777 ecr 0>
    > . 1:1(0) ack 1 <TS val 100 ecr 777>
    = connected
  `,
);

tcpTest(
  "a segment with an old timestamp is dropped and answered by an ACK (PAWS)",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512 <TS val 1000 ecr 0>
    > . 1:1(0) ack 101 <TS val 0 ecr 1000>
    < P. 101:201(100) ack 1 win 512 <TS val 999 ecr 0>
    > . 1:1(0) ack 101 <TS val 0 ecr 1000>
    readable 100
    < P. 101:201(100) ack 1 win 512 <TS val 1000 ecr 0>
    > . 1:1(0) ack 201
    read 200
  `,
);

tcpTest(
  "a needless retransmission does not make PAWS refuse what was sent before it and is late",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512 <TS val 500 ecr 0>
    > . 1:1(0) ack 101
    < P. 1:101(100) ack 1 win 512 <TS val 510 ecr 0>
    > . 1:1(0) ack 101 <TS val 0 ecr 500,sack 1:101>
    < P. 101:201(100) ack 1 win 512 <TS val 505 ecr 0>
    > . 1:1(0) ack 201 <TS val 0 ecr 505>
    read 200
  `,
);

tcpTest(
  "what was sent before a retransmission that fills a gap, and comes after it, is taken",
  `
    ${PASSIVE}
    < P. 101:201(100) ack 1 win 512 <TS val 510 ecr 0>
    > . 1:1(0) ack 1 <TS val 0 ecr 100,sack 101:201>
    < P. 1:101(100) ack 1 win 512 <TS val 600 ecr 0>
    > . 1:1(0) ack 201 <TS val 0 ecr 600>
    < P. 201:301(100) ack 1 win 512 <TS val 550 ecr 0>
    > . 1:1(0) ack 301 <TS val 0 ecr 600>
    < P. 301:401(100) ack 1 win 512 <TS val 99 ecr 0>
    > . 1:1(0) ack 301
    read 300
  `,
);

tcpTest(
  "PAWS holds through the wrap of the timestamps",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512 <TS val 2147483600 ecr 0>
    > . 1:1(0) ack 101
    < P. 101:201(100) ack 1 win 512 <TS val 2147483700 ecr 0>
    > . 1:1(0) ack 201
    < P. 201:301(100) ack 1 win 512 <TS val 2147483600 ecr 0>
    > . 1:1(0) ack 201
    read 200
  `,
);

tcpTest(
  "after 24 days of silence an old timestamp is no proof (RFC 7323 section 5.5)",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512 <TS val 1000 ecr 0>
    > . 1:1(0) ack 101
    +2160000
    < P. 101:201(100) ack 1 win 512 <TS val 5 ecr 0>
    > . 1:1(0) ack 201
    read 200
  `,
);

tcpTest(
  "RST with an old timestamp is taken: its number must match anyway (RFC 7323 section 5.2)",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512 <TS val 1000 ecr 0>
    > . 1:1(0) ack 101
    < R 101:101(0) <TS val 5 ecr 0>
    = end Reset
  `,
);

tcpTest(
  "RST without timestamps is taken",
  `
    ${PASSIVE}
    < R 1:1(0)
    = end Reset
  `,
);

tcpTest(
  "a segment out of order does not move the timestamp that is echoed (RFC 7323 section 4.3)",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512 <TS val 200 ecr 0>
    > . 1:1(0) ack 101 <TS val 0 ecr 200>
    < P. 201:301(100) ack 1 win 512 <TS val 300 ecr 0>
    > . 1:1(0) ack 101 <TS val 0 ecr 200,sack 201:301>
    < P. 101:201(100) ack 1 win 512 <TS val 250 ecr 0>
    > . 1:1(0) ack 301 <TS val 0 ecr 250>
  `,
);

tcpTest(
  "a segment that lacks its timestamp is dropped (RFC 7323 section 3.2)",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512
    > nothing
    readable 0
    < P. 1:101(100) ack 1 win 512 <TS val 200 ecr 0>
    > . 1:1(0) ack 101
  `,
);

tcpTest(
  "a segment of a delayed duplicate cannot move the echoed timestamp back",
  `
    ${PASSIVE}
    < P. 1:101(100) ack 1 win 512 <TS val 500 ecr 0>
    > . 1:1(0) ack 101 <TS val 0 ecr 500>
    < P. 1:101(100) ack 1 win 512 <TS val 400 ecr 0>
    > . 1:1(0) ack 101 <TS val 0 ecr 500,...>
  `,
);

tcpTest(
  "round-trip times come from the echo, so a late ACK of old data counts in full",
  `
    ${active({ timestamps: true, win: 512 })}
    write 500
    > P. 1:501(500) ack 1 <TS val 0 ecr 100>
    +.5 > ...
    < . 1:1(0) ack 501 win 512 <TS val 600 ecr 0>
    unacked 0
  `,
);

tcpTest(
  "an echo of a time that was never sent breaks nothing",
  `
    ${PASSIVE}
    write 500
    > P. 1:501(500) ack 1
    +.1 < . 1:1(0) ack 501 win 512 <TS val 300 ecr 1000000>
    write 500
    > P. 501:1001(500) ack 1
    +.1 < . 1:1(0) ack 1001 win 512 <TS val 400 ecr -1000000>
    write 500
    > P. 1001:1501(500) ack 1
    +.2~+2 > P. 1001:1501(500) ack 1
  `,
);

tcpTest(
  "old duplicates of a former connection's SYN do not disturb (timestamps in TIME-WAIT)",
  `
    ${PASSIVE}
    shutdown
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2 win 512 <TS val 1000 ecr 0>
    > . 2:2(0) ack 2 <TS val 0 ecr 1000>
    = end Closed
    +1 < P. 1:1(0) ack 2 win 512 <TS val 5 ecr 0>
    > ...
  `,
);
