/** Ending connections: FIN, RST, TIME-WAIT, half-close (RFC 9293 sections 3.6 and 3.10). */
import { tcpTest } from "../../dsl/script.ts";
import { active, passive, STATES } from "./scenes.ts";

tcpTest(
  "we close first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, and nothing after a minute",
  `
    ${STATES.TimeWait}
    +59 > nothing
    +2 > nothing
    < . 2:2(0) ack 2 win 512
    > R 2:2(0)
  `,
);

tcpTest(
  "the peer closes first: CLOSE-WAIT, LAST-ACK, gone",
  `
    ${STATES.LastAck}
    < . 2:2(0) ack 2 win 512
    = end Closed
    +10 > nothing
    < . 2:2(0) ack 2 win 512
    > R 2:2(0)
  `,
);

tcpTest(
  "both close at once: CLOSING, then TIME-WAIT",
  `
    ${STATES.Closing}
    state Closing
    < . 2:2(0) ack 2 win 512
    = end Closed
    < F. 1:1(0) ack 2 win 512
    > . 2:2(0) ack 2
  `,
);

tcpTest(
  "FIN and ACK of ours in one segment lead from FIN-WAIT-1 to TIME-WAIT",
  `
    ${STATES.FinWait1}
    < F. 1:1(0) ack 2 win 512
    > . 2:2(0) ack 2
    = end Closed
  `,
);

tcpTest(
  "a FIN that is not acknowledged is sent again",
  `
    ${STATES.FinWait1}
    +.2~+1.1 > F. 1:1(0) ack 1
    +.2~+2.1 > F. 1:1(0) ack 1
    < . 1:1(0) ack 2 win 512
    state FinWait2
  `,
);

tcpTest(
  "a FIN that comes again in TIME-WAIT is acknowledged and starts the wait anew (MUST-13)",
  `
    ${STATES.TimeWait}
    +50 < F. 1:1(0) ack 2 win 512
    > . 2:2(0) ack 2
    +50 < F. 1:1(0) ack 2 win 512
    > . 2:2(0) ack 2
    +61 < F. 1:1(0) ack 2 win 512
    > R 2:2(0)
  `,
);

tcpTest(
  "a new SYN with a higher number ends TIME-WAIT early (RFC 9293 MAY-2)",
  `
    ${STATES.TimeWait}
    rebase
    +1 < S 100000:100000(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 100001
  `,
);

tcpTest(
  "an old SYN in TIME-WAIT is not taken for a new one",
  `
    ${STATES.TimeWait}
    +1 < S 0:0(0) win 1000 <mss 1000>
    > . 2:2(0) ack 2
  `,
);

tcpTest(
  "RST in TIME-WAIT is ignored (RFC 1337)",
  `
    ${STATES.TimeWait}
    < R 2:2(0)
    +1 < F. 1:1(0) ack 2 win 512
    > . 2:2(0) ack 2
  `,
);

tcpTest(
  "half-close: what the peer sends after our FIN is read",
  `
    ${STATES.FinWait2}
    < P. 1:1001(1000) ack 2 win 512
    > . 2:2(0) ack 1001
    read 1000
    +300 < P. 1001:2001(1000) ack 2 win 512
    > . 2:2(0) ack 2001
    read 1000
    < F. 2001:2001(0) ack 2 win 512
    > . 2:2(0) ack 2002
    = end Closed
  `,
);

tcpTest(
  "half-close: we may send after the peer's FIN",
  `
    ${STATES.CloseWait}
    finished
    write 1000
    > P. 1:1001(1000) ack 2
    < . 2:2(0) ack 1001 win 512
    shutdown
    > F. 1001:1001(0) ack 2
    < . 2:2(0) ack 1002 win 512
    = end Closed
  `,
);

tcpTest(
  "FIN-WAIT-2 ends by itself after close, not after shutdown",
  `
    ${passive()}
    close
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2 win 512
    +61 > ...
    = end Closed
    < P. 1:2(1) ack 2 win 512
    > R 2:2(0)
  `,
);

tcpTest(
  "data that comes after close is answered by RST (RFC 9293 section 3.10.7.1, RFC 2525 2.17)",
  `
    ${passive()}
    close
    > F. 1:1(0) ack 1
    < P. 1:1001(1000) ack 2 win 512
    > R. 2:2(0) ack 1
    = end Aborted
  `,
);

tcpTest(
  "close with unread data sends RST: the peer shall know that it was not read (RFC 2525 2.17)",
  `
    ${passive()}
    < P. 1:1001(1000) ack 1 win 512
    > . 1:1(0) ack 1001
    close
    > R. 1:1(0) ack 1001
    = end Aborted
  `,
);

tcpTest(
  "close sends what was written, then FIN",
  `
    ${passive()}
    write 1000
    > P. 1:1001(1000) ack 1
    close
    > F. 1001:1001(0) ack 1
    < . 1:1(0) ack 1002 win 512
    < F. 1:1(0) ack 1002 win 512
    > . 1002:1002(0) ack 2
    = end Closed
  `,
);

tcpTest(
  "abort sends RST at once and forgets everything",
  `
    ${passive()}
    write 1000
    > P. 1:1001(1000) ack 1
    abort
    > R. 1001:1001(0) ack 1
    = end Aborted
    +10 > nothing
    < . 1:1(0) ack 1001 win 512
    > R 1001:1001(0)
  `,
);

tcpTest(
  "abort after FIN sends RST too",
  `
    ${STATES.FinWait1}
    abort
    > R. 2:2(0) ack 1
    = end Aborted
  `,
);

tcpTest(
  "RST at the expected number ends the connection, and nothing is sent",
  `
    ${passive()}
    < R 1:1(0)
    = end Reset
    +10 > nothing
  `,
);

tcpTest(
  "data before a RST can still be read: the end is told once",
  `
    ${passive()}
    < P. 1:101(100) ack 1 win 512
    > . 1:1(0) ack 101
    < R. 101:101(0) ack 1
    = end Reset
  `,
);

tcpTest(
  "what nobody knows is answered by RST with the acknowledged number",
  `
    < . 5:5(0) ack 777 win 512
    > R 777:777(0)
    < P. 5:15(10) ack 777 win 512
    > R 777:777(0)
    < F 5:5(0) win 512
    > R. 0:0(0) ack 6
    < P 5:15(10) win 512
    > R. 0:0(0) ack 15
  `,
);

tcpTest(
  "RST is never answered by RST",
  `
    < R 5:5(0)
    > nothing
    < R. 5:5(0) ack 7
    > nothing
    < SR 5:5(0)
    > nothing
  `,
);

tcpTest(
  "shutdown twice and close after it send one FIN",
  `
    ${passive()}
    shutdown
    > F. 1:1(0) ack 1
    shutdown
    close
    > nothing
    < . 1:1(0) ack 2 win 512
    < F. 1:1(0) ack 2 win 512
    > . 2:2(0) ack 2
    = end Closed
  `,
);

tcpTest(
  "FIN in the segment that acknowledges our data is taken",
  `
    ${active()}
    write 100
    > P. 1:101(100) ack 1
    < FP. 1:51(50) ack 101 win 512
    > . 101:101(0) ack 52
    read 50
    finished
    state CloseWait
  `,
);
