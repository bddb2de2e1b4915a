/** Calls to viewer/api. Failures are `ApiFailure`, in the words of the error catalogue. */
import type { ApiError } from '#schemas/api.js';

export class ApiFailure extends Error {
  readonly code: string;
  readonly fix: string;

  constructor(code: string, message: string, fix: string) {
    super(message);
    this.code = code;
    this.fix = fix;
  }
}

export const signedOut = 'steno:signed-out';

async function call(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, credentials: 'same-origin', redirect: 'error' });
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    throw new ApiFailure('NOT_RUNNING', 'Steno does not answer', 'Is it still running? This page tries again by itself.');
  }
  if (response.ok) return response;
  const body = (await response.json().catch(() => null)) as ApiError | null;
  const { code, message, fix, detail } = body?.error ?? { code: 'INTERNAL', message: `status ${response.status}`, fix: '' };
  if (code === 'NOT_SIGNED_IN') window.dispatchEvent(new Event(signedOut));
  throw new ApiFailure(code, detail === undefined ? message : `${message}: ${detail}`, fix);
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await call(path, signal === undefined ? {} : { signal })).json() as Promise<T>;
}

export async function getText(path: string): Promise<string> {
  return (await call(path, {})).text();
}

export async function getBody(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const { body } = await call(path, { signal });
  if (body === null) throw new ApiFailure('INTERNAL', 'the answer is empty', '');
  return body;
}

/** Lines of a segment, and the session time in ms of the line before them. */
export async function getSegment(path: string): Promise<{ readonly start: number; readonly text: string }> {
  const response = await call(path, {});
  return { start: Number(response.headers.get('x-steno-segment-start')), text: await response.text() };
}

const withBody = (method: 'POST' | 'PUT', body: unknown): RequestInit => ({
  method,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

export async function post<T>(path: string, body: unknown): Promise<T> {
  return (await call(path, withBody('POST', body))).json() as Promise<T>;
}

export async function put(path: string, body: unknown): Promise<void> {
  await call(path, withBody('PUT', body));
}

export async function remove(path: string): Promise<void> {
  await call(path, { method: 'DELETE' });
}
