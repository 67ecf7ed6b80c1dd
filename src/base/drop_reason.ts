/**
 * Why a packet was not delivered. A bad packet is a counted reason, never an exception.
 *
 * The numbers index the drop counters of a lane (`LaneCounters`), so new reasons go to the end of
 * their list and `DROP_REASON_COUNT` bounds them all. Zero means "not dropped".
 */
export const DropReason = {
  None: 0,
  // What came out of the TUN or the netstack.
  VnetHeaderTruncated: 1,
  VnetTypeUnknown: 2,
  VnetMismatch: 3,
  IpTruncated: 4,
  IpVersionUnknown: 5,
  GsoSizeZero: 6,
  GsoHeaderInvalid: 7,
  NoRoute: 8,
  NoEndpoint: 9,
  NoKeypair: 10,
  StagedOverflow: 11,
  NoBuffer: 12,
  SendFailed: 13,
  // What came from the network.
  /** Of no type that WireGuard knows, or not of its type's length. */
  MessageInvalid: 14,
  ReceiverUnknown: 16,
  KeypairExpired: 17,
  AuthenticationFailed: 18,
  Replayed: 19,
  InnerIpInvalid: 20,
  SourceNotAllowed: 21,
  HandshakeQueueFull: 22,
  TunWriteFailed: 23,
  CounterTooLarge: 24,
  PeerRemoved: 25,
  MacInvalid: 26,
  HandshakeInvalid: 27,
  PacketTooLong: 28,
  TunReadFailed: 29,
  /** A message that we have sealed for the peer came back to be sealed for it again. */
  RoutingLoop: 30,
} as const;

/** One of the values of `DropReason`. */
export type DropReason = (typeof DropReason)[keyof typeof DropReason];

/** Room for every reason, with space to grow. */
export const DROP_REASON_COUNT = 64;

const names = Object.fromEntries(
  Object.entries(DropReason).map(([name, number]) => [number, name]),
) as Record<number, string>;

/** The name of a reason as status and logs print it. */
export function dropReasonName(reason: number): string {
  return names[reason] ?? `reason ${reason}`;
}
