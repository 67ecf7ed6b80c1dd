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
  // What the userspace stack refused on the way in.
  /** A checksum of the IPv4 header that is wrong. */
  Ipv4ChecksumInvalid: 31,
  /** Options of IPv4 that are malformed, or ask for source routing. */
  Ipv4OptionsRefused: 32,
  /** Extension headers that are malformed, misplaced, too many, or ask for what is not done. */
  Ipv6ExtensionsRefused: 33,
  /** A source that is not one other host: loopback, multicast, unspecified, broadcast, our own. */
  IpSourceInvalid: 34,
  /** A destination that the stack does not serve. */
  IpDestinationForeign: 35,
  /** A packet to be forwarded whose TTL or hop limit is used up. */
  HopLimitExceeded: 36,
  ProtocolUnknown: 37,
  /** A fragment with an impossible place or length, or a first one without its transport header. */
  FragmentInvalid: 38,
  /** A fragment that contradicts another: the whole datagram is forgotten. */
  FragmentOverlap: 39,
  /** Fragments of a datagram that gave way to others. */
  FragmentQuota: 40,
  /** Fragments of a datagram that was not completed in time. */
  FragmentTimeout: 41,
  /** Shorter than its ICMP, UDP or TCP header, or than the length in it. */
  TransportTruncated: 42,
  /** A wrong checksum of ICMP, UDP or TCP. */
  TransportChecksumInvalid: 43,
  /** ICMP of a type that is not answered. */
  IcmpIgnored: 44,
  /** An ICMP error about a packet that we have not sent, or with an impossible MTU. */
  IcmpErrorUnmatched: 45,
  /** An ICMP error of ours that the rate limit held back. */
  IcmpRateLimited: 46,
  /** UDP to a port where nobody listens. */
  PortUnreachable: 47,
  /** UDP flows beyond their limit. */
  UdpFlowsFull: 48,
  /** UDP or ICMP of ours while the link endpoint was full. */
  LinkFull: 49,
  /** Handed to a link endpoint that is closed, or waiting in it when it was closed. */
  LinkClosed: 50,
  /** A flow beyond what one client, or all of them, may have open to this host. */
  FlowLimit: 51,
  /** To a port that is not among the local services. */
  NotOffered: 52,
  /** Refused by a rule of the filter. */
  FilterDenied: 53,
  /** UDP to a local service whose socket was full, or that took no datagram of that length. */
  HostSocketFull: 54,
  /** TCP segments of no connection, for a port where nobody listens; answered with RST. */
  TcpUnmatched: 55,
  /** SYNs while too many connections are half open, in all or of that one host. */
  TcpHalfOpenFull: 56,
  /** SYNs while there are too many connections, or too little memory for more. */
  TcpConnectionsFull: 57,
  /** To a destination that could be reached from here but is not to be: our own host, a peer. */
  DestinationProhibited: 58,
  /** A connection or an echo to a destination that could not be reached in time. */
  DestinationUnreachable: 59,
  /** Datagrams of peers that found the UDP socket's buffer full: thrown away by the kernel. */
  SocketOverflow: 60,
  /** On the way between lanes, staged or half sent, when their destination became another lane's. */
  LaneChanged: 61,
  /** One packet of many, so that its sender slows down: the UDP socket's queue stood for too long. */
  QueueDelay: 62,
} as const;

/** One of the values of `DropReason`. */
export type DropReason = (typeof DropReason)[keyof typeof DropReason];

/** Room for every reason, with space to grow. */
export const DROP_REASON_COUNT = 128;

const names = Object.fromEntries(
  Object.entries(DropReason).map(([name, number]) => [number, name]),
) as Record<number, string>;

/** The name of a reason as status and logs print it. */
export function dropReasonName(reason: number): string {
  return names[reason] ?? `reason ${reason}`;
}
