/** ICMP errors on their way through this node: what of them a peer is told. */
import type { FlowError } from "../netstack/flow_errors.ts";
import { IcmpType, IcmpUnreachable, Icmpv6Type } from "../wire/icmp.ts";
import type { HostError } from "./host_sockets.ts";

/** "Fragmentation needed" or "packet too big". */
export function tooBig(ipVersion: number, mtu: number): Omit<FlowError, "from"> {
  return ipVersion === 4
    ? {
      type: IcmpType.DestinationUnreachable,
      code: IcmpUnreachable.FragmentationNeeded,
      rest: Math.min(mtu, 0xffff),
    }
    : { type: Icmpv6Type.PacketTooBig, code: 0, rest: mtu };
}

/** The error as the peer is to see it: from who has sent it. Null for one that means nothing to it. */
export function passedError(ipVersion: number, error: HostError): FlowError | null {
  const { isIcmp, type, code, mtu, from } = error;
  if (!isIcmp || !isPassed(ipVersion, type)) return null;
  const isTooBig = ipVersion === 4
    ? type === IcmpType.DestinationUnreachable && code === IcmpUnreachable.FragmentationNeeded
    : type === Icmpv6Type.PacketTooBig;
  return isTooBig ? { ...tooBig(ipVersion, mtu), from } : { type, code, rest: 0, from };
}

function isPassed(ipVersion: number, type: number): boolean {
  return ipVersion === 4
    ? type === IcmpType.DestinationUnreachable || type === IcmpType.TimeExceeded
    : type === Icmpv6Type.DestinationUnreachable || type === Icmpv6Type.PacketTooBig ||
      type === Icmpv6Type.TimeExceeded;
}
