/** Segments that carry nothing but what they say: ACK and RST. */
import { TcpFlag } from "../../wire/tcp.ts";
import { SACK_BLOCKS_MAX } from "./reassembly.ts";
import type { Sender } from "./sender.ts";

/** Sends an ACK of all that was received; false when the link is full. */
export function sendAck(sender: Sender, nowMs: number): boolean {
  const { receiver, writer } = sender;
  const { reassembly } = receiver;
  if (writer.output.isFull) return false;
  const blocksMax = writer.hasTimestamps ? SACK_BLOCKS_MAX - 1 : SACK_BLOCKS_MAX;
  const count = writer.hasSack ? reassembly.takeSackBlocks(blocksMax) : 0;
  const flags = TcpFlag.Ack | sender.ecn.echoFlag;
  const { sndNxt } = sender;
  const { rcvNxt } = receiver;
  const window = receiver.windowField();
  const { blocks } = reassembly;
  const isSent = writer.send(sndNxt, rcvNxt, flags, window, 0, 0, 0, blocks, count, nowMs);
  if (isSent) receiver.onAckSent();
  return isSent;
}

/** Sends the RST that ends a connection; it is lost when the link is full. */
export function sendReset(sender: Sender, nowMs: number): void {
  const { receiver, sndNxt, writer } = sender;
  const flags = TcpFlag.Rst | TcpFlag.Ack;
  const { blocks } = receiver.reassembly;
  writer.send(sndNxt, receiver.rcvNxt, flags, 0, 0, 0, 0, blocks, 0, nowMs);
}

/** RFC 9293 section 3.10.7: an ACK of what was never sent, before the connection is synchronized. */
export function refuseAck(sender: Sender, ack: number, nowMs: number): void {
  const { blocks } = sender.receiver.reassembly;
  sender.writer.send(ack, 0, TcpFlag.Rst, 0, 0, 0, 0, blocks, 0, nowMs);
}
