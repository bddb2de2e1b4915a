/**
 * The first bytes of a connection: SSH, or the name of a node (HTTP CONNECT, RFC 9110 section 9.3.6) and then SSH.
 *
 *     waiting ──"SSH-…", or silence──► opened
 *        └──"CONNECT node:22 HTTP/1.1"──► answered 200 ──"SSH-…", or silence──► opened for that node
 *        └──any other CONNECT──► answered 400 or 403, closed
 *
 * A client that supports HTTP proxies (`nc -X connect`, PuTTY, most libraries) thus reaches a node in one SSH connection,
 * where `ssh -J` needs two, one inside the other. The name only routes: access is checked after admission, and strangers do
 * not learn which names exist. In SSH either side may speak first; the gateway waits for the client, because a client that
 * sends CONNECT expects an HTTP answer before any SSH bytes. Limits: a request is at most `MAX_REQUEST` bytes. Tested in
 * http-connect.test.ts.
 */
import { isName, stripDomain } from '#schemas/base/identity.js';
import type { SocketWire } from './socket-wire.js';

export const MAX_REQUEST = 2048;
/** Milliseconds of silence after which the gateway speaks first; longer after a CONNECT, where a helper hands its socket to SSH first. */
const PATIENCE_MS = 250;
const BOUND_PATIENCE_MS = 2_000;
const METHOD = Buffer.from('CONNECT ');
const END = '\r\n\r\n';

export interface Opening {
  /** `node`: the node requested; null when the client began with SSH. */
  opened(node: string | null): void;
  /** The connection closed before that, for this reason. */
  gone(reason: string): void;
}

/** Reads the beginning of a connection. `limitMs`: time limit for the whole request. */
export function readHttpConnect(wire: SocketWire, limitMs: number, opening: Opening): void {
  let bytes = Buffer.alloc(0);
  let node: string | null = null;
  const open = (): void => {
    clearTimeout(patience);
    clearTimeout(limit);
    wire.unread(bytes);
    opening.opened(node);
  };
  let reason = 'closed before any SSH bytes';
  const refuse = (status: string): void => {
    reason = `answered ${status}`;
    bytes = Buffer.alloc(0);
    wire.attach({ bytes: () => undefined, drained: () => undefined, closed });
    wire.send(Buffer.from(`HTTP/1.1 ${status}\r\nConnection: close${END}`));
    wire.end();
  };
  let patience = setTimeout(open, PATIENCE_MS);
  const limit = setTimeout(() => {
    reason = `no SSH bytes within ${limitMs / 1000} s`;
    wire.destroy();
  }, limitMs);
  const closed = (): void => {
    clearTimeout(patience);
    clearTimeout(limit);
    opening.gone(reason);
  };
  wire.attach({
    bytes: (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      // A prefix of the method counts as the method so far.
      const asks = node === null && METHOD.subarray(0, bytes.length).equals(bytes.subarray(0, METHOD.length));
      if (!asks) return open();
      clearTimeout(patience);
      const end = bytes.indexOf(END);
      if (end < 0 ? bytes.length > MAX_REQUEST : end > MAX_REQUEST) return refuse('431 Request Header Fields Too Large');
      if (end < 0) return undefined;
      const target = targetOf(bytes.toString('latin1', 0, end));
      if (typeof target === 'string') return refuse(target);
      node = target.node;
      bytes = bytes.subarray(end + END.length);
      wire.send(Buffer.from(`HTTP/1.1 200 OK${END}`));
      if (bytes.length > 0) return open();
      patience = setTimeout(open, BOUND_PATIENCE_MS);
      return undefined;
    },
    drained: () => undefined,
    closed,
  });
}

/** The node that a request names, or the status that refuses it. */
function targetOf(request: string): { readonly node: string } | string {
  const match = /^CONNECT ([^\s:]+):(\d{1,5}) HTTP\/1\.[01](?:\r\n|$)/.exec(request);
  if (match === null) return '400 Bad Request';
  const node = stripDomain(match[1]!);
  if (!isName(node)) return '400 Bad Request';
  // As with `ssh -J`: the gateway forwards only to port 22 of nodes.
  return Number(match[2]) === 22 ? { node } : '403 Forbidden';
}
