/** ICMP errors about our segments (RFC 1122 section 4.2.3.9, RFC 5927, RFC 1191, RFC 8201). */
import { tcpTest } from "../../dsl/script.ts";
import { passive } from "./scenes.ts";

tcpTest(
  "port unreachable about our SYN ends the attempt",
  `
    connect
    > S 0:0(0)
    icmp port seq 0
    = end Unreachable
  `,
);

for (const kind of ["unreachable", "ttl", "parameter"]) {
  tcpTest(
    `soft error "${kind}" about our SYN ends nothing: it is sent again`,
    `
      connect
      > S 0:0(0)
      icmp ${kind} seq 0
      = nothing
      +1 > S 0:0(0)
      < S. 0:0(0) ack 1 win 1000
      > . 1:1(0) ack 1
      = connected
    `,
  );
}

tcpTest(
  "the reason of a soft error is told when the attempt ends",
  `
    connect
    > S 0:0(0)
    icmp unreachable seq 0
    +1 > S 0:0(0)
    +2 > S 0:0(0)
    +30 > ...
    = end Unreachable
  `,
  { limits: { synTimeoutMs: 10_000 } },
);

for (const kind of ["port", "prohibited", "unreachable", "ttl", "parameter"]) {
  tcpTest(
    `ICMP "${kind}" does not end an established connection (RFC 5927 section 4)`,
    `
      ${passive()}
      write 100
      > P. 1:101(100) ack 1
      icmp ${kind} seq 1
      = nothing
      state Established
      < . 1:1(0) ack 101 win 512
      unacked 0
    `,
  );
}

tcpTest(
  "an ICMP error about a number that is not in flight is made up, and ignored",
  `
    connect
    > S 0:0(0)
    icmp port seq 1
    icmp port seq -1
    icmp port seq 123456
    = nothing
    < S. 0:0(0) ack 1 win 1000
    > . 1:1(0) ack 1
    = connected
  `,
);

tcpTest(
  "a smaller path MTU makes segments smaller, and sends again at once what was too big",
  `
    ${passive({ mss: 1460, win: 5000 })}
    write 5000
    > P. 1:5001(5000) ack 1 gso 1460
    icmp toobig seq 1 mtu 1280
    > P. 1:5001(5000) ack 1 gso 1240
    < . 1:1(0) ack 5001 win 5000
    write 5000
    > P. 5001:10001(5000) ack 1 gso 1240
  `,
);

tcpTest(
  "a path MTU that does not shrink anything changes nothing",
  `
    ${passive({ mss: 1460, win: 5000 })}
    write 5000
    > P. 1:5001(5000) ack 1 gso 1460
    icmp toobig seq 1 mtu 1500
    > nothing
    icmp toobig seq 1 mtu 9000
    > nothing
    < . 1:1(0) ack 5001 win 5000
  `,
);

tcpTest(
  "a path MTU for a number that is not in flight is made up, and ignored (RFC 5927 section 7)",
  `
    ${passive({ mss: 1460, win: 5000 })}
    write 5000
    > P. 1:5001(5000) ack 1 gso 1460
    icmp toobig seq 5001 mtu 600
    icmp toobig seq 0 mtu 600
    > nothing
    < . 1:1(0) ack 5001 win 5000
    icmp toobig seq 1 mtu 600
    write 2000
    > P. 5001:7001(2000) ack 1 gso 1460
  `,
);

tcpTest(
  "a path MTU is no sign of congestion: the window stays",
  `
    ${passive({ mss: 1460, win: 5000 })}
    write 14600
    > P. 1:14601(14600) ack 1 gso 1460
    icmp toobig seq 1 mtu 1280
    > P. 1:14601(14600) ack 1 gso 1240
    < . 1:1(0) ack 14601 win 5000
    write 12400
    > P. 14601:27001(12400) ack 1 gso 1240
  `,
);

tcpTest(
  "a path MTU is heeded by a SYN-ACK's connection later on",
  `
    listen
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 65535
    = connected
    write 3000
    > P. 1:3001(3000) ack 1 gso 1460
    icmp toobig seq 1 mtu 1300
    > P. 1:3001(3000) ack 1 gso 1260
  `,
);

tcpTest(
  "full segments that vanish without a word are made smaller after two timeouts (RFC 4821)",
  `
    ${passive({ mss: 1460, win: 5000 })}
    write 2920
    > P. 1:2921(2920) ack 1 gso 1460
    +8 > ...
    < . 1:1(0) ack 2921 win 5000
    write 4000
    > . 2921:5993(3072) ack 1 gso 1024
  `,
);

tcpTest(
  "a path that ICMP made narrow is tried at its full width after ten minutes (RFC 1191)",
  `
    ${passive({ mss: 1460 })}
    write 3000
    > P. 1:3001(3000) ack 1 gso 1460
    icmp toobig seq 1 mtu 1240
    > P. 1:3001(3000) ack 1 gso 1200
    < . 1:1(0) ack 3001 win 512
    +590 > nothing
    write 2400
    > P. 3001:5401(2400) ack 1 gso 1200
    < . 1:1(0) ack 5401 win 512
    +11 > nothing
    write 2920
    > P. 5401:8321(2920) ack 1 gso 1460
    < . 1:1(0) ack 8321 win 512
  `,
);
