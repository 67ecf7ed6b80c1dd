/** Segments by somebody who knows the ports and guesses the rest (RFC 5961). */
import { tcpTest } from "../../dsl/script.ts";
import { passive } from "./scenes.ts";

tcpTest(
  "RST inside the window but not at its edge is answered by an ACK, and ends nothing",
  `
    ${passive()}
    < R 2:2(0)
    > . 1:1(0) ack 1
    +1 < R 60000:60000(0)
    > . 1:1(0) ack 1
    state Established
    < R 1:1(0)
    = end Reset
  `,
);

tcpTest(
  "RST outside the window is dropped without an answer",
  `
    ${passive()}
    < R 0:0(0)
    > nothing
    < R 5000000:5000000(0)
    > nothing
    state Established
  `,
);

tcpTest(
  "SYN in a connection is answered by an ACK, wherever it lies",
  `
    ${passive()}
    < S 0:0(0) win 1000 <mss 1000>
    > . 1:1(0) ack 1
    +1 < S 1:1(0) win 1000
    > . 1:1(0) ack 1
    +1 < S 9000000:9000000(0) win 1000
    > . 1:1(0) ack 1
    +1 < S. 1:1(0) ack 1 win 1000
    > . 1:1(0) ack 1
    state Established
  `,
);

tcpTest(
  "data with an ACK of what was never sent is dropped and answered by an ACK",
  `
    ${passive()}
    < P. 1:101(100) ack 2 win 512
    > . 1:1(0) ack 1
    +1 < P. 1:101(100) ack 1000000 win 512
    > . 1:1(0) ack 1
    < P. 1:101(100) ack 1 win 512
    > . 1:1(0) ack 101
    read 100
  `,
);

tcpTest(
  "data with an ACK older than any window is dropped (section 5.2)",
  `
    ${passive()}
    < P. 1:101(100) ack -1000000 win 512
    > . 1:1(0) ack 1
    < P. 1:101(100) ack 1 win 512
    > . 1:1(0) ack 101
    read 100
  `,
);

tcpTest(
  "data with an ACK that is merely old is taken",
  `
    ${passive()}
    write 1000
    > P. 1:1001(1000) ack 1
    < . 1:1(0) ack 1001 win 512
    < P. 1:101(100) ack 501 win 512
    > . 1001:1001(0) ack 101
    read 100
  `,
);

tcpTest(
  "a segment without ACK is dropped",
  `
    ${passive()}
    < P 1:101(100) win 512
    > nothing
    < - 1:101(100) win 512
    > nothing
    < F 1:1(0) win 512
    > nothing
    state Established
  `,
);

tcpTest(
  "challenge ACKs are throttled per connection, not by a counter of all (CVE-2016-5696)",
  `
    listen
    < S 0:0(0) win 1000 <mss 1000>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 1000
    2:< S 0:0(0) win 1000 <mss 1000>
    2:> S. 0:0(0) ack 1
    2:< . 1:1(0) ack 1 win 1000
    < R 2:2(0)
    > . 1:1(0) ack 1
    ${"< R 2:2(0)\n".repeat(200)}
    > nothing
    2:< R 2:2(0)
    2:> . 1:1(0) ack 1
    +1 < R 2:2(0)
    > . 1:1(0) ack 1
  `,
);

tcpTest(
  "two ends that are out of step do not answer each other's ACKs for ever",
  `
    ${passive()}
    < . 5000000:5000000(0) ack 1 win 512
    > . 1:1(0) ack 1
    ${"< . 5000000:5000000(0) ack 1 win 512\n".repeat(100)}
    > nothing
    ${"< . 1:1(0) ack 5000 win 512\n".repeat(100)}
    > nothing
    state Established
  `,
);

tcpTest(
  "data outside the window is answered by an ACK each time: the peer may have lost ours",
  `
    ${passive()}
    < P. 1:101(100) ack 1 win 512
    > . 1:1(0) ack 101
    < P. 1:101(100) ack 1 win 512
    > . 1:1(0) ack 101
    < P. 1:101(100) ack 1 win 512
    > . 1:1(0) ack 101
  `,
);

tcpTest(
  "SYN and FIN at once open nothing",
  `
    listen
    < SF 0:0(0) win 1000
    > nothing
    < SFRPUEC. 0:0(0) ack 5 win 1000
    > nothing
  `,
);

tcpTest(
  "an ACK or data to a listener is answered by RST, a RST by nothing",
  `
    listen
    < . 1:1(0) ack 5 win 1000
    > R 5:5(0)
    < P. 1:11(10) ack 5 win 1000
    > R 5:5(0)
    < S. 1:1(0) ack 5 win 1000
    > R 5:5(0)
    < R 1:1(0)
    > nothing
    < F 1:1(0) win 1000
    > nothing
  `,
);
