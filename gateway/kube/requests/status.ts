/** Refusals in the form that Kubernetes clients print: `Status` objects. Tested in ../proxy.test.ts with stock kubectl. */
import { STATUS_CODES } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { errorCatalogue } from '#schemas/base/errors.js';
import type { StenoError } from '#schemas/base/errors.js';
import { KUBE_HEARD_HEADER, KUBE_REFUSAL_HEADER } from '#schemas/kube/kube-cluster.js';
import { explainError, printable } from '../../sessions/refusal.js';

/** `metav1.StatusReason` by HTTP status. */
const reasons: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  413: 'RequestEntityTooLarge',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** JSON of the refusal, and its HTTP status. */
export function statusOf(error: StenoError): { readonly code: number; readonly body: string } {
  const { status } = errorCatalogue[error.code];
  const [what, fix] = explainError(error);
  const body = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `${what} ${fix.replace(/^steno: /, '')}`,
    reason: reasons[status] ?? '',
    code: status,
  };
  return { code: status, body: `${JSON.stringify(body)}\n` };
}

/** Returns an API server's answer unchanged if it is a Status; any other answer becomes the message of a Status. */
export function upstreamStatus(code: number, answer: Buffer): Buffer {
  const text = answer.toString('utf8');
  try {
    const { kind } = JSON.parse(text) as { readonly kind?: unknown };
    if (kind === 'Status') return answer;
  } catch {
    // Not JSON: treat the answer as text.
  }
  const message = printable(text, 512) || `the API server answered ${code}`;
  return Buffer.from(JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, code }));
}

/** Refuses a request to change the protocol, for which Node provides no response object. */
export function refuseUpgrade(socket: Duplex, error: StenoError): void {
  const { code, body } = statusOf(error);
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? ''}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/**
 * `discovery`: for discovery, kubectl shows the text of the answer and not the message of a `Status`; headers give `steno kube ls` the
 * code and `heardAt`, the time of the API server's last answer.
 */
export function answerRefusal(response: ServerResponse, error: StenoError, discovery: boolean, heardAt: number | null = null): void {
  const { code, body } = statusOf(error);
  const text = discovery ? explainError(error).join('. ') : body;
  response.writeHead(code, {
    'content-type': discovery ? 'text/plain' : 'application/json',
    'content-length': Buffer.byteLength(text),
    ...(discovery ? { [KUBE_REFUSAL_HEADER]: error.code } : {}),
    ...(discovery && heardAt !== null ? { [KUBE_HEARD_HEADER]: heardAt } : {}),
    // The rest of the request's body is not read.
    connection: 'close',
  });
  response.end(text);
}
