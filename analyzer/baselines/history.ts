/**
 * The past of users and nodes from the event store, up to a fixed moment: the midnight (UTC) before the session began, at least six
 * hours earlier. Only sessions that had ended by then count, so rows stored later change no earlier answer, unless rows of such a
 * session arrive more than six hours late. The window is 90 days; older sessions are ignored.
 *
 * The amount is bounded, however large the store is: the last 500 sessions of the user, the last 2,000 on nodes with the label, the
 * last 2,000 with each of at most MAX_ROLES roles, the last 2,000 of all. A profile is read once per user, label or role, and day. If
 * reading fails, the failure lasts for the rest of the day; if only reading a role fails, nothing is reported by role. Tested in
 * history.test.ts.
 */
import { LRUCache } from 'lru-cache';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { EventStore, SqlResult } from '#stores/events/contract.js';
import { literal } from '#stores/events/queries/visible.js';
import { actsSql, formsSql, habits } from './habits.js';
import type { Habit } from './habits.js';
import type { Forms, Past, PastForms, PastSession, PeerProfile, RoleProfile, UserProfile } from './profile.js';

const DAY = 86_400_000;
const SETTLED = 6 * 3_600_000;
export const DAYS = 90;
const MAX_SESSIONS = 500;
const MAX_SESSIONS_OF_PEERS = 2_000;
/** A user with more roles is not compared by role: a role that was left out might explain the user's behaviour. */
const MAX_ROLES = 4;
const MAX_VALUES = 20_000;
const LIMITS = { maxRows: MAX_VALUES, maxSeconds: 20 } as const;

export interface HistoryOptions {
  /** Labels of nodes by which people are compared: the first of these that the session's node has. */
  readonly labels: readonly string[];
}

type Store = Pick<EventStore, 'readOnlySql'>;

export class StoredHistory {
  readonly #store: Store;
  readonly #options: HistoryOptions;
  readonly #users = new LRUCache<string, Promise<UserProfile>>({ max: 200 });
  readonly #forms = new LRUCache<string, Promise<Forms>>({ max: 200 });
  readonly #peers = new LRUCache<string, Promise<PeerProfile>>({ max: 100 });
  readonly #ofRoles = new LRUCache<string, Promise<RoleProfile>>({ max: 100 });

  constructor(store: Store, options: HistoryOptions = { labels: ['env'] }) {
    this.#store = store;
    this.#options = options;
  }

  async before(session: SessionRow): Promise<Past> {
    const until = untilOf(session);
    const label = this.#options.labels.find((name) => Object.hasOwn(session.labels, name));
    const [where, condition] =
      label === undefined
        ? (['all nodes', 'true'] as const)
        : ([`nodes with ${label}=${session.labels[label]!}`, `labels[${literal(label)}] = ${literal(session.labels[label]!)}`] as const);
    const [user, peers] = await Promise.all([
      kept(this.#users, `${until} ${session.user}`, () => this.#user(session.user, until)),
      kept(this.#peers, `${until} ${condition}`, () => this.#people(where, condition, until)),
    ]);
    return { until, days: DAYS, user, peers, roles: await this.#roles(session.roles, until) };
  }

  /** Reads roles one after another: each query is heavy and runs once a day. */
  async #roles(names: readonly string[], until: number): Promise<readonly RoleProfile[]> {
    const roles = [...new Set(names)].sort();
    if (roles.length > MAX_ROLES) return [];
    const profiles: RoleProfile[] = [];
    for (const role of roles) {
      const condition = `has(roles, ${literal(role)})`;
      try {
        profiles.push(await kept(this.#ofRoles, `${until} ${role}`, () => this.#role(role, condition, until)));
      } catch (error) {
        if (error instanceof StenoError && error.code === 'QUERY_TOO_HEAVY') return [];
        throw error;
      }
    }
    return profiles;
  }

  async formsBefore(session: SessionRow): Promise<PastForms> {
    const until = untilOf(session);
    const read = (condition: string, most: number): Promise<Forms> =>
      kept(this.#forms, `${until} ${condition}`, () => this.#formsOf(condition, until, most));
    const [user, everybody] = await Promise.all([
      read(`user = ${literal(session.user)}`, MAX_SESSIONS),
      read('true', MAX_SESSIONS_OF_PEERS),
    ]);
    return { days: DAYS, user, everybody };
  }

  async #formsOf(condition: string, until: number, most: number): Promise<Forms> {
    const { rows } = await this.#store.readOnlySql(
      `SELECT value, count() AS times FROM (${formsSql(endedSql(condition, until, 'session', most))}) GROUP BY value ORDER BY times DESC, value`,
      LIMITS,
    );
    const of = new Map(rows.map(([value, times]) => [String(value), Number(times)]));
    return { of, total: [...of.values()].reduce((sum, times) => sum + times, 0) };
  }

  async #user(user: string, until: number): Promise<UserProfile> {
    const condition = `user = ${literal(user)}`;
    const ended = endedSql(condition, until, 'session', MAX_SESSIONS);
    const sessions = await this.#store.readOnlySql(
      `SELECT s.session, toUnixTimestamp64Milli(s.started_at), toUnixTimestamp64Milli(assumeNotNull(s.ended_at)), s.bytes_in, s.bytes_out, s.node, s.login, f.files ` +
        `FROM (${endedSql(condition, until, '*', MAX_SESSIONS)}) AS s ` +
        `LEFT JOIN (SELECT session, count() AS files FROM events WHERE source = 'kernel' AND kind = 'file' AND session IN (${ended}) GROUP BY session) AS f ON s.session = f.session ` +
        `ORDER BY s.started_at DESC, s.session DESC`,
      LIMITS,
    );
    const acts = await this.#store.readOnlySql(
      `SELECT habit, value, uniqExact(session) AS times FROM (${actsSql(ended, { pairs: true })}) GROUP BY habit, value ORDER BY times DESC, habit, value`,
      LIMITS,
    );
    return { sessions: sessions.rows.map(sessionOf), ...actsOf(acts) };
  }

