/** What is sent when: windows, Nagle, silly windows, probes, GSO. */
import { tcpTest } from "../../dsl/script.ts";
import { active, measured, passive } from "./scenes.ts";

tcpTest(
  "what is written is sent at once, with PSH at its end (MUST-60)",
  `
    ${passive()}
    write 100
    > P. 1:101(100) ack 1 <>
    write 2500
    > P. 101:2601(2500) ack 1 gso 1000
    < . 1:1(0) ack 2601 win 512
    unacked 0
  `,
);

tcpTest(
  "the first window is ten segments (RFC 6928)",
  `
    ${measured()}
    write 40000
    > . 1:10001(10000) ack 1 gso 1000
    +.1 < . 1:1(0) ack 10001 win 512
    > ...
  `,
);

tcpTest(
  "slow start doubles the window with each round",
  `
    ${measured({ win: 5000 })}
    write 60000
    > . 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000
    > . 10001:30001(20000) ack 1
    +.1 < . 1:1(0) ack 30001 win 5000
    > P. 30001:60001(30000) ack 1
  `,
);

tcpTest(
  "without GSO every packet is a segment of its own",
  `
    ${passive()}
    write 2500
    > . 1:1001(1000) ack 1
    > . 1001:2001(1000) ack 1
    > P. 2001:2501(500) ack 1
  `,
  { gso: false },
);

tcpTest(
  "a segment has at most 65,535 bytes with its IP header, in whole packets",
  `
    ${passive({ win: 4000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    < . 1:1(0) ack 10001 win 4000
    write 20000
    > P. 10001:30001(20000) ack 1
    < . 1:1(0) ack 30001 win 4000
    write 40000
    > P. 30001:70001(40000) ack 1
    < . 1:1(0) ack 70001 win 4000
    write 60000
    > P. 70001:130001(60000) ack 1
    < . 1:1(0) ack 130001 win 4000
    writeall 70000
    > . 130001:195001(65000) ack 1 gso 1000
    > ...
  `,
);

tcpTest(
  "sequence numbers wrap inside a segment of 64 KB",
  `
    ${active()}
    write 9000
    > P. 1:9001(9000) ack 1 gso 1000
    < . 1:1(0) ack 9001 win 512
  `,
);

tcpTest(
  "the peer's window is never exceeded",
  `
    ${passive({ win: 40 })}
    write 20000
    > . 1:5001(5000) ack 1
    < . 1:1(0) ack 1001 win 40
    > ...
    < . 1:1(0) ack 5001 win 40
    > ...
    < . 1:1(0) ack 6121 win 0
    > nothing
  `,
);

tcpTest(
  "a window of less than a segment is used when it is half of the largest one (SWS, RFC 9293 3.8.6.2.1)",
  `
    ${passive({ scale: -1, win: 700 })}
    write 3000
    > . 1:701(700) ack 1
    < . 1:1(0) ack 701 win 300
    > nothing
    < . 1:1(0) ack 701 win 400
    > . 701:1101(400) ack 1
  `,
);

tcpTest(
  "a small rest is sent at once while Nagle is off",
  `
    ${passive()}
    write 10
    > P. 1:11(10) ack 1
    write 10
    > P. 11:21(10) ack 1
  `,
);

tcpTest(
  "Nagle keeps a small rest until everything is acknowledged (MUST-17)",
  `
    ${passive()}
    nagle on
    write 10
    > P. 1:11(10) ack 1
    write 10
    write 20
    > nothing
    < . 1:1(0) ack 11 win 512
    > P. 11:41(30) ack 1
    write 1500
    > . 41:1041(1000) ack 1
    < . 1:1(0) ack 1041 win 512
    > P. 1041:1541(500) ack 1
    write 10
    > nothing
    nagle off
    > P. 1541:1551(10) ack 1
  `,
);

tcpTest(
  "Nagle does not hold FIN back",
  `
    ${passive()}
    nagle on
    write 10
    > P. 1:11(10) ack 1
    write 10
    > nothing
    shutdown
    > FP. 11:21(10) ack 1
  `,
);

tcpTest(
  "a cork holds a short last segment back, and only that",
  `
    ${passive()}
    cork on
    write 2500
    > . 1:2001(2000) ack 1
    write 600
    > . 2001:3001(1000) ack 1
    cork off
    > P. 3001:3101(100) ack 1
  `,
);

