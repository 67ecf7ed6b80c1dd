/** What is done about loss: RTO (RFC 6298), RACK-TLP (RFC 8985), SACK, NewReno, mistakes undone. */
import { tcpTest } from "../../dsl/script.ts";
import { measured } from "./scenes.ts";

tcpTest(
  "without any acknowledgment the last segment is probed after two round trips, then RTO doubles",
  `
    ${measured()}
    write 2000
    > P. 1:2001(2000) ack 1
    +.2 > P. 1001:2001(1000) ack 1
    +.3 > . 1:1001(1000) ack 1
    +.6 > . 1:1001(1000) ack 1
    +1.2 > . 1:1001(1000) ack 1
    < . 1:1(0) ack 2001 win 512
    unacked 0
  `,
);

tcpTest(
  "a single segment is probed later, as its acknowledgment may be delayed",
  `
    ${measured({ sack: true })}
    write 500
    > P. 1:501(500) ack 1
    +.3 > P. 1:501(500) ack 1
    < . 1:1(0) ack 501 win 512
  `,
);

tcpTest(
  "a probe sends new data when there is some",
  `
    ${measured({ win: 5000 })}
    write 20000
    > . 1:10001(10000) ack 1
    +.2 > . 10001:11001(1000) ack 1
    < . 1:1(0) ack 11001 win 5000
    > ...
  `,
);

