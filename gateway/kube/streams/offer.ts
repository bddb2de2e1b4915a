/** Parses the offer of a client that wants to change the protocol. Tested in ../streaming.test.ts. */
import type { IncomingMessage } from 'node:http';
import { StenoError } from '#schemas/base/errors.js';

/** Throws KUBE_UNSUPPORTED for any other protocol, KUBE_REQUEST_REFUSED for a request with a body. */
export function protocolChange({ headers, method }: IncomingMessage, subresource: string): 'websocket' | 'spdy' {
  switch (`${method} ${headers.upgrade?.toLowerCase()}`) {
    case 'GET websocket':
      return 'websocket';
    case 'POST spdy/3.1':
      // A body would be taken for bytes of the new protocol.
      if ((headers['content-length'] ?? '0') === '0' && headers['transfer-encoding'] === undefined) return 'spdy';
      throw new StenoError('KUBE_REQUEST_REFUSED', 'a body where the protocol changes');
    default:
      throw new StenoError('KUBE_UNSUPPORTED', `${subresource} over ${headers.upgrade?.slice(0, 32) ?? 'HTTP'}`);
  }
}

/** The protocol names listed in a header. */
export function offered({ headers }: IncomingMessage, header: 'sec-websocket-protocol' | 'x-stream-protocol-version'): readonly string[] {
  return [headers[header] ?? []].flat().flatMap((line) => line.split(',').map((name) => name.trim()));
}