tcpTest(
  "a closed window is probed with growing pauses, for as long as the peer answers (MUST-35, 36)",
  `
    ${passive({ win: 0 })}
    write 100
    > nothing
    ${
    [.2, .4, .8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60, 60].map((seconds) => `
      +${seconds} > . 0:0(0) ack 1
      < . 1:1(0) ack 1 win 0
    `).join("")
  }
    < . 1:1(0) ack 1 win 512
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101 win 512
    unacked 0
  `,
);

tcpTest(
  "a window that opens is used at once",
  `
    ${passive({ win: 0 })}
    write 3000
    > nothing
    < . 1:1(0) ack 1 win 512
    > P. 1:3001(3000) ack 1
  `,
);

tcpTest(
  "a window that shrinks below what was sent neither loses nor repeats anything (MUST-34)",
  `
    ${passive({ win: 80 })}
    write 20000
    > . 1:10001(10000) ack 1
    < . 1:1(0) ack 2001 win 8
    > nothing
    < . 1:1(0) ack 10001 win 0
    > nothing
    < . 1:1(0) ack 10001 win 80
    > P. 10001:20001(10000) ack 1
  `,
);

tcpTest(
  "an old segment does not bring an old window back (RFC 9293 section 3.10.7.4)",
  `
    ${passive({ win: 8 })}
    write 4000
    > . 1:1001(1000) ack 1
    < P. 1:11(10) ack 1 win 0
    > . 1001:1001(0) ack 11
    < . 1:1(0) ack 1 win 512
    > . 1001:1001(0) ack 11
    < . 11:11(0) ack 1001 win 0
    > nothing
  `,
);

tcpTest(
  "a retransmission with a new acknowledgment brings its window: the right edge stays where it was",
  `
    ${passive({ win: 8 })}
    < P. 1:101(100) ack 1 win 80
    > . 1:1(0) ack 101
    write 20000
    > . 1:10001(10000) ack 101
    < P. 1:201(200) ack 5001 win 41
    > . 10001:10001(0) ack 201 <sack 1:101>
  `,
);

tcpTest(
  "FIN goes with the last data",
  `
    ${passive()}
    write 1500
    > P. 1:1501(1500) ack 1
    write 500
    > P. 1501:2001(500) ack 1
    shutdown
    > F. 2001:2001(0) ack 1
  `,
);

tcpTest(
  "FIN waits behind data that has no window",
  `
    ${passive({ win: 0 })}
    write 100
    shutdown
    > nothing
    < . 1:1(0) ack 1 win 512
    > FP. 1:101(100) ack 1
  `,
);

tcpTest(
  "a full link stops the output, which goes on when there is room",
  `
    ${passive()}
    link full
    write 3000
    > nothing
    < P. 1:101(100) ack 1 win 512
    > nothing
    link free
    > P. 1:3001(3000) ack 101
    read 100
  `,
);

tcpTest(
  "a SYN and an ACK that found the link full are sent later, a RST when the peer asks",
  `
    link full
    connect
    > nothing
    link free
    > S 0:0(0)
    link full
    < S. 0:0(0) ack 1 win 1000 <mss 1000>
    = connected
    > nothing
    link free
    > . 1:1(0) ack 1
    link full
    abort
    = end Aborted
    link free
    < P. 1:11(10) ack 1 win 1000
    > R 1:1(0)
  `,
);

tcpTest(
  "room to write is told after there was none",
  `
    ${passive({ win: 0 })}
    writeall 100000000
    writable no
    < . 1:1(0) ack 1 win 2000
    > ...
    < . 1:1(0) ack 10001 win 2000
    > ...
    < . 1:1(0) ack 30001 win 2000
    > ...
    writable
  `,
);

tcpTest(
  "after silence the window begins small again (RFC 5681 section 4.1)",
  `
    ${measured({ win: 5000 })}
    write 60000
    > . 1:10001(10000) ack 1
    +.01 < . 1:1(0) ack 10001 win 5000
    > ...
    +.01 < . 1:1(0) ack 30001 win 5000
    > ...
    +.01 < . 1:1(0) ack 60001 win 5000
    +60 write 60000
    > . 60001:70001(10000) ack 1
  `,
);

tcpTest(
  "ACKs cut into single bytes open the window no further than a whole one (CVE: ACK division)",
  `
    ${passive({ win: 5000 })}
    write 60000
    > . 1:10001(10000) ack 1
    ${Array.from({ length: 100 }, (_, i) => `<< . 1:1(0) ack ${2 + i} win 5000`).join("\n")}
    < . 1:1(0) ack 102 win 5000
    > nothing
  `,
);