tcpTest(
  "a tail that was lost is found by the probe's SACK, without a timeout",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 7001 win 5000
    +.2 > P. 9001:10001(1000) ack 1
    +.1 < . 1:1(0) ack 7001 win 5000 <sack 9001:10001>
    > . 7001:8001(1000) ack 1
    +.1 < . 1:1(0) ack 8001 win 5000 <sack 9001:10001>
    > . 8001:9001(1000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000
    unacked 0
  `,
);

tcpTest(
  "the RTO doubles, and the connection ends when nothing came for its bound",
  `
    ${measured({ sack: false })}
    write 500
    > P. 1:501(500) ack 1
    +.3 > P. 1:501(500) ack 1
    +.6 > P. 1:501(500) ack 1
    +1.2 > P. 1:501(500) ack 1
    +2.4 > P. 1:501(500) ack 1
    +4.8 > P. 1:501(500) ack 1
    +9.6 > P. 1:501(500) ack 1
    +11.1 > R. 501:501(0) ack 1
    = end TimedOut
  `,
  { limits: { dataTimeoutMs: 30_000 } },
);

tcpTest(
  "RTTs are not measured by segments that were sent again (Karn)",
  `
    ${measured({ sack: false })}
    write 500
    > P. 1:501(500) ack 1
    +.3 > P. 1:501(500) ack 1
    +.5 < . 1:1(0) ack 501 win 512
    write 500
    > P. 501:1001(500) ack 1
    +.3 > P. 501:1001(500) ack 1
    < . 1:1(0) ack 1001 win 512
  `,
);

tcpTest(
  "three SACKed segments above a hole send it again at once",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:2001>
    > nothing
    < . 1:1(0) ack 1 win 5000 <sack 1001:3001>
    > nothing
    < . 1:1(0) ack 1 win 5000 <sack 1001:4001>
    > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1 win 5000 <sack 1001:10001>
    > nothing
    +.1 < . 1:1(0) ack 10001 win 5000
    unacked 0
  `,
);

tcpTest(
  "fewer than three are waited for: a quarter of a round trip, in case it is reordering",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:2001>
    +.025 > . 1:1001(1000) ack 1
    < . 1:1(0) ack 10001 win 5000
  `,
);

tcpTest(
  "segments that arrive in another order within a quarter of a round trip are not sent again",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:2001>
    +.02 < . 1:1(0) ack 2001 win 5000
    +.001 < . 1:1(0) ack 10001 win 5000
    > nothing
    unacked 0
  `,
);

tcpTest(
  "once reordering was seen, three SACKed segments are no loss for a quarter of a round trip",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:2001>
    +.01 < . 1:1(0) ack 2001 win 5000
    < . 1:1(0) ack 10001 win 5000
    write 10000
    > P. 10001:20001(10000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000 <sack 11001:15001>
    > nothing
    +.01 < . 1:1(0) ack 20001 win 5000
  `,
);

tcpTest(
  "several holes are sent again in one recovery",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 9001:10001 6001:8001 2001:5001>
    > . 1:2001(2000) ack 1
    > . 5001:6001(1000) ack 1
    > . 8001:9001(1000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000
    > nothing
    unacked 0
  `,
);

tcpTest(
  "a retransmission that is lost is found by RACK before the timeout",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:5001>
    > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1 win 5000 <sack 1001:10001>
    write 2000
    > P. 10001:12001(2000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:12001>
    > . 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 12001 win 5000
  `,
);

tcpTest(
  "without SACK the third duplicate ACK sends the first segment again (RFC 5681)",
  `
    ${measured({ sack: false, win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000
    < . 1:1(0) ack 1 win 5000
    > nothing
    < . 1:1(0) ack 1 win 5000
    > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1 win 5000
    < . 1:1(0) ack 1 win 5000
    +.1 < . 1:1(0) ack 10001 win 5000
    unacked 0
  `,
);

tcpTest(
  "without SACK a partial ACK sends the next hole again (NewReno, RFC 6582)",
  `
    ${measured({ sack: false, win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000
    < . 1:1(0) ack 1 win 5000
    < . 1:1(0) ack 1 win 5000
    > . 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 4001 win 5000
    > . 4001:5001(1000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000
    unacked 0
  `,
);

tcpTest(
  "a window update or data with an old ACK is no duplicate ACK",
  `
    ${measured({ sack: false, win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5001
    < . 1:1(0) ack 1 win 5002
    < . 1:1(0) ack 1 win 5003
    < . 1:1(0) ack 1 win 5004
    > nothing
    < P. 1:11(10) ack 1 win 5004
    > ...
    < P. 11:21(10) ack 1 win 5004
    > ...
    < P. 21:31(10) ack 1 win 5004
    > . 10001:10001(0) ack 31
  `,
);

tcpTest(
  "SACK blocks that cannot be are ignored (CVE-2019-11477, sign extension, inverted, unsent)",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.05 < . 1:1(0) ack 1 win 5000 <sack 10001:20001>
    < . 1:1(0) ack 1 win 5000 <sack 5001:2001>
    < . 1:1(0) ack 1 win 5000 <sack 5001:5001>
    < . 1:1(0) ack 1 win 5000 <sack -2147483648:2147483647>
    < . 1:1(0) ack 1 win 5000 <sack 2000000000:2000000001 5001:100001 0:0 -5:-1>
    > nothing
    +.05 < . 1:1(0) ack 10001 win 5000
    unacked 0
  `,
);

tcpTest(
  "SACK blocks of single bytes cut no segment in pieces (CVE-2019-11478)",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    ${
    Array.from(
      { length: 300 },
      (_, i) => `<< . 1:1(0) ack 1 win 5000 <sack ${1003 + 2 * i}:${1004 + 2 * i}>`,
    ).join("\n")
  }
    +.1 < . 1:1(0) ack 10001 win 5000
    unacked 0
  `,
);

tcpTest(
  "what was SACKed and then forgotten by the peer is sent again after a timeout (reneging)",
  `
    ${measured({ win: 5000 })}
    write 3000
    > P. 1:3001(3000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:3001>
    +.025 > . 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 1001 win 5000
    +.2~+1 > . 1001:2001(1000) ack 1
    +.1 < . 1:1(0) ack 2001 win 5000
    > ...
    +.1 < . 1:1(0) ack 3001 win 5000
    unacked 0
  `,
);

tcpTest(
  "after a timeout the window is one segment and grows by slow start",
  `
    ${measured({ win: 5000, sack: false })}
    write 20000
    > . 1:10001(10000) ack 1
    +.3 > . 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 1001 win 5000
    > . 1001:3001(2000) ack 1
    +.1 < . 1:1(0) ack 3001 win 5000
    > . 3001:7001(4000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000
    > ...
  `,
);

tcpTest(
  "a timeout that timestamps prove wrong is undone: the window is as before (Eifel, RFC 3522)",
  `
    ${measured({ win: 5000, sack: false, timestamps: true, mss: 1012 })}
    write 10000
    > P. 1:10001(10000) ack 1 <TS val 100 ecr 100>
    +.3 > . 1:1001(1000) ack 1 <TS val 400 ecr 100>
    +.05 < . 1:1(0) ack 1001 win 5000 <TS val 500 ecr 100>
    > nothing
    < . 1:1(0) ack 10001 win 5000 <TS val 500 ecr 100>
    write 30000
    > . 10001:30001(20000) ack 1
  `,
);

tcpTest(
  "the window falls to 0.7 by loss (RFC 9438), and nothing is sent that it does not allow",
  `
    ${measured({ win: 5000 })}
    writeall 100000
    > . 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:10001>
    > . 1:1001(1000) ack 1
    > ...
    +.1 < . 1:1(0) ack 10001 win 5000
    > ...
  `,
);

tcpTest(
  "a loss costs three tenths of the window",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:5001>
    > . 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000
    write 30000
    > . 10001:17001(7000) ack 1
  `,
);

tcpTest(
  "a loss that a DSACK calls a mistake costs nothing (RFC 3708)",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:5001>
    > . 1:1001(1000) ack 1
    < . 1:1(0) ack 5001 win 5000
    < . 1:1(0) ack 10001 win 5000
    +.1 < . 1:1(0) ack 10001 win 5000 <sack 1:1001>
    write 30000
    > . 10001:20001(10000) ack 1
  `,
);

tcpTest(
  "a loss that timestamps call a mistake costs nothing (Eifel, RFC 3522)",
  `
    ${measured({ win: 5000, mss: 1012, timestamps: true })}
    write 10000
    > P. 1:10001(10000) ack 1 <TS val 100 ecr 100>
    +.1 < . 1:1(0) ack 1 win 5000 <TS val 300 ecr 100,sack 1001:5001>
    > . 1:1001(1000) ack 1 <TS val 200 ecr 300>
    < . 1:1(0) ack 10001 win 5000 <TS val 301 ecr 100>
    write 30000
    > . 10001:26001(16000) ack 1
  `,
);

tcpTest(
  "a DSACK that a later acknowledgment has overtaken calls the loss a mistake all the same",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 1 win 5000 <sack 1001:5001>
    > . 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 10001 win 5000
    < . 1:1(0) ack 5001 win 5000 <sack 1:1001>
    write 30000
    > . 10001:20001(10000) ack 1
  `,
);

tcpTest(
  "timestamps that a later acknowledgment has overtaken call a loss a mistake all the same",
  `
    ${measured({ win: 5000, mss: 1012, timestamps: true })}
    write 10000
    > P. 1:10001(10000) ack 1 <TS val 100 ecr 100>
    +.1 < . 1:1(0) ack 1 win 5000 <TS val 300 ecr 100,sack 1001:5001>
    > . 1:1001(1000) ack 1 <TS val 200 ecr 300>
    < . 1:1(0) ack 10001 win 5000 <TS val 310 ecr 200>
    < . 1:1(0) ack 5001 win 5000 <TS val 310 ecr 100>
    write 30000
    > . 10001:20001(10000) ack 1
  `,
);

tcpTest(
  "a DSACK alone sends nothing again",
  `
    ${measured({ win: 5000 })}
    write 3000
    > P. 1:3001(3000) ack 1
    +.1 < . 1:1(0) ack 3001 win 5000
    < . 1:1(0) ack 3001 win 5000 <sack 1:1001>
    < . 1:1(0) ack 3001 win 5000 <sack 1001:2001>
    < . 1:1(0) ack 3001 win 5000 <sack 2001:3001>
    > nothing
    unacked 0
  `,
);

tcpTest(
  "FIN is sent again with the data that it ends, and alone when only it is missing",
  `
    ${measured({ sack: false })}
    write 500
    > P. 1:501(500) ack 1
    shutdown
    > F. 501:501(0) ack 1
    +.3 > P. 1:501(500) ack 1
    > ...
    < . 1:1(0) ack 501 win 512
    > ...
    +.1~+2 > F. 501:501(0) ack 1
    < . 1:1(0) ack 502 win 512
    state FinWait2
  `,
);

tcpTest(
  "a retransmission carries the newest acknowledgment, window and timestamp",
  `
    ${measured({ sack: false, timestamps: true, mss: 1012 })}
    write 500
    > P. 1:501(500) ack 1 <TS val 100 ecr 100>
    < P. 1:101(100) ack 1 win 512 <TS val 300 ecr 0>
    > . 501:501(0) ack 101 <TS val 100 ecr 300>
    +.3 > P. 1:501(500) ack 101 <TS val 400 ecr 300>
    < . 101:101(0) ack 501 win 512 <TS val 700 ecr 400>
  `,
);

tcpTest(
  "a peer whose window is closed is not flooded by retransmissions",
  `
    ${measured({ sack: false })}
    write 2000
    > P. 1:2001(2000) ack 1
    +.1 < . 1:1(0) ack 1 win 0
    +.15~+.5 > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1 win 0
    +.6 > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1 win 0
    +1.2 > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1 win 0
    state Established
  `,
);
