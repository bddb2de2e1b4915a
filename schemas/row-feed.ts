/**
 * The row feed: rows for analyzers, as ingest receives them, before they are in the event store.
 *
 *     ingest   wss /rows[?events=grouped][&shares=HEX]   mutual TLS, subprotocol of the uplink; for peers of kind analyzer
 *              one text message per batch of rows, or per piece of one: the JSON of `RowMessage`; if the follower requested it,
 *              with `groups` in place of `events`: the columns that consecutive events share, and then each event's own. With `shares`
 *              (events/shares.ts), only rows of sessions in these shares, and none without a session
 *
 * A row in a message may not be in the event store yet: an insert will follow, or its gateway will resend it. A new follower first gets
 * the rows that the store may not have yet, so a row that is neither in the feed nor in the store does not exist. Within one connection,
 * the rows of a session and source arrive in order, possibly with rows that are in the store or arrived before: rows of an event log are
 * sent as soon as the gateway has them, and again when their block arrives. A session's own row comes no earlier than the other rows
 * that arrived with it.
 * A follower that falls further behind than ingest buffers for it is disconnected with `behind`; it reconnects and reads the missed rows
 * from the store. Followers only listen: a message from one closes its connection with `misuse`.
 *
 * Tested in row-feed.test.ts and test/survival/analyzer-feed.test.ts.
 */
import { z } from 'zod';
import { eventKinds, eventSources, kindPattern } from './events/kinds.js';
import { formatShares, parseShares, shareOf } from './events/shares.js';
import { eventRow, screenRow, sessionIdPattern, sessionRow } from './events/rows.js';
import type { EventRow, ScreenRow, SessionRow } from './events/rows.js';

export const ROW_FEED_PATH = '/rows';

/** Why ingest closes. */
export const rowFeedCloses = { misuse: 1008, away: 1012, behind: 1013 } as const;

/** Most rows and characters of one message: a row's `data` alone can have 256 Ki characters. */
export const MAX_MESSAGE_ROWS = 500;
export const MAX_ROW_MESSAGE = 64 << 20;
/** Rows beyond this many characters of JSON begin a new message. */
const MESSAGE_TEXT = 1 << 20;

export interface RowMessage {
  readonly events: readonly EventRow[];
  readonly screen: readonly ScreenRow[];
  readonly sessions: readonly SessionRow[];
}

/** The rows that a follower asks for, and their form. */
export interface RowsWanted {
  /** A busy node sends 20,000 events a second, which share ten of 26 columns. An older ingest ignores this and sends whole rows. */
  readonly grouped: boolean;
  /** Null: all rows, including those without a session. An older ingest ignores this and sends all rows. */
  readonly shares: ReadonlySet<number> | null;
}

export function formatRowsWanted({ grouped, shares }: RowsWanted): string {
  const asked = [...(grouped ? ['events=grouped'] : []), ...(shares === null ? [] : [`shares=${formatShares(shares)}`])];
  return `${ROW_FEED_PATH}${asked.length === 0 ? '' : `?${asked.join('&')}`}`;
}

/** Null if the shares are malformed. */
export function parseRowsWanted({ searchParams }: { readonly searchParams: { get(name: string): string | null } }): RowsWanted | null {
  const text = searchParams.get('shares');
  const shares = text === null ? null : parseShares(text);
  return text !== null && shares === null ? null : { grouped: searchParams.get('events') === 'grouped', shares };
}

/** The rows of a batch that belong to sessions in these shares, in their order. */
export function rowsOfShares({ events, screen, sessions }: RowMessage, shares: ReadonlySet<number>): RowMessage {
  // Consecutive rows are mostly of one session.
  let last = '';
  let isLastIn = false;
  const isIn = ({ session }: { readonly session: string }): boolean => {
    if (session !== last) {
      last = session;
      isLastIn = session !== '' && shares.has(shareOf(session));
    }
    return isLastIn;
  };
  return { events: events.filter(isIn), screen: screen.filter(isIn), sessions: sessions.filter(isIn) };
}

