/** Between `SocketAddress` of the configuration and the endpoint record of the tables. */
import {
  AF_INET,
  AF_INET6,
  ENDPOINT_BYTES,
  ENDPOINT_SOCKADDR_LENGTH,
  type EndpointBytes,
} from "../tables/endpoint.ts";
import type { SocketAddress } from "./configuration.ts";

const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The endpoint record of an address, without a sticky source. */
export function encodeEndpoint(address: SocketAddress): EndpointBytes {
  const record = new Uint8Array(ENDPOINT_BYTES);
  const view = viewOf(record);
  view.setUint16(2, address.port);
  if (address.address.length === 4) {
    view.setUint16(0, AF_INET, true);
    record.set(address.address, 4);
    view.setUint32(ENDPOINT_SOCKADDR_LENGTH, SOCKADDR_IN_BYTES, true);
  } else {
    view.setUint16(0, AF_INET6, true);
    record.set(address.address, 8);
    view.setUint32(24, address.scopeId ?? 0, true);
    view.setUint32(ENDPOINT_SOCKADDR_LENGTH, SOCKADDR_IN6_BYTES, true);
  }
  return record;
}

/** The address in an endpoint record, null when the record is empty. */
export function decodeEndpoint(record: EndpointBytes): SocketAddress | null {
  const view = viewOf(record);
  const port = view.getUint16(2);
  switch (view.getUint32(ENDPOINT_SOCKADDR_LENGTH, true)) {
    case SOCKADDR_IN_BYTES:
      return { address: record.slice(4, 8), port };
    case SOCKADDR_IN6_BYTES: {
      const scopeId = view.getUint32(24, true);
      const address = record.slice(8, 24);
      return scopeId === 0 ? { address, port } : { address, port, scopeId };
    }
    default:
      return null;
  }
}
