/**
 * What the reference pages say of each config key and each reason for a dropped packet. The lists
 * themselves come from the code: `build_docs.ts` fails when a key or a reason has no text here, or a
 * text has no key.
 */
import { MTU_MAX, MTU_MIN, MTU_MIN_V6 } from "../src/config/mtu.ts";

/** What a value looks like, what holds without it, and what it does. */
export interface KeyText {
  readonly values: string;
  readonly without: string;
  readonly does: string;
}

function key(values: string, without: string, does: string): KeyText {
  return { values, without, does };
}

/** By section and key. Keys that are known but refused need no text. */
export const KEY_TEXTS: Readonly<Record<string, Readonly<Record<string, KeyText>>>> = {
  Interface: {
    PrivateKey: key(
      "44 characters of base64",
      "no peer can connect until one is set",
      "This end's private key, from `longhaul genkey` or `wg genkey`.",
    ),
    ListenPort: key(
      "0 to 65535",
      "the kernel picks a free port",
      "The UDP port, for IPv4 and IPv6. A port that somebody else has is an error at the start.",
    ),
    FwMark: key(
      "`off`, or a number, decimal or `0x...`",
      "none; a default route marks by itself",
      "Marks the tunnel's own datagrams, for policy routing and firewalls.",
    ),
    Address: key(
      "addresses with prefix lengths, a list",
      "none",
      "The interface's addresses. Without a length an address stands alone (/32, /128).",
    ),
    MTU: key(
      `${MTU_MIN} to ${MTU_MAX}; at least ${MTU_MIN_V6} with IPv6`,
      "the smallest MTU on the way to an endpoint, less 80",
      "The interface's MTU.",
    ),
    Table: key(
      "`auto`, `off`, a number or a name of `rt_tables`",
      "`auto`",
      "Where the routes to the AllowedIPs go. `auto`: the main table, and a table of its own for a " +
        "default route. `off`: no routes.",
    ),
    DNS: key(
      "addresses and search domains, a list",
      "name servers stay as they are",
      "Name servers for as long as the tunnel is up, through systemd-resolved or resolvconf. A " +
        "domain that begins with `~` sends only its own names there.",
    ),
    SaveConfig: key(
      "`true` or `false`",
      "`false`",
      "Writes the running configuration into the file when the tunnel ends.",
    ),
    PreUp: key("a command for bash, repeatable", "none", "Runs before the interface is made."),
    PostUp: key("a command for bash, repeatable", "none", "Runs when everything is set up."),
    PreDown: key(
      "a command for bash, repeatable",
      "none",
      "Runs before the interface goes, while it still works.",
    ),
    PostDown: key("a command for bash, repeatable", "none", "Runs when the interface has gone."),
  },
  Peer: {
    PublicKey: key("44 characters of base64", "an error", "The other end's public key."),
    PresharedKey: key(
      "44 characters of base64",
      "none",
      "A secret that both ends share, mixed into each handshake: what is recorded today stays " +
        "closed even to a quantum computer.",
    ),
    AllowedIPs: key(
      "prefixes, a list",
      "nothing is sent to or accepted from the peer",
      "What is behind the peer. A packet to one of these goes to it; a packet from it must come " +
        "from one of these. The longest prefix wins; of equal ones, the last in the file.",
    ),
    Endpoint: key(
      "`host:port`, `192.0.2.1:port`, `[2001:db8::1]:port`",
      "the peer has to call first",
      "Where the peer is. A name is looked up again when the peer does not answer; one that cannot " +
        "be resolved is tried again, and the tunnel comes up without it.",
    ),
    PersistentKeepalive: key(
      "`off`, or seconds from 1 to 65535",
      "`off`",
      "Sends an empty packet that often, so that a NAT on the way keeps its entry. 25 suits most.",
    ),
    NatAddress: key(
      "`10.9.0.7`, `fd00::7`: addresses, a list, one of each family at most",
      "the peer knows us by our own addresses",
      "By which address this peer knows us, where its network has given us another one. Our first " +
        "`Address` of that family is translated to it in what goes to the peer, and back in what " +
        "comes from it; the peer has it among its AllowedIPs. It covers TCP, UDP, ICMP and what " +
        "errors quote.",
    ),
  },
  Longhaul: {
    Mode: key(
      "`auto`, `tun`, `rootless` or `hybrid`",
      "`auto`",
      "Which kind of node this is: with an interface of the kernel (`tun`), with a stack of its " +
        "own, for which it needs no rights (`rootless`), or with an interface and a stack for what " +
        "`Serve` and `Netstack` name (`hybrid`). `auto` makes an interface where it can, with the " +
        "stack where there is something to serve.",
    ),
    Lanes: key(
      "`1` to `16`, or `auto`",
      "`auto`: one for every four cores, and not more than peers",
      "Threads among which the peers are divided, each with a queue of the interface and sockets " +
        "of its own. More than one helps only where several peers are busy at once. It is read " +
        "when the interface is made; a node with a userspace stack has one. `up --lanes` comes " +
        "before it. Beyond two cores what `auto` takes is not measured.",
    ),
    Encryptors: key(
      "`0` to `16`, or `auto`",
      "`auto`: two less than there are cores, but at most 2",
      "`0` seals and opens packets in the data plane's own thread, a number in so many others, which " +
        "share the work of one data plane thread; packets stay in order. `up --encryptors` comes " +
        "before it. What `auto` takes beyond two cores is the choice of a model (docs/scaling.md), " +
        "not of a measurement.",
    ),
    SocketBuffer: key(
      "64K to 1G",
      "2M",
      "Bytes of each UDP socket's buffer, per direction. More adds latency under load.",
    ),
    Offload: key(
      "words, a list: `no-udp-gso`, `no-udp-gro`, `no-tun-tso`, `no-tun-uso`, `no-tun-gro`",
      "all offloads that the kernel has",
      "Offloads to switch off, for a driver that has trouble with one.",
    ),
    LocalServices: key(
      "a list: `22`, `5000-5010`, `udp:53`, `8080:127.0.0.1:3000`, `80:[fd00::5]:80`",
      "peers reach nothing on this host",
      "Only for `rootless`: ports that peers may reach at the tunnel's addresses, TCP unless `udp:` " +
        "stands before them. Without an address they lead to the same port of this host's loopback. " +
        "What listens there sees the connection come from this host, so it must not trust it more " +
        "than the peers. `dns` is port 53 of both transports, and leads to this host's name servers.",
    ),
    Serve: key(
      "prefixes, a list: `192.168.0.0/16`, `0.0.0.0/0, ::/0`",
      "peers reach nothing behind this node",
      "What peers reach through this node: networks of its host, or everything. They need the same " +
        "prefixes in the AllowedIPs that they have for this node; `peer add` writes them there. " +
        "Hosts see the connections come from this one. This host itself, what belongs to other " +
        "peers, loopback and link-local addresses are not reached by a wider prefix, only by one " +
        "that lies within them (`192.168.1.5/32`). Pings take a group of net.ipv4.ping_group_range.",
    ),
    Netstack: key(
      "prefixes, a list",
      "none",
      "`Serve` of a node that has an interface too, by another name: packets from peers to these " +
        "prefixes go to the userspace stack and not to the kernel, which need not forward.",
    ),
    Allow: key(
      "rules, a list: `in tcp 22 from 10.0.0.2`, `out udp 53`, `any`",
      "what no rule matches is allowed",
      "Lets packets pass that a later `Deny` would stop; the first rule that matches decides. A rule " +
        "is words in any order: `in` (from peers) or `out` (of this host), a protocol (`tcp`, `udp`, " +
        "`icmp`, `icmpv6`, `proto 47`), `from PREFIX`, `to PREFIX`, a prefix alone for the other " +
        "end, a destination port or range. Rules have no memory: answers go the other way. The " +
        "userspace stack's own packets leave unasked.",
    ),
    Deny: key(
      "rules as for `Allow`: `in to 192.168.0.0/16`, `in tcp 25`",
      "nothing is denied",
      "Stops packets without a word. `Allow = in to 192.168.1.9` and then `Deny = in to " +
        "192.168.0.0/16` show peers one host of a network that `Serve` would show them whole.",
    ),
  },
};

