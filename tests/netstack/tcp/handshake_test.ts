/** Opening connections (RFC 9293 section 3.5), and what is agreed on meanwhile. */
import { tcpTest } from "../../dsl/script.ts";
import { active, passive } from "./scenes.ts";

const SYN_OPTIONS = "<mss 1460,sackOK,TS,nop,wscale 7>";

tcpTest(
  "a SYN offers MSS, SACK, timestamps and a window scale",
  `
    connect
    > S 0:0(0) win 65535 ${SYN_OPTIONS}
  `,
);

tcpTest("a connection to a listener is opened in three steps", passive());
tcpTest("a connection of our own is opened in three steps", active());

tcpTest(
  "the SYN-ACK offers no more than the SYN did",
  `
    listen
    < S 0:0(0) win 1000
    > S. 0:0(0) ack 1 <mss 1460>
    2:< S 0:0(0) win 1000 <mss 500>
    2:> S. 0:0(0) ack 1 <mss 1460>
    3:< S 0:0(0) win 1000 <mss 500,sackOK>
    3:> S. 0:0(0) ack 1 <mss 1460,sackOK>
    4:< S 0:0(0) win 1000 <mss 500,nop,wscale 0>
    4:> S. 0:0(0) ack 1 <mss 1460,wscale 7>
    5:< S 0:0(0) win 1000 <TS val 7 ecr 0>
    5:> S. 0:0(0) ack 1 <mss 1460,TS val 0 ecr 7>
  `,
);

tcpTest(
  "without an MSS option the peer's MSS is 536 over IPv4",
  `
    listen
    < S 0:0(0) win 65535
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 65535
    write 1000
    > P. 1:1001(1000) ack 1 gso 536
  `,
);

tcpTest(
  "without an MSS option the peer's MSS is 1220 over IPv6",
  `
    listen
    < S 0:0(0) win 65535
    > S. 0:0(0) ack 1 <mss 1440>
    < . 1:1(0) ack 1 win 65535
    write 2000
    > P. 1:2001(2000) ack 1 gso 1220
  `,
  { ipVersion: 6 },
);

tcpTest(
  "timestamps take their room from each segment (RFC 6691)",
  `
    ${passive({ mss: 1460, timestamps: true })}
    write 4000
    > P. 1:4001(4000) ack 1 gso 1448 <TS val 0 ecr 100>
  `,
);

tcpTest(
  "a larger MSS than ours is of no use",
  `
    ${passive({ mss: 9000 })}
    write 4000
    > P. 1:4001(4000) ack 1 gso 1460
  `,
);

for (const mss of [1, 48]) {
  tcpTest(
    `an MSS of ${mss} neither hangs nor sends less than 48 bytes`,
    `
      ${passive({ mss, sack: false, scale: -1, win: 1000 })}
      write 96
      > P. 1:97(96) ack 1 gso 48
    `,
  );
}

tcpTest(
  "an MSS of 0 counts as none",
  `
    ${passive({ mss: 0, sack: false, scale: -1, win: 1000 })}
    write 600
    > P. 1:601(600) ack 1 gso 536
  `,
);

for (const scale of [15, 255]) {
  tcpTest(
    `a window scale of ${scale} counts as 14 (RFC 7323 section 2.3)`,
    `
      ${passive({ scale, win: 1 })}
      write 20000
      > . 1:10001(10000) ack 1
      < . 1:1(0) ack 10001 win 1
      > ...
      < . 1:1(0) ack 16385 win 0
    `,
  );
}

tcpTest(
  "windows are not scaled when only one end has offered to",
  `
    ${passive({ scale: -1, win: 700 })}
    write 2000
    > . 1:701(700) ack 1
  `,
);

tcpTest(
  "the window of a SYN or SYN-ACK is never scaled",
  `
    connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 500 <mss 1000,nop,wscale 7>
    > . 1:1(0) ack 1
    write 2000
    > . 1:501(500) ack 1
  `,
);

tcpTest(
  "a SYN is sent again after 1, 3, 7, 15 s and so on, and given up after three minutes",
  `
    connect
    > S 0:0(0)
    +1 > S 0:0(0)
    +2 > S 0:0(0)
    +4 > S 0:0(0)
    +8 > S 0:0(0)
    +16 > S 0:0(0)
    +32 > S 0:0(0)
    +64 > S 0:0(0)
    +128
    = end TimedOut
  `,
);

tcpTest(
  "a SYN-ACK is sent again, and the connection forgotten when nobody answers",
  `
    listen manual
    < S 0:0(0) win 1000 <mss 1000>
    = syn
    accept
    > S. 0:0(0) ack 1
    +1 > S. 0:0(0) ack 1
    +2 > S. 0:0(0) ack 1
    +4 > S. 0:0(0) ack 1
    +8 > S. 0:0(0) ack 1
    +16 > S. 0:0(0) ack 1
    +33
    = end TimedOut
    < . 1:1(0) ack 1 win 1000
    > R 1:1(0)
  `,
);

tcpTest(
  "a SYN that comes again is answered again at once",
  `
    listen
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    +.3 < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 1000
    = connected
  `,
);

tcpTest(
  "the ACK of a handshake may carry data",
  `
    listen
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < P. 1:101(100) ack 1 win 1000
    > . 1:1(0) ack 101
    = connected
    read 100
  `,
);

tcpTest(
  "data ends a handshake whose ACK was lost, and FIN too",
  `
    listen
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < F. 1:101(100) ack 1 win 1000
    > . 1:1(0) ack 102
    = connected
    read 100
    finished
    state CloseWait
  `,
);

