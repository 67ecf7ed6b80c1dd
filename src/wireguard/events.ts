/**
 * What a device tells of its handshakes: the reasons behind a tunnel that does not come up. An event
 * names peers by public key and endpoints by address; it never holds a secret.
 */
import type { EndpointBytes } from "../tables/endpoint.ts";

/** What happened; the comment says what `detail` holds where it holds anything. */
export const DeviceEventCode = {
  /** A message whose length and type do not go together; its length. */
  MessageMalformed: "message-malformed",
  /** A message made for another public key, or garbage. */
  MacInvalid: "mac-invalid",
  /** A message that was held back until its sender shows a cookie. */
  CookieReplySent: "cookie-reply-sent",
  /** A message that came too soon after others from its address, under load. */
  RateLimited: "rate-limited",
  /** An initiation that does not open: damaged, or made with a low-order point. */
  InitiationInvalid: "initiation-invalid",
  /** An initiation by a key that is no peer of ours. */
  UnknownPeer: "unknown-peer",
  /** An initiation not newer than the last one: seconds by which its stamp is older. */
  TimestampReplayed: "timestamp-replayed",
  /** An initiation within 20 ms of the last one. */
  InitiationTooSoon: "initiation-too-soon",
  /** An initiation that was answered. */
  InitiationAnswered: "initiation-answered",
  /** A response or cookie reply to a handshake that is not under way. */
  ReceiverUnknown: "receiver-unknown",
  /** A response that does not open: most likely the preshared keys differ. */
  ResponseInvalid: "response-invalid",
  /** A cookie reply that does not open. */
  CookieInvalid: "cookie-invalid",
  /** A cookie that the next message will carry: the peer is under load. */
  CookieAccepted: "cookie-accepted",
  /** An initiation was sent; retries before it. */
  InitiationSent: "initiation-sent",
  /** No reply came in time; retries so far. */
  NoReply: "no-reply",
  /** No reply came to any try; tries in all. */
  GaveUp: "gave-up",
  /** Data was sent and nothing has come back; seconds since. */
  StoppedHearing: "stopped-hearing",
  /** A session can be used: 1 when we began it. */
  SessionEstablished: "session-established",
  /** The keys of the peer were wiped: there was no handshake for long enough. */
  KeysZeroed: "keys-zeroed",
  /** A handshake is wanted, but nobody knows where the peer is. */
  NoEndpoint: "no-endpoint",
  /** A handshake is wanted, but no private key is set. */
  NoPrivateKey: "no-private-key",
  /** The peer's public key is a low-order point: no handshake can succeed. */
  PeerKeyUnusable: "peer-key-unusable",
  /** All keypair slots are taken. */
  NoKeypairSlot: "no-keypair-slot",
  /** Our own wall clock has jumped back; seconds by which it is behind our last stamp. */
  WallClockBehind: "wall-clock-behind",
  /** An allowed IP went from this peer to another one. */
  AllowedIpMoved: "allowed-ip-moved",
  /** A change to a peer was ignored: its public key is our own. */
  OwnKeyIgnored: "own-key-ignored",
  PeerAdded: "peer-added",
  PeerRemoved: "peer-removed",
} as const;

/** One of the values of `DeviceEventCode`. */
export type DeviceEventCode = (typeof DeviceEventCode)[keyof typeof DeviceEventCode];

/** Something that happened to a handshake or to the configuration. */
export interface DeviceEvent {
  readonly code: DeviceEventCode;
  /** CLOCK_BOOTTIME. */
  readonly atMs: number;
  /** The peer's slot, -1 when it is none of ours. */
  readonly peer: number;
  /** The public key concerned, where one is known. */
  readonly publicKey: Uint8Array | null;
  /** Where the message came from, for messages. Not to be kept: copy it. */
  readonly from: EndpointBytes | null;
  /** As the code says. */
  readonly detail: number;
}

const C = DeviceEventCode;

const explanations: Record<DeviceEventCode, (detail: number) => string> = {
  [C.MessageMalformed]: (n) => `a handshake message of ${n} bytes is malformed`,
  [C.MacInvalid]: () => "a message was not made for this node's public key (wrong mac1)",
  [C.CookieReplySent]: () => "under load: asked the sender to prove its address with a cookie",
  [C.RateLimited]: () => "under load: too many handshakes from this address",
  [C.InitiationInvalid]: () => "a handshake initiation does not open: damaged or forged",
  [C.UnknownPeer]: () => "a handshake from a public key that is not configured as a peer",
  [C.TimestampReplayed]: (n) =>
    n > 0
      ? `a handshake stamped ${n} s before the last one: the peer's clock may have jumped back ` +
        "(restart this node's peer entry or correct the clock), or somebody replays old messages"
      : "a handshake that has been seen before: a duplicate or a replay",
  [C.InitiationTooSoon]: () => "handshakes of this peer come too fast",
  [C.InitiationAnswered]: () => "answered a handshake; waiting for the peer's first packet",
  [C.ReceiverUnknown]: () => "a reply to a handshake that is not under way: late or forged",
  [C.ResponseInvalid]: () => "a handshake response does not open: the preshared keys may differ",
  [C.CookieInvalid]: () => "a cookie reply does not open: late or forged",
  [C.CookieAccepted]: () => "the peer is under load; the next handshake carries its cookie",
  [C.InitiationSent]: (n) => n === 0 ? "began a handshake" : `began a handshake, retry ${n}`,
  [C.NoReply]: (n) => `no reply to a handshake after ${n + 1} tries`,
  [C.GaveUp]: (n) =>
    `gave up after ${n} handshakes without a reply: the peer is down, unreachable at its ` +
    "endpoint, or does not know this node's public key",
  [C.StoppedHearing]: (n) => `data was sent, and nothing has come back for ${n} s`,
  [C.SessionEstablished]: (n) =>
    n === 1 ? "a session was established by this node" : "a session was established by the peer",
  [C.KeysZeroed]: () => "session keys were wiped: no handshake for 540 s",
  [C.NoEndpoint]: () => "a handshake is wanted, but the peer's endpoint is not known",
  [C.NoPrivateKey]: () => "a handshake is wanted, but no private key is set",
  [C.PeerKeyUnusable]: () => "the peer's public key is not usable (a low-order point)",
  [C.NoKeypairSlot]: () => "all session slots are in use",
  [C.WallClockBehind]: (n) =>
    `this node's clock is ${n} s behind the last timestamp it gave out: it has jumped back`,
  [C.AllowedIpMoved]: () => "an allowed IP of this peer was given to another peer",
  [C.OwnKeyIgnored]: () => "a peer with this node's own public key was ignored",
  [C.PeerAdded]: () => "the peer was added",
  [C.PeerRemoved]: () => "the peer was removed",
};

/** An event in words, without the peer and the address. */
export function explainDeviceEvent(event: DeviceEvent): string {
  return explanations[event.code](event.detail);
}