/** By the names of `DropReason`. */
export const DROP_TEXTS: Readonly<Record<string, string>> = {
  VnetHeaderTruncated: "A read of the TUN was shorter than the header before each packet.",
  VnetTypeUnknown: "A super-packet of a kind that this program did not ask for.",
  VnetMismatch: "The header before a packet does not fit the packet.",
  IpTruncated: "An IP packet shorter than its own headers say.",
  IpVersionUnknown: "Neither IPv4 nor IPv6.",
  GsoSizeZero: "A super-packet without a size for its parts.",
  GsoHeaderInvalid: "A super-packet whose TCP or UDP header is damaged.",
  NoRoute: "No peer has the packet's destination in its AllowedIPs.",
  NoEndpoint: "The packet's peer has no endpoint yet: it has to call first.",
  NoKeypair: "The packet waited for a handshake that did not come about.",
  StagedOverflow: "Too many packets waited for a handshake; the oldest went.",
  NoBuffer: "All send buffers were in use.",
  SendFailed: "The kernel refused the datagram for good: no route, or a firewall.",
  MessageInvalid: "A datagram that is no WireGuard message.",
  ReceiverUnknown: "Data for a session that does not exist, or not any more.",
  KeypairExpired: "Data under a key older than 180 seconds.",
  AuthenticationFailed: "A message whose tag is wrong: damaged or forged.",
  Replayed: "A message that has come before, or is too late to tell.",
  InnerIpInvalid: "A peer sent something that is no IP packet.",
  SourceNotAllowed: "A peer sent a packet from an address outside its AllowedIPs.",
  HandshakeQueueFull: "More handshakes than can be answered: a flood, most likely.",
  TunWriteFailed: "The kernel did not take a packet: the interface is down, most likely.",
  CounterTooLarge: "A message number beyond all bounds.",
  PeerRemoved: "A packet that was under way when its peer was removed.",
  MacInvalid: "A handshake that was not made for this node's public key.",
  HandshakeInvalid: "A handshake that does not open, or comes from nobody known.",
  PacketTooLong: "A packet longer than a message can carry.",
  TunReadFailed: "A read of the TUN failed.",
  RoutingLoop:
    "A message of ours came back to be sent once more: the route to the peer's endpoint " +
    "leads into the tunnel.",
  Ipv4ChecksumInvalid: "A wrong checksum of the IPv4 header.",
  Ipv4OptionsRefused: "IPv4 options that are damaged, or ask for a route of the sender's choice.",
  Ipv6ExtensionsRefused: "IPv6 extension headers that are damaged, too many or not understood.",
  IpSourceInvalid: "A source that cannot be one other host: loopback, multicast, our own.",
  IpDestinationForeign: "A destination that the userspace stack does not answer for.",
  HopLimitExceeded: "The packet had come too far: its hop limit was used up.",
  ProtocolUnknown: "A protocol other than TCP, UDP and ICMP.",
  FragmentInvalid: "A fragment with an impossible place or length.",
  FragmentOverlap: "A fragment that contradicts another one of its packet.",
  FragmentQuota: "Fragments that had to make room for others.",
  FragmentTimeout: "Fragments whose packet was never completed.",
  TransportTruncated: "Shorter than its TCP, UDP or ICMP header says.",
  TransportChecksumInvalid: "A wrong checksum of TCP, UDP or ICMP.",
  IcmpIgnored: "ICMP of a kind that is not answered.",
  IcmpErrorUnmatched: "An ICMP error about a packet that was not sent from here: forged, maybe.",
  IcmpRateLimited: "An ICMP error of ours that was held back: there were too many.",
  PortUnreachable: "UDP to a port where nobody listens.",
  UdpFlowsFull: "UDP while there were too many flows.",
  LinkFull: "A packet of the userspace stack that found no room on the way out.",
  LinkClosed: "A packet of the userspace stack while the node was ending.",
  FlowLimit:
    "A new flow beyond what one peer, or all of them, may have, or what this host can open.",
  NotOffered: "To a port that is not among the LocalServices.",
  FilterDenied: "Refused by a rule of the filter.",
  HostSocketFull: "UDP to a local service that did not read fast enough.",
  TcpUnmatched: "TCP of no connection, or to a port where nobody listens; answered by a reset.",
  TcpHalfOpenFull: "A connection while too many others were only half made: a flood, most likely.",
  TcpConnectionsFull: "A connection while there were too many, or too little memory for more.",
  DestinationProhibited: "To an address that Serve covers but that must be named by itself: this " +
    "host, another peer, loopback, link-local.",
  DestinationUnreachable: "To a destination that could not be reached in time.",
  SocketOverflow:
    "The UDP socket's buffer was full, so the kernel has thrown datagrams away (a run that it had " +
    "merged counts once): peers send faster than this machine opens packets. See SocketBuffer.",
  LaneChanged:
    "Packets that waited, or were half sent, when their destination became a peer's of another " +
    "lane.",
  QueueDelay:
    "A TCP segment that its sender misses, and so slows down: the UDP socket's queue stood for " +
    "too long. A few of these under full load keep everything else quick; packets with ECN are " +
    "marked instead (`CongestionMarks`).",
};
