/**
 * The states of a TCP connection and the ways between them (RFC 9293 section 3.3.2, figure 5).
 * `Connection` has the only place that changes a state, and it asks here first.
 */

/** The eleven states. */
export const TcpState = {
  Closed: 0,
  Listen: 1,
  SynSent: 2,
  SynReceived: 3,
  Established: 4,
  FinWait1: 5,
  FinWait2: 6,
  CloseWait: 7,
  Closing: 8,
  LastAck: 9,
  TimeWait: 10,
} as const;
/** One of the values of `TcpState`. */
export type TcpState = (typeof TcpState)[keyof typeof TcpState];

const names = Object.keys(TcpState);

/** The name of a state, as status prints it. */
export function tcpStateName(state: TcpState): string {
  return names[state];
}

/**
 * Where each state may go. Every state may go to Closed, by RST, timeout or abort. A listener never
 * changes: its connections begin in SynReceived. SynSent goes to SynReceived by a simultaneous open.
 * A connection from a SYN cookie is Established when it begins.
 */
export const TCP_TRANSITIONS: Readonly<Record<TcpState, readonly TcpState[]>> = {
  [TcpState.Closed]: [TcpState.SynSent, TcpState.SynReceived, TcpState.Established],
  [TcpState.Listen]: [TcpState.Closed],
  [TcpState.SynSent]: [TcpState.Established, TcpState.SynReceived, TcpState.Closed],
  [TcpState.SynReceived]: [
    TcpState.Established,
    TcpState.FinWait1,
    TcpState.CloseWait,
    TcpState.Closed,
  ],
  [TcpState.Established]: [TcpState.FinWait1, TcpState.CloseWait, TcpState.Closed],
  [TcpState.FinWait1]: [
    TcpState.FinWait2,
    TcpState.Closing,
    TcpState.TimeWait,
    TcpState.Closed,
  ],
  [TcpState.FinWait2]: [TcpState.TimeWait, TcpState.Closed],
  [TcpState.CloseWait]: [TcpState.LastAck, TcpState.Closed],
  [TcpState.Closing]: [TcpState.TimeWait, TcpState.Closed],
  [TcpState.LastAck]: [TcpState.Closed],
  [TcpState.TimeWait]: [TcpState.Closed],
};

const bits = new Uint16Array(names.length);
for (const [from, list] of Object.entries(TCP_TRANSITIONS)) {
  for (const to of list) bits[Number(from)] |= 1 << to;
}

/** Whether a connection may go from one state to the other. */
export function canGo(from: TcpState, to: TcpState): boolean {
  return (bits[from] & (1 << to)) !== 0;
}

/** Whether the other end has acknowledged our SYN. */
export function isSynchronized(state: TcpState): boolean {
  return state >= TcpState.Established;
}
