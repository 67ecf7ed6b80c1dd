/** The checksum of a datagram that stands in several pieces. */
import { checksumOf, fold16, swap16 } from "../../wire/checksum.ts";
import type { ChecksumKernel } from "../../wire/checksum_kernel.ts";
import type { InboundDatagram } from "../inbound.ts";

/** Whether the transport checksum over pseudo-header and all pieces is right. */
export function isTransportChecksumRight(
  view: DataView,
  kernel: ChecksumKernel,
  datagram: InboundDatagram,
): boolean {
  const { pieces } = datagram;
  let sum = addressSum(view, datagram) + (datagram.protocol << 8) + swap16(pieces.totalBytes);
  let isOdd = false;
  for (let i = 0; i < pieces.count; i++) {
    const piece = fold16(kernel.sum(pieces.at[i], pieces.bytes[i], 0));
    // A piece at an odd offset has its bytes in the other halves of the words (RFC 1071 section 2).
    sum += isOdd ? swap16(piece) : piece;
    if ((pieces.bytes[i] & 1) !== 0) isOdd = !isOdd;
  }
  return checksumOf(sum) === 0;
}

function addressSum(view: DataView, datagram: InboundDatagram): number {
  const { sourceAt, destinationAt, ipVersion } = datagram;
  let sum = 0;
  for (let i = 0; i < (ipVersion === 4 ? 4 : 16); i += 2) {
    sum += view.getUint16(sourceAt + i, true) + view.getUint16(destinationAt + i, true);
  }
  return sum;
}
