/** Requests to viewer/api. Failures are `ApiFailure`, with the text of the error catalogue. Views call declared endpoints: endpoints.ts. */
import type { ApiError } from '#schemas/endpoint/endpoint.js';

export class ApiFailure extends Error {
  readonly code: string;
  readonly fix: string;
  /** What the message adds to the catalogue's text. */
  readonly detail: string | undefined;

  constructor(code: string, message: string, fix: string, detail?: string) {
    super(message);
    this.detail = detail;
    this.code = code;
    this.fix = fix;
  }
}

export const signedOut = 'steno:signed-out';

export async function send(path: string, init: RequestInit): Promise<Response> {
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
  throw new ApiFailure(code, detail === undefined ? message : `${message}: ${detail}`, fix, detail);
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await send(path, signal === undefined ? {} : { signal })).json() as Promise<T>;
}

export async function getText(path: string): Promise<string> {
  return (await send(path, {})).text();
}
