/** What the kernel says when it refuses a netlink request. */
import { Errno } from "../src/base/errno.ts";
import { SystemCallError } from "./error.ts";
import {
  AttributeTable,
  ErrorAttribute,
  NetlinkControl,
  NetlinkFlag,
  type NetlinkReader,
  NlMsgErr,
  NlMsgHdr,
} from "./netlink_message.ts";

const PERMISSION_FIX = "Run as root or with CAP_NET_ADMIN.";

/** A request that the kernel refused; `call` says which, such as `RTM_NEWLINK 7`. */
export class NetlinkError extends SystemCallError {
  override name = "NetlinkError";

  /** `kernelMessage` is what the kernel says about the refusal, or an empty string. */
  constructor(call: string, errno: number, readonly kernelMessage = "") {
    super(call, errno, errno === Errno.EPERM ? PERMISSION_FIX : undefined);
    if (kernelMessage !== "") this.message += `. The kernel says: ${kernelMessage}`;
  }
}

const errorAttributes = new AttributeTable(ErrorAttribute.NLMSGERR_ATTR_MISS_TYPE);

/** The errno of the reader's NLMSG_ERROR or NLMSG_DONE message, 0 for success. */
export function errorNumber(reader: NetlinkReader): number {
  return reader.holds(4) ? -reader.view.getInt32(reader.bodyAt + NlMsgErr.error, true) : Errno.EIO;
}

/** The words that the kernel has put behind the reader's NLMSG_ERROR or NLMSG_DONE message. */
export function errorWords(reader: NetlinkReader): string {
  if ((reader.flags & NetlinkFlag.NLM_F_ACK_TLVS) === 0) return "";
  let from = reader.bodyAt + 4;
  if (reader.type === NetlinkControl.NLMSG_ERROR) {
    if (!reader.holds(NlMsgErr.size)) return "";
    const request = reader.bodyAt + NlMsgErr.msg;
    const capped = (reader.flags & NetlinkFlag.NLM_F_CAPPED) !== 0;
    const length = capped
      ? NlMsgHdr.size
      : reader.view.getUint32(request + NlMsgHdr.nlmsg_len, true);
    if (length > reader.endAt - request) return "";
    from = request + ((length + 3) & ~3);
  }
  errorAttributes.parseRange(reader, from, reader.endAt);
  const words = errorAttributes.text(ErrorAttribute.NLMSGERR_ATTR_MSG, "");
  if (words !== "") return words;
  const missing = errorAttributes.u32(ErrorAttribute.NLMSGERR_ATTR_MISS_TYPE, 0);
  if (missing !== 0) return `attribute ${missing} is missing`;
  const offset = errorAttributes.u32(ErrorAttribute.NLMSGERR_ATTR_OFFS, 0);
  return offset === 0 ? "" : `the attribute at byte ${offset} is invalid`;
}

/** Throws the `NetlinkError` of the reader's NLMSG_ERROR or NLMSG_DONE message unless it says success. */
export function throwRefusal(call: string, reader: NetlinkReader): void {
  const errno = errorNumber(reader);
  if (errno !== 0) throw new NetlinkError(call, errno, errorWords(reader));
}
