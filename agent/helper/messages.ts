/**
 * The requests of the node service to a helper, and the helper's answers. Both ends enforce the same limits.
 *
 *     service                               helper
 *     account ───────────────────────────►  PAM's account phase
 *             ◄─────────────────────────── judged; from now on it does nothing else
 *     become  ───────────────────────────►  takes the account's ids and groups, for good
 *             ◄─────────────────────────── became
 *     connect, listen, close ────────────►
 *             ◄─────────────────────────── connected, listening, accepted, failed
 *
 * `connected` and `accepted` come with a descriptor on the second socket pair (descriptors.ts), numbered by `handover`.
 * Parsing is written by hand, because a helper that loads a schema library takes twice as long to start. Tested in
 * frames.test.ts.
 */

export type Place =
  { readonly kind: 'path'; readonly path: string } | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export type Order =
  | { readonly kind: 'account'; readonly service: string; readonly user: string; readonly host: string }
  | { readonly kind: 'become'; readonly user: string; readonly uid: number; readonly gid: number }
  | { readonly kind: 'connect'; readonly id: number; readonly place: Place }
  | { readonly kind: 'listen'; readonly id: number; readonly place: Place }
  | { readonly kind: 'close'; readonly id: number };

/** `absent`: this machine has no libpam. `failed`: PAM gave no answer. */
export type Judgement = 'allowed' | 'refused' | 'failed' | 'absent';

export type Answer =
  | {
      readonly kind: 'judged';
      readonly judgement: Judgement;
      /** Text for the user; empty if PAM printed nothing. */ readonly text: string;
    }
  | { readonly kind: 'became' }
  | { readonly kind: 'connected'; readonly id: number; readonly handover: number }
  | { readonly kind: 'listening'; readonly id: number; /** 0 for a path. */ readonly port: number }
  | { readonly kind: 'accepted'; /** Number of the listener. */ readonly id: number; readonly handover: number }
  | { readonly kind: 'failed'; readonly id: number; /** For example ECONNREFUSED. */ readonly code: string };

/** Linux's `sun_path` without its closing zero, in bytes. */
const MAX_PATH = 107;
const MAX_HOST = 255;
export const MAX_TEXT = 2048;

export function parseOrder(value: unknown): Order | null {
  const it = fieldsOf(value);
  if (it === null) return null;
  switch (it['kind']) {
    case 'account':
      return hasOnly(it, 'service', 'user', 'host') && isWord(it['service'], 64) && isWord(it['user'], 64) && isText(it['host'], MAX_HOST)
        ? (value as Order)
        : null;
    case 'become':
      return hasOnly(it, 'user', 'uid', 'gid') && isWord(it['user'], 64) && isNumber(it['uid']) && isNumber(it['gid'])
        ? (value as Order)
        : null;
    case 'connect':
    case 'listen':
      return hasOnly(it, 'id', 'place') && isNumber(it['id']) && isPlace(it['place']) ? (value as Order) : null;
    case 'close':
      return hasOnly(it, 'id') && isNumber(it['id']) ? (value as Order) : null;
    default:
      return null;
  }
}

export function parseAnswer(value: unknown): Answer | null {
  const it = fieldsOf(value);
  if (it === null) return null;
  switch (it['kind']) {
    case 'judged':
      return hasOnly(it, 'judgement', 'text') &&
        ['allowed', 'refused', 'failed', 'absent'].includes(it['judgement'] as string) &&
        isText(it['text'], MAX_TEXT)
        ? (value as Answer)
        : null;
    case 'became':
      return hasOnly(it) ? (value as Answer) : null;
    case 'connected':
    case 'accepted':
      return hasOnly(it, 'id', 'handover') && isNumber(it['id']) && isNumber(it['handover']) ? (value as Answer) : null;
    case 'listening':
      return hasOnly(it, 'id', 'port') && isNumber(it['id']) && isPort(it['port']) ? (value as Answer) : null;
    case 'failed':
      return hasOnly(it, 'id', 'code') && isNumber(it['id']) && typeof it['code'] === 'string' && /^[A-Z0-9_]{0,32}$/.test(it['code'])
        ? (value as Answer)
        : null;
    default:
      return null;
  }
}

/** A place that may be requested from a helper; anything else is refused before it is sent. */
export function isPlace(value: unknown): value is Place {
  const it = fieldsOf(value);
  if (it === null) return false;
  if (it['kind'] === 'path')
    return (
      hasOnly(it, 'path') &&
      typeof it['path'] === 'string' &&
      it['path'].startsWith('/') &&
      !it['path'].includes('\0') &&
      Buffer.byteLength(it['path']) <= MAX_PATH
    );
  return it['kind'] === 'tcp' && hasOnly(it, 'host', 'port') && isText(it['host'], MAX_HOST) && it['host'] !== '' && isPort(it['port']);
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : null;
}

/** Whether the object has `kind`, these fields and no others. */
function hasOnly(it: Readonly<Record<string, unknown>>, ...names: readonly string[]): boolean {
  return Object.keys(it).length === names.length + 1 && names.every((name) => Object.hasOwn(it, name));
}

function isNumber(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff;
}

function isText(value: unknown, limit: number): value is string {
  return typeof value === 'string' && value.length <= limit && !value.includes('\0');
}

function isWord(value: unknown, limit: number): value is string {
  return isText(value, limit) && value !== '' && !value.includes('/');
}
