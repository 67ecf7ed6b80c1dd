/** Keepalives (RFC 9293 section 3.8.4). */
import { tcpTest } from "../../dsl/script.ts";
import { passive } from "./scenes.ts";

tcpTest(
  "without being asked for, nothing is sent in silence (MUST-25)",
  `
    ${passive()}
    +100000 > nothing
    state Established
  `,
);

tcpTest(
  "a probe asks after the idle time, by a number that was acknowledged long ago",
  `
    ${passive()}
    keepalive 7200000
    +7200 > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 512
    +7200 > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 512
  `,
);

tcpTest(
  "one lost probe does not end the connection, all of them do (MUST-26)",
  `
    ${passive()}
    keepalive 60000
    +60 > . 0:0(0) ack 1
    +75 > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 512
    +60 > . 0:0(0) ack 1
    ${"+75 > . 0:0(0) ack 1\n".repeat(8)}
    +75 > ...
    = end TimedOut
  `,
);

tcpTest(
  "whatever comes from the peer puts the probe off",
  `
    ${passive()}
    keepalive 60000
    +50 < P. 1:11(10) ack 1 win 512
    > . 1:1(0) ack 11
    +50 > nothing
    +10 > . 0:0(0) ack 11
    < . 11:11(0) ack 1 win 512
  `,
);

tcpTest(
  "a probe that is answered by RST ends the connection",
  `
    ${passive()}
    keepalive 60000
    +60 > . 0:0(0) ack 1
    < R 1:1(0)
    = end Reset
  `,
);

tcpTest(
  "keepalive can be switched off again",
  `
    ${passive()}
    keepalive 60000
    +50 keepalive 0
    +1000 > nothing
  `,
);

tcpTest(
  "we answer the peer's probe",
  `
    ${passive()}
    < . 0:0(0) ack 1 win 512
    > . 1:1(0) ack 1
    +100 < . 0:1(1) ack 1 win 512
    > ...
  `,
);