const rowMessage = z.strictObject({
  events: z.array(z.custom<EventRow>(isEventRow)).max(MAX_MESSAGE_ROWS),
  screen: z.array(screenRow).max(MAX_MESSAGE_ROWS),
  sessions: z.array(sessionRow).max(MAX_MESSAGE_ROWS),
});

/** Limits of an event's columns, the same as in its validator. */
const sharedTexts: readonly (keyof EventRow)[] = ['emitter', 'user', 'node', 'login', 'cluster', 'namespace', 'pod', 'container'];
const SHARED_TEXT = 255;
const texts: readonly (readonly [keyof EventRow, number])[] = [
  ...(['outcome', 'address'] as const).map((name) => [name, 255] as const),
  ...(['path', 'name', 'reason'] as const).map((name) => [name, 4096] as const),
];
const numbers: readonly (readonly [keyof EventRow, number, 'null' | 'never'])[] = [
  ['block', 0xffff_ffff, 'never'],
  ['index', 0xffff_ffff, 'never'],
  ['at', 7_258_118_400_000, 'never'],
  ['offset_ms', Number.MAX_SAFE_INTEGER, 'never'],
  ['size', Number.MAX_SAFE_INTEGER, 'null'],
  ['count', Number.MAX_SAFE_INTEGER, 'null'],
  ['port', 0xffff, 'null'],
];
const COLUMNS = Object.keys(eventRow.shape).length;
const sources: ReadonlySet<unknown> = new Set(eventSources);
const kindNames: ReadonlySet<unknown> = new Set(eventKinds);
const MAX_DATA = 262_144;

/**
 * The same result as `eventRow` at a tenth of its cost, since a busy node sends 20,000 a second. `data` need only look like an object,
 * because its readers accept any text. Compared with `eventRow` in row-feed.test.ts.
 */
export function isEventRow(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const row = value as Readonly<Record<string, unknown>>;
  let columns = 0;
  for (const name in row) {
    if (!Object.hasOwn(eventRow.shape, name)) return false;
    columns += 1;
  }
  if (columns !== COLUMNS || !sources.has(row['source'])) return false;
  for (const name of sharedTexts) {
    const text = row[name];
    if (typeof text !== 'string' || text.length > SHARED_TEXT) return false;
  }
  const { session } = row;
  return (session === '' || (typeof session === 'string' && sessionIdPattern.test(session))) && hasOwnFacts(row);
}

/** The same check for the columns that `ownValues` returns. */
function hasOwnFacts(row: Readonly<Record<string, unknown>>): boolean {
  if (!kindNames.has(row['kind'])) return false;
  for (const [name, length] of texts) {
    const text = row[name];
    if (typeof text !== 'string' || text.length > length) return false;
  }
  for (const [name, most, absent] of numbers) {
    const number = row[name];
    if (number === null ? absent === 'never' : !(Number.isInteger(number) && (number as number) >= 0 && (number as number) <= most))
      return false;
  }
  const { sha256, raw_kind: raw, data } = row;
  return (
    (sha256 === '' || (typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256))) &&
    (raw === '' || (typeof raw === 'string' && kindPattern.test(raw))) &&
    typeof data === 'string' &&
    data.length <= MAX_DATA &&
    data.startsWith('{') &&
    data.endsWith('}')
  );
}

