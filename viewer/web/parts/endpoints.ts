/**
 * Calls of endpoints as schemas/api declares them: an undeclared address, input or answer does not compile. Only types are imported
 * from the declarations, so the page carries no validation code; the server validates.
 */
import type { ServedAt, ServedKey } from '#schemas/api/viewer.js';
import type { Answer, Input } from '#schemas/endpoint/endpoint.js';
import { targetOf } from '#schemas/endpoint/target.js';
import { send } from './api.js';

type Empty<Value> = Value | '' | null;
/** Empty query values are left out. */
export type Given<Key extends ServedKey> = Omit<Input<ServedAt<Key>>, 'query'> & {
  readonly query?: { readonly [Name in keyof NonNullable<Input<ServedAt<Key>>['query']>]?: Empty<string | number | undefined> };
};
export type Answered<Key extends ServedKey> = Answer<ServedAt<Key>>;
export type GetKey = Extract<ServedKey, `GET ${string}`>;

interface AnyGiven {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

/** For links, and for URLs that something else fetches. */
export function addressOf<Key extends ServedKey>(key: Key, given: Given<Key>): string {
  const { params = {}, query = {} } = given as AnyGiven;
  const filled = Object.entries(query).filter(([, value]) => value !== '' && value !== null);
  return targetOf(key.slice(key.indexOf(' ') + 1), params, Object.fromEntries(filled));
}

export async function ask<Key extends ServedKey>(key: Key, given: Given<Key>, signal?: AbortSignal): Promise<Answered<Key>> {
  const response = await respond(key, given, signal);
  return (
    response.headers.get('content-type')?.startsWith('application/json') === true ? await response.json() : undefined
  ) as Answered<Key>;
}

/** For answers that are not JSON. */
export function respond<Key extends ServedKey>(key: Key, given: Given<Key>, signal?: AbortSignal): Promise<Response> {
  const method = key.slice(0, key.indexOf(' '));
  const { body } = given as AnyGiven;
  return send(addressOf(key, given), {
    method,
    ...(signal === undefined ? {} : { signal }),
    ...(method === 'GET' || method === 'DELETE'
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body ?? {}) }),
  });
}