  async #role(name: string, condition: string, until: number): Promise<RoleProfile> {
    const people = await this.#people(name, condition, until);
    const { rows } = await this.#store.readOnlySql(
      `SELECT toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(assumeNotNull(ended_at)), bytes_in, bytes_out ` +
        `FROM (${endedSql(condition, until, '*', MAX_SESSIONS_OF_PEERS)}) ORDER BY started_at DESC, session DESC`,
      LIMITS,
    );
    const sessions = rows.map(([started, ended, bytes_in, bytes_out]) => ({
      started_at: Number(started),
      measured: { bytes_in: Number(bytes_in), bytes_out: Number(bytes_out), duration: Math.max(0, Number(ended) - Number(started)) },
    }));
    return { ...people, sessions };
  }

  async #people(where: string, condition: string, until: number): Promise<PeerProfile> {
    const people = await this.#store.readOnlySql(
      `SELECT uniqExact(user) FROM (${endedSql(condition, until, 'user', MAX_SESSIONS_OF_PEERS)})`,
      LIMITS,
    );
    const acts = await this.#store.readOnlySql(
      `SELECT habit, value, uniqExact(user) AS times FROM (${actsSql(endedSql(condition, until, 'session', MAX_SESSIONS_OF_PEERS), { pairs: false })}) GROUP BY habit, value ORDER BY times DESC, habit, value`,
      LIMITS,
    );
    return { where, people: Number(people.rows[0]?.[0] ?? 0), ...actsOf(acts) };
  }
}

/** The midnight at which the history for a session ends. */
export function untilOf({ started_at }: Pick<SessionRow, 'started_at'>): number {
  return Math.floor((started_at - SETTLED) / DAY) * DAY;
}

/** The newest sessions, at most `most`, that had ended by then. */
function endedSql(condition: string, until: number, columns: string, most: number): string {
  const moment = (at: number): string =>
    `toDateTime64('${new Date(Math.max(0, at)).toISOString().slice(0, 23).replace('T', ' ')}', 3, 'UTC')`;
  return (
    `SELECT ${columns} FROM sessions WHERE (${condition}) AND isNotNull(ended_at) AND assumeNotNull(ended_at) < ${moment(until)} ` +
    `AND started_at >= ${moment(until - DAYS * DAY)} ORDER BY started_at DESC, session DESC LIMIT ${most}`
  );
}

function sessionOf([, started, ended, bytes_in, bytes_out, node, login, files]: readonly unknown[]): PastSession {
  const duration = Math.max(0, Number(ended) - Number(started));
  const measured = { bytes_in: Number(bytes_in), bytes_out: Number(bytes_out), duration, files: Number(files) };
  return { started_at: Number(started), node: String(node), login: String(login), measured };
}

function actsOf({ rows, truncated }: SqlResult): Pick<UserProfile, 'acts' | 'truncated'> {
  const acts = new Map<Habit, Map<string, number>>();
  for (const [habit, value, times] of rows) {
    const of = acts.get(habit as Habit) ?? new Map<string, number>();
    acts.set(habit as Habit, of);
    of.set(String(value), Number(times));
  }
  // The habits to which the omitted values belong are unknown.
  return { acts, truncated: new Set<Habit>(truncated ? habits : []) };
}

/** Caches failures too: a query that took too long would delay the next session as well. The store waits out its own outages. */
function kept<T>(cache: LRUCache<string, Promise<T>>, key: string, read: () => Promise<T>): Promise<T> {
  const known = cache.get(key);
  if (known !== undefined) return known;
  const reading = read();
  cache.set(key, reading);
  reading.catch((error: unknown) => {
    if (!(error instanceof StenoError) || error.code !== 'QUERY_TOO_HEAVY') cache.delete(key);
  });
  return reading;
}