/** The messages of a batch, in order: events and screen lines first, then the sessions' own rows. `grouped`: shared columns are sent once. */
export function* rowMessages({ events, screen, sessions }: RowMessage, grouped = false): Generator<string> {
  const tables = { events, screen, sessions };
  let parts: Record<keyof RowMessage, string[]> = { events: [], screen: [], sessions: [] };
  let count = 0;
  let length = 0;
  let before: EventRow | null = null;
  const message = (): string =>
    `{"${grouped ? 'groups' : 'events'}":[${parts.events.join(',')}${before === null ? '' : ']'}],"screen":[${parts.screen.join(',')}],"sessions":[${parts.sessions.join(',')}]}`;
  for (const name of ['events', 'screen', 'sessions'] as const) {
    for (const row of tables[name]) {
      const isGrouped = grouped && name === 'events';
      const text = isGrouped ? JSON.stringify(ownValues(row as EventRow)) : JSON.stringify(row);
      if (count > 0 && (count === MAX_MESSAGE_ROWS || length + text.length > MESSAGE_TEXT)) {
        yield message();
        parts = { events: [], screen: [], sessions: [] };
        count = length = 0;
        before = null;
      }
      if (isGrouped && (before === null || !sharesWith(row as EventRow, before))) {
        if (before !== null) parts.events.push(`${parts.events.pop()!}]`);
        parts.events.push(`[${JSON.stringify(sharedValues(row as EventRow))}`);
      }
      if (isGrouped) before = row as EventRow;
      parts[name].push(text);
      count += 1;
      length += text.length;
    }
  }
  if (count > 0) yield message();
}

function sharesWith(a: EventRow, b: EventRow): boolean {
  return (
    a.session === b.session &&
    a.source === b.source &&
    a.emitter === b.emitter &&
    a.user === b.user &&
    a.node === b.node &&
    a.login === b.login &&
    a.cluster === b.cluster &&
    a.namespace === b.namespace &&
    a.pod === b.pod &&
    a.container === b.container
  );
}

function sharedValues({ session, source, emitter, user, node, login, cluster, namespace, pod, container }: EventRow): readonly unknown[] {
  return [session, source, emitter, user, node, login, cluster, namespace, pod, container];
}
const SHARED = 10;

function ownValues(row: EventRow): readonly unknown[] {
  const { block, index, at, offset_ms, kind, raw_kind, path, size, sha256, address, port, name, reason, outcome, count, data } = row;
  return [block, index, at, offset_ms, kind, raw_kind, path, size, sha256, address, port, name, reason, outcome, count, data];
}
const OWN = 16;

/** Null for anything else. */
export function parseRowMessage(text: string): RowMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const groups: unknown =
    typeof value === 'object' && value !== null && Object.hasOwn(value, 'groups') ? (value as { groups: unknown }).groups : undefined;
  if (groups === undefined) {
    const parsed = rowMessage.safeParse(value);
    return parsed.success ? parsed.data : null;
  }
  const { groups: _, ...rest } = value as { readonly groups: unknown };
  const events = eventsOf(groups);
  const parsed = rowMessage.safeParse({ ...rest, events: [] });
  return events === null || !parsed.success || Object.hasOwn(rest, 'events') ? null : { ...parsed.data, events };
}

/** Null unless every row of every group is an event. */
function eventsOf(groups: unknown): readonly EventRow[] | null {
  if (!Array.isArray(groups)) return null;
  const events: EventRow[] = [];
  for (const group of groups as readonly unknown[]) {
    if (!Array.isArray(group)) return null;
    const [shared, ...rows] = group as readonly unknown[];
    if (!isList(shared, SHARED) || events.length + rows.length > MAX_MESSAGE_ROWS) return null;
    for (const own of rows) {
      if (!isList(own, OWN)) return null;
      const row = rowOf(shared, own);
      // The shared columns were checked with the first event.
      if (own === rows[0] ? !isEventRow(row) : !hasOwnFacts(row as unknown as Readonly<Record<string, unknown>>)) return null;
      events.push(row);
    }
  }
  return events;
}

function isList(value: unknown, length: number): value is readonly unknown[] {
  return Array.isArray(value) && value.length === length;
}

function rowOf(shared: readonly unknown[], own: readonly unknown[]): EventRow {
  const [session, source, emitter, user, node, login, cluster, namespace, pod, container] = shared;
  const [block, index, at, offset_ms, kind, raw_kind, path, size, sha256, address, port, name, reason, outcome, count, data] = own;
  // prettier-ignore
  return { session, source, emitter, block, index, at, offset_ms, kind, raw_kind, user, node, login, cluster, namespace, pod, container,
    path, size, sha256, address, port, name, reason, outcome, count, data } as EventRow;
}