tcpTest(
  "data in a SYN is not lost when it comes again, and nothing is wrong with FIN there",
  `
    listen
    < S 0:100(100) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < . 1:101(100) ack 1 win 1000
    > . 1:1(0) ack 101
    = connected
    read 100
  `,
);

tcpTest(
  "an ACK of something else does not end a handshake: it is answered by RST",
  `
    listen
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 2 win 1000
    > R 2:2(0)
    < . 1:1(0) ack 0 win 1000
    > R 0:0(0)
    < . 1:1(0) ack 1 win 1000
    = connected
  `,
);

tcpTest(
  "RST ends a handshake and leaves the listener (RFC 9293 section 3.10.7.4)",
  `
    listen
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < R 1:1(0)
    = end Reset
    +30 > nothing
    2:< S 0:0(0) win 1000 <mss 1000>
    2:> S. 0:0(0) ack 1
  `,
);

tcpTest(
  "a SYN for a port where nobody listens is answered by RST",
  `
    < S 0:0(0) win 1000
    > R. 0:0(0) ack 1
    < S 0:100(100) win 1000
    > R. 0:0(0) ack 101
  `,
);

tcpTest(
  "a connection of our own is refused by RST that acknowledges the SYN",
  `
    connect
    > S 0:0(0)
    < R. 0:0(0) ack 1
    = end Refused
  `,
);

tcpTest(
  "RST without the right acknowledgment refuses nothing (RFC 5961, RFC 9293 section 3.10.7.3)",
  `
    connect
    > S 0:0(0)
    < R 0:0(0)
    < R. 0:0(0) ack 2
    < R. 0:0(0) ack 0
    = nothing
    < S. 0:0(0) ack 1 win 1000 <mss 1000>
    > . 1:1(0) ack 1
    = connected
  `,
);

tcpTest(
  "an ACK of nothing is answered by RST in SYN-SENT, which goes on",
  `
    connect
    > S 0:0(0)
    < . 0:0(0) ack 5 win 1000
    > R 5:5(0)
    < S. 0:0(0) ack 2 win 1000
    > R 2:2(0)
    < S. 0:0(0) ack 1 win 1000
    > . 1:1(0) ack 1
    = connected
  `,
);

tcpTest(
  "FIN without SYN is ignored in SYN-SENT",
  `
    connect
    > S 0:0(0)
    < F 0:0(0) win 1000
    < P 0:100(100) win 1000
    > nothing
    state SynSent
  `,
);

tcpTest(
  "data and FIN of a SYN-ACK are taken",
  `
    connect
    > S 0:0(0)
    < SF. 0:100(100) ack 1 win 1000 <mss 1000>
    > . 1:1(0) ack 102
    = connected
    read 100
    finished
    state CloseWait
  `,
);

tcpTest(
  "both ends may open at once (MUST-10)",
  `
    connect
    > S 0:0(0) ${SYN_OPTIONS}
    < S 0:0(0) win 1000 <mss 1000,sackOK,nop,wscale 7>
    > S. 0:0(0) ack 1 <mss 1460,sackOK,wscale 7>
    state SynReceived
    < S. 0:0(0) ack 1 win 1000 <mss 1000,sackOK,nop,wscale 7>
    = connected
    state Established
    < P. 1:101(100) ack 1 win 1000
    > . 1:1(0) ack 101
    read 100
  `,
);

tcpTest(
  "a simultaneous open ends with a plain ACK too",
  `
    connect
    > S 0:0(0)
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 1000
    = connected
  `,
);

tcpTest(
  "RST in a simultaneous open refuses the connection (MUST-11: it was active)",
  `
    connect
    > S 0:0(0)
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < R 1:1(0)
    = end Refused
  `,
);

tcpTest(
  "the SYN-ACK of a connection that is established is acknowledged again",
  `
    ${active()}
    < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,nop,wscale 7>
    > . 1:1(0) ack 1
    state Established
  `,
);

tcpTest(
  "what is written before the handshake is complete follows it",
  `
    connect
    > S 0:0(0)
    write 100
    < S. 0:0(0) ack 1 win 1000 <mss 1000>
    > P. 1:101(100) ack 1
    = connected
  `,
);

tcpTest(
  "close in SYN-SENT forgets the connection",
  `
    connect
    > S 0:0(0)
    close
    +10 > nothing
    = end Aborted
    < S. 0:0(0) ack 1 win 1000
    > R 1:1(0)
  `,
);

tcpTest(
  "abort in SYN-SENT sends nothing: there is no connection to reset",
  `
    connect
    > S 0:0(0)
    abort
    = end Aborted
    +10 > nothing
  `,
);

tcpTest(
  "shutdown before the handshake is complete sends FIN behind it",
  `
    connect
    > S 0:0(0)
    write 10
    shutdown
    < S. 0:0(0) ack 1 win 1000 <mss 1000>
    > FP. 1:11(10) ack 1
    = connected
    state FinWait1
  `,
);

tcpTest(
  "after a SYN that was sent again the window is one segment (RFC 5681 section 3.1)",
  `
    connect
    > S 0:0(0)
    +1 > S 0:0(0)
    < S. 0:0(0) ack 1 win 60000 <mss 1000>
    > . 1:1(0) ack 1
    = connected
    write 5000
    > . 1:1001(1000) ack 1
  `,
);

tcpTest(
  "after a SYN that was sent again the first RTO is 3 s (RFC 6298 section 5.7)",
  `
    connect
    > S 0:0(0)
    +1 > S 0:0(0)
    < S. 0:0(0) ack 1 win 60000 <mss 1000>
    > . 1:1(0) ack 1
    = connected
    write 500
    > P. 1:501(500) ack 1
    +3 > P. 1:501(500) ack 1
  `,
);
