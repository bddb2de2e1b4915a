/**
 * One HTTP call to the authority: JSON in, JSON out, over its Unix socket or over TLS.
 *
 * Answers are limited in size and time. A refusal is rethrown as the `StenoError` that the authority threw; an unreachable
 * authority is NOT_RUNNING, which is retryable. Tested through `authority-client.test.ts`.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage, RequestOptions } from 'node:http';
import type { Agent } from 'node:https';
import { StenoError, isErrorCode } from '#schemas/base/errors.js';
import type { Send } from '#schemas/endpoint/endpoint.js';

export type AuthorityPlace =
  | { readonly kind: 'socket'; readonly path: string }
  /** `url`: `https://host:port`. The agent carries the caller's TLS options. */
  | { readonly kind: 'tls'; readonly url: string; readonly agent: Agent };

export interface AuthorityCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path with query. */
  readonly target: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Ten seconds by default. */
  readonly timeoutMs?: number;
}

const MAX_ANSWER = 16 << 20;

/**
 * Resolves to the parsed answer; undefined if it is empty. A call sent on an idle connection that the authority had just
 * closed is retried once.
 */
export async function callAuthority(place: AuthorityPlace, call: AuthorityCall): Promise<unknown> {
  try {
    return await callOnce(place, call);
  } catch (error) {
    if (error instanceof StenoError && error.cause instanceof IdleConnectionLost) return callOnce(place, call);
    throw error;
  }
}

/** Adapts `callAuthority` for calls of declared endpoints. */
export function sendTo(place: AuthorityPlace, options: Pick<AuthorityCall, 'timeoutMs'> = {}): Send {
  return (method, target, body) => callAuthority(place, { method, target, ...options, ...(body === undefined ? {} : { body }) });
}

class IdleConnectionLost extends Error {}

function callOnce(place: AuthorityPlace, call: AuthorityCall): Promise<unknown> {
  const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
  const options: RequestOptions = {
    method: call.method,
    path: call.target,
    headers: { ...call.headers, ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }) },
  };
  return new Promise((resolve, reject) => {
    const onResponse = (response: IncomingMessage): void => {
      readAnswer(response).then(resolve, (error: unknown) => {
        response.destroy();
        reject(error instanceof StenoError ? error : unreachable(error));
      });
    };
    const request =
      place.kind === 'socket'
        ? httpRequest({ ...options, socketPath: place.path, agent: false }, onResponse)
        : httpsRequest(place.url, { ...options, agent: place.agent }, onResponse);
    // Limit the whole call, not idle time: an answer that trickles in is as bad as none.
    const timer = setTimeout(() => request.destroy(new Error('no answer in time')), call.timeoutMs ?? 10_000);
    request.on('error', (error: NodeJS.ErrnoException) => {
      const idle = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      reject(unreachable(idle ? new IdleConnectionLost(error.code) : error));
    });
    request.on('close', () => clearTimeout(timer));
    request.end(body);
  });
}

async function readAnswer(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER) throw new StenoError('TOO_LARGE', 'the answer of the authority');
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return text === '' ? undefined : parseJson(text);
  throw refusal(text === '' ? undefined : parseJson(text), status);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StenoError('INTERNAL', 'the authority did not answer in JSON', { cause });
  }
}

function refusal(answer: unknown, status: number): StenoError {
  const error = (answer as { error?: { code?: unknown; detail?: unknown } } | undefined)?.error;
  if (typeof error?.code === 'string' && isErrorCode(error.code)) {
    return new StenoError(error.code, typeof error.detail === 'string' ? error.detail : undefined);
  }
  return new StenoError('INTERNAL', `the authority answered with status ${status}`);
}

/** TLS error codes for a chain whose root is not one of ours. */
const UNTRUSTED: ReadonlySet<unknown> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_GET_ISSUER_CERT',
  'CERT_SIGNATURE_FAILURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

function unreachable(cause: unknown): StenoError {
  if (UNTRUSTED.has((cause as { readonly code?: unknown } | null)?.code))
    return new StenoError('AUTHORITY_UNTRUSTED', undefined, { cause });
  return new StenoError('NOT_RUNNING', 'the authority does not answer', { cause });
}
