/** A node without an interface in this process, for tunnels over loopback: what demo and bench run. */
import type { Log } from "../base/log.ts";
import { ALL_OFFLOADS } from "../config/offload.ts";
import { PeerNames } from "../control/peer_names.ts";
import { DEFAULT_SESSION_LIMITS } from "../lane/limits.ts";
import type { StackConfig } from "../worker/stack_config.ts";
import { sendMessagesMax, SOCKET_BUFFER_BYTES } from "./daemon.ts";
import { NodeProcess } from "./node_process.ts";

/** How it is to work. */
export interface LoopbackNodeOptions {
  readonly name: string;
  readonly stack: StackConfig;
  /** 0: seal and open inside the lane. */
  readonly encryptors: number;
  /** Whether datagrams leave many at a time (UDP_SEGMENT); false: each by itself. */
  readonly udpGso: boolean;
  readonly log: Log;
  /** Called with the reason when it ends by itself. */
  readonly onEnd: (reason: string) => void;
}

/** Starts it; it has no key, peer or socket yet. */
export async function startLoopbackNode(options: LoopbackNodeOptions): Promise<NodeProcess> {
  const { name, stack, encryptors, udpGso, log, onEnd } = options;
  const node = new NodeProcess({
    interfaceName: name,
    tun: null,
    stack,
    encryptors,
    socketBufferBytes: SOCKET_BUFFER_BYTES,
    sendMessagesMax: sendMessagesMax({ ...ALL_OFFLOADS, udpGso }),
    udpGro: true,
    tunGro: { tcp: true, udp: false },
    limits: DEFAULT_SESSION_LIMITS,
    fault: "",
    log,
    peerNames: new PeerNames(),
    onEnd,
  });
  await node.running();
  return node;
}
