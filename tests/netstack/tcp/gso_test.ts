/** Segments of up to 64 KB: what they may be, and what becomes of their flags and numbers. */
import { tcpTest } from "../../dsl/script.ts";
import { active, measured, passive } from "./scenes.ts";

/** Slow start up to a window of more than 64 KB: 250,000 bytes, all of them acknowledged. */
function opened(suffix = ""): string {
  let seq = 1;
  return [10_000, 20_000, 40_000, 60_000, 60_000, 60_000].map((bytes) => {
    seq += bytes;
    return `
      write ${bytes}
      > ...
      < . 1:1(0) ack ${seq} win 5000${suffix}
    `;
  }).join("") + "unacked 0";
}

tcpTest(
  "a sequence number may wrap inside of a segment of 65,000 bytes",
  `
    ${active({ win: 5000 })}
    ${opened()}
    writeall 65000
    > P. 250001:315001(65000) ack 1 gso 1000
    < . 1:1(0) ack 280001 win 5000
    < . 1:1(0) ack 315001 win 5000
    unacked 0
  `,
  { belowWrap: 280_000 },
);

tcpTest(
  "a hole in a segment that wraps is sent again exactly",
  `
    ${active({ win: 5000 })}
    ${opened()}
    writeall 65000
    > P. 250001:315001(65000) ack 1 gso 1000
    < . 1:1(0) ack 279001 win 5000 <sack 281001:315001>
    > . 279001:281001(2000) ack 1 gso 1000
    < . 1:1(0) ack 315001 win 5000
    unacked 0
  `,
  { belowWrap: 280_000 },
);

tcpTest(
  "the longest segment of MSS 1460 has 44 packets, and stays below 64 KB with its headers",
  `
    ${passive({ mss: 1460, win: 5000 })}
    ${opened()}
    writeall 65536
    > . 250001:314241(64240) ack 1 gso 1460
    > P. 314241:315537(1296) ack 1
    < . 1:1(0) ack 315537 win 5000
  `,
);

tcpTest(
  "timestamps make the longest segment shorter, not longer than 65,535 bytes",
  `
    ${passive({ mss: 9000, win: 5000, timestamps: true })}
    ${opened(" <TS val 200 ecr 0>")}
    writeall 65536
    > . 250001:312637(62636) ack 1 gso 8948
    > P. 312637:315537(2900) ack 1
  `,
  { mtu: 9000 },
);

tcpTest(
  "PSH and FIN are on the last segment alone",
  `
    ${passive({ win: 5000 })}
    ${opened()}
    cork on
    writeall 65536
    > . 250001:315001(65000) ack 1 gso 1000
    shutdown
    > FP. 315001:315537(536) ack 1
    < . 1:1(0) ack 315538 win 5000
  `,
);

tcpTest(
  "a small peer's window cuts a segment at a whole number of packets",
  `
    ${passive({ win: 50 })}
    write 30000
    > . 1:6001(6000) ack 1 gso 1000
    < . 1:1(0) ack 6001 win 50
    > . 6001:12001(6000) ack 1 gso 1000
    < . 1:1(0) ack 12001 win 50
    > ...
    < . 1:1(0) ack 18001 win 50
    > ...
  `,
);

tcpTest(
  "an ACK inside of a packet of a segment is taken to the byte",
  `
    ${measured({ win: 5000 })}
    write 10000
    > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 2501 win 5000
    unacked 7500
    +.5 > ...
    < . 1:1(0) ack 10001 win 5000
    unacked 0
  `,
);

tcpTest(
  "what is in flight is kept until it is acknowledged, also when the buffer wraps and grows",
  `
    ${measured({ win: 5000 })}
    ${opened()}
    write 30000
    > ...
    ${
    Array.from({ length: 60 }, (_, i) => `
      write 9700
      > ...
      +.01 < . 1:1(0) ack ${280_001 + i * 9700} win 5000
      > ...
    `).join("")
  }
    < . 1:1(0) ack 862001 win 5000
    unacked 0
  `,
);

tcpTest(
  "a received run whose first packets came before is trimmed, not refused",
  `
    ${passive()}
    < P. 1:3001(3000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 3001
    < P. 1001:9001(8000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 9001 <sack 1001:3001>
    read 9000
    > ...
  `,
);

tcpTest(
  "a run that straddles the right edge of the window is trimmed, not refused",
  `
    ${passive()}
    < . 1:40001(40000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 40001 win 25536
    < . 40001:80001(40000) ack 1 win 512 gro 1000
    > . 1:1(0) ack 65537 win 0
    read 65536
    > . 1:1(0) ack 65537 win >=60000
  `,
  { limits: { receiveBytesFirst: 65_536, receiveBytesMax: 65_536 } },
);

tcpTest(
  "a run with FIN delivers its data, then the end",
  `
    ${passive()}
    < FP. 1:5001(5000) ack 1 win 512 gro 1460
    > . 1:1(0) ack 5002
    read 5000
    finished
    state CloseWait
  `,
);
