/**
 * Calls of endpoints as schemas/api declares them: an address, an input or an answer that is not declared does not compile. Of the
 * declarations types alone come here, so the page carries nothing of what checks values; the server checks them.
 */
import type { ServedAt, ServedKey } from '#schemas/api/viewer.js';
import type { Answer, Input } from '#schemas/endpoint/endpoint.js';
import { targetOf } from '#schemas/endpoint/target.js';
import { send } from './api.js';

type Empty<Value> = Value | '' | null;
/** Values of a query that are empty are left out. */
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

/** For links, and for what is fetched by others. */
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

/** Of an answer that is not JSON. */
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
