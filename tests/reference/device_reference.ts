/** A device as its configuration protocol describes it, without anything clever: for comparison. */
import { isZero, toHex } from "../../src/wireguard/bytes.ts";
import type {
  DeviceChange,
  DeviceStatus,
  PeerChange,
  Prefix,
  SocketAddress,
} from "../../src/wireguard/configuration.ts";

interface ReferencePeer {
  readonly publicKey: Uint8Array;
  presharedKey: Uint8Array;
  endpoint: SocketAddress | null;
  keepaliveSeconds: number;
  /** Grows with each life of the peer: a peer that is removed and added again is another one. */
  readonly life: number;
}

/** Peers, and which of them has each prefix. */
export class DeviceReference {
  privateKey: Uint8Array | null = null;
  listenPort = 0;
  fwmark = 0;
  #peers = new Map<string, ReferencePeer>();
  #owners = new Map<string, { prefix: Prefix; owner: string }>();
  #lives = 0;

  apply(change: DeviceChange): void {
    if (change.privateKey !== undefined) {
      this.privateKey = isZero(change.privateKey) ? null : change.privateKey.slice();
    }
    this.listenPort = change.listenPort ?? this.listenPort;
    this.fwmark = change.fwmark ?? this.fwmark;
    if (change.replacePeers) {
      this.#peers.clear();
      this.#owners.clear();
    }
    for (const peer of change.peers) this.#applyPeer(peer);
  }

  status(): DeviceStatus {
    return {
      privateKey: this.privateKey,
      listenPort: this.listenPort,
      fwmark: this.fwmark,
      peers: Array.from(this.#peers, ([key, peer]) => ({
        ...peer,
        lastHandshakeWallNs: 0n,
        rxBytes: 0,
        txBytes: 0,
        allowedIps: [...this.#owners.values()].filter(({ owner }) => owner === key)
          .map(({ prefix }) => prefix),
      })),
    };
  }

  /** Which life of the peer with a public key this is; 0 for none. */
  lifeOf(publicKey: Uint8Array): number {
    return this.#peers.get(toHex(publicKey))?.life ?? 0;
  }

  #applyPeer(change: PeerChange): void {
    const key = toHex(change.publicKey);
    const disown = () => {
      for (const [text, { owner }] of this.#owners) if (owner === key) this.#owners.delete(text);
    };
    if (change.remove) {
      disown();
      this.#peers.delete(key);
      return;
    }
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      if (change.updateOnly) return;
      peer = {
        publicKey: change.publicKey,
        presharedKey: new Uint8Array(32),
        endpoint: null,
        keepaliveSeconds: 0,
        life: ++this.#lives,
      };
      this.#peers.set(key, peer);
    }
    peer.presharedKey = change.presharedKey?.slice() ?? peer.presharedKey;
    peer.endpoint = change.endpoint ?? peer.endpoint;
    peer.keepaliveSeconds = change.keepaliveSeconds ?? peer.keepaliveSeconds;
    if (change.replaceAllowedIps) disown();
    for (const { address, bits, remove } of change.allowedIps) {
      const text = `${address.join(".")}/${bits}`;
      if (!remove) this.#owners.set(text, { prefix: { address, bits }, owner: key });
      else if (this.#owners.get(text)?.owner === key) this.#owners.delete(text);
    }
  }
}
