/**
 * The beginnings of scripts: a connection in each state. Unless said otherwise the peer's MSS is 1000,
 * it permits SACK and scales its windows by 128, and nobody uses timestamps.
 */

/** What the peer offers in its SYN. */
export interface Offer {
  readonly mss?: number;
  readonly sack?: boolean;
  readonly timestamps?: boolean;
  /** Window scale, -1 for none. */
  readonly scale?: number;
  /** The window field of the segment that ends the handshake. */
  readonly win?: number;
  readonly listen?: string;
}

function options(offer: Offer, stamp: string): string {
  const { mss = 1000, sack = true, timestamps = false, scale = 7 } = offer;
  const list = [`mss ${mss}`];
  if (sack) list.push("sackOK");
  if (timestamps) list.push(stamp);
  if (scale >= 0) list.push("nop", `wscale ${scale}`);
  return list.join(",");
}

/** The peer has connected to us. */
export function passive(offer: Offer = {}): string {
  const stamp = offer.timestamps ? " <TS val 100 ecr 0>" : "";
  const { win = 512, scale = 7 } = offer;
  const synWindow = Math.min(win << Math.max(scale, 0), 65_535);
  return `
    listen ${offer.listen ?? ""}
    < S 0:0(0) win ${synWindow} <${options(offer, "TS val 100 ecr 0")}>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win ${win}${stamp}
    = connected
  `;
}

/** The same with a round trip of 100 ms, which the handshake has measured: SRTT 100, RTO 300 ms. */
export function measured(offer: Offer = {}): string {
  return passive(offer).replace("< . 1:1(0) ack 1", "+.1 < . 1:1(0) ack 1");
}

/** We have connected to the peer. The window of a SYN-ACK is not scaled. */
export function active(offer: Offer = {}): string {
  const { win = 512, scale = 7 } = offer;
  const synWindow = Math.min(win << Math.max(scale, 0), 65_535);
  return `
    connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win ${synWindow} <${options(offer, "TS val 100 ecr 0")}>
    > . 1:1(0) ack 1
    = connected
  `;
}

/** A connection in each of the eleven states; `Established` is a passive one. */
export const STATES: Readonly<Record<string, string>> = {
  Closed: "",
  Listen: "listen",
  SynSent: `
    connect
    > S 0:0(0)
  `,
  SynReceived: `
    listen
    < S 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 7>
    > S. 0:0(0) ack 1
  `,
  Established: passive(),
  FinWait1: `
    ${passive()}
    shutdown
    > F. 1:1(0) ack 1
  `,
  FinWait2: `
    ${passive()}
    shutdown
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2 win 512
  `,
  CloseWait: `
    ${passive()}
    < F. 1:1(0) ack 1 win 512
    > . 1:1(0) ack 2
  `,
  Closing: `
    ${passive()}
    shutdown
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 1 win 512
    > . 2:2(0) ack 2
  `,
  LastAck: `
    ${passive()}
    < F. 1:1(0) ack 1 win 512
    > . 1:1(0) ack 2
    shutdown
    > F. 1:1(0) ack 2
  `,
  TimeWait: `
    ${passive()}
    shutdown
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2 win 512
    < F. 1:1(0) ack 2 win 512
    > . 2:2(0) ack 2
    = end Closed
  `,
};
