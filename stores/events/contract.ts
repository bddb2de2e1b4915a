/**
 * The contract of an event store: rows in, lists and searches out.
 *
 * Rows may arrive twice, in any order, under the same token or another; a reader sees each once. Every adapter
 * passes `conformance.ts`.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { eventKinds, eventSources } from '#schemas/events/kinds.js';
import type { EventKind, EventSource } from '#schemas/events/kinds.js';
import { findingStates, sessionIdPattern, sessionKinds, sessionStates, severities } from '#schemas/events/rows.js';
import type {
  AuditRow,
  EventRow,
  EventTable,
  EventTables,
  FindingRow,
  SessionKind,
  SessionRow,
  SessionState,
} from '#schemas/events/rows.js';
import type { Condition } from '#schemas/policy/session-condition.js';

/** Moments are milliseconds since 1970 UTC; `from` is inclusive, `to` exclusive. */
interface Range {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** 1 to 1000, 50 unless told. */
  readonly limit?: number | undefined;
  /** `next` of the page before; only with the same filters. */
  readonly cursor?: string | undefined;
}

/** Which sessions may be seen (schemas/policy/session.ts); rows of other tables are seen with theirs. Left out: every row. */
interface Visible {
  readonly visible?: Condition | undefined;
}

interface Place {
  readonly user?: string | undefined;
  readonly node?: string | undefined;
  readonly login?: string | undefined;
}

/** Newest start first. `from` and `to` bound `started_at`. */
export interface SessionQuery extends Range, Place, Visible {
  readonly kind?: SessionKind | undefined;
  readonly state?: SessionState | undefined;
  readonly gateway?: string | undefined;
  readonly cluster?: string | undefined;
  readonly namespace?: string | undefined;
  readonly pod?: string | undefined;
  /** An access request that the session was under. */
  readonly request?: string | undefined;
}

/**
 * How the text is understood, always without regard to case:
 * - words: every word of it stands somewhere on the line (words are runs of letters and digits);
 * - substring: it stands on the line as it is;
 * - regex: an RE2 expression matches somewhere on the line;
 * - auto: words when it holds nothing but letters, digits and blanks, substring otherwise.
 */
export type SearchMode = 'auto' | 'words' | 'substring' | 'regex';

/** Newest line first. */
export interface ScreenQuery extends Range, Place, Visible {
  /** 1 to 1000 characters, not blank. */
  readonly text: string;
  readonly mode?: SearchMode | undefined;
  readonly session?: string | undefined;
}

export interface ScreenHit {
  readonly session: string;
  readonly offset_ms: number;
  readonly at: number;
  readonly row: number;
  readonly text: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
}

/** Newest first, or within one session in the order of the recording when `order` is 'session'. */
export interface EventQuery extends Range, Place, Visible {
  /** '' for events that belong to no session. */
  readonly session?: string | undefined;
  readonly kinds?: readonly EventKind[] | undefined;
  /** Exact. */
  readonly path?: string | undefined;
  readonly sha256?: string | undefined;
  readonly address?: string | undefined;
  readonly order?: 'newest' | 'session' | undefined;
  /** Who observed it; left out: all. */
  readonly source?: EventSource | undefined;
  /** Of `unknown` events: the name of their kind. */
  readonly raw_kind?: string | undefined;
  readonly cluster?: string | undefined;
  readonly namespace?: string | undefined;
  readonly pod?: string | undefined;
  /** `changes`: no forks, and no files that were only opened to read, but for those that matter (schemas/kernel/matters.ts); `tree`: those files are left out. */
  readonly only?: 'changes' | 'tree' | undefined;
  /** With `order` 'session' and one source: behind this place. */
  readonly after?: { readonly block: number; readonly index: number } | undefined;
}

/** Newest first. */
export interface AuditQuery extends Range {
  /** Exact (`session.start`), or every event of a noun (`session.`). */
  readonly event?: string | undefined;
  readonly actor?: string | undefined;
  readonly outcome?: 'success' | 'failure' | undefined;
  readonly code?: string | undefined;
  readonly session?: string | undefined;
  readonly node?: string | undefined;
}

/** Newest first. */
export interface FindingQuery extends Range, Place, Visible {
  readonly session?: string | undefined;
  readonly rule?: string | undefined;
  readonly severity?: FindingRow['severity'] | undefined;
  readonly state?: FindingRow['state'] | undefined;
  readonly dedup_key?: string | undefined;
}

/** A place on a screen, of a hit or a line. */
export interface ScreenPlace {
  readonly session: string;
  readonly offset_ms: number;
}

export interface ScreenLine {
  readonly block: number;
  readonly index: number;
  readonly offset_ms: number;
  readonly row: number;
  readonly text: string;
}

export interface SessionUse {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly last_at: number;
  readonly count: number;
}

export interface KindCount {
  readonly source: EventSource;
  readonly kind: EventKind;
  readonly raw_kind: string;
  readonly count: number;
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** The cursor of the page after this one, or null when this is the last. */
  readonly next: string | null;
}

export interface SqlLimits {
  /** 1 to 100,000 rows; `truncated` says that there were more. */
  readonly maxRows: number;
  /** 1 to 300 seconds. */
  readonly maxSeconds: number;
}

export interface SqlResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Values as JSON has them; 64-bit integers are numbers where exact and strings beyond 2^53. */
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated: boolean;
}

/**
 * Errors, the same for every operation:
 * - BAD_REQUEST: a filter, cursor or expression is not valid; the detail says which.
 * - QUERY_TOO_HEAVY: the query hit its limit of time or memory.
 * - QUERY_REFUSED: `readOnlySql` only: the text does more than read.
 * - STORE_UNAVAILABLE: the engine failed or did not answer. Whether an insert was done is unknown; the same call
 *   may be repeated until it succeeds.
 */
export interface EventStore {
  /**
   * Adds rows. Durable when it resolves: they survive a crash of the process, and of the machine's power as far
   * as the disk keeps its word. The same rows under the same token are free; rows that come again under another
   * token are not visible twice, as long as they come with the same content (sessions: with a version of their
   * own). A call is atomic up to 50,000 rows. It costs some 10 ms however few the rows, so gather them. `token`: 1 to 200 characters that identify
   * the rows, such as the session and its block numbers.
   */
  insert<T extends EventTable>(table: T, rows: readonly EventTables[T][], token: string): Promise<void>;
  sessions(query: SessionQuery): Promise<Page<SessionRow>>;
  /** The row with the highest version. */
  session(id: string): Promise<SessionRow | undefined>;
  searchScreen(query: ScreenQuery): Promise<Page<ScreenHit>>;
  events(query: EventQuery): Promise<Page<EventRow>>;
  audit(query: AuditQuery): Promise<Page<AuditRow>>;
  findings(query: FindingQuery): Promise<Page<FindingRow>>;
  /** How many sessions there are, and how many of them are live. */
  countSessions(query: Visible): Promise<{ readonly live: number; readonly total: number }>;
  /** How many events of one session there are of each kind, unknown ones by name. */
  countKinds(session: string): Promise<readonly KindCount[]>;
  /**
   * From inside of which session each of these was opened, where a connection that the other's node recorded proves it. At most 1,000;
   * those of which nothing is known are left out.
   */
  openedFrom(sessions: readonly string[]): Promise<readonly { readonly session: string; readonly outer: string }[]>;
  /** The last session of each user, node and login, in their order; `truncated`: there are more than `limit`. */
  sessionUse(limit: number): Promise<{ readonly rows: readonly SessionUse[]; readonly truncated: boolean }>;
  /** For each place the lines of its session before and after it, up to `each` on both sides, in order. At most 25 places. */
  screenAround(places: readonly ScreenPlace[], each: number): Promise<readonly (readonly ScreenLine[])[]>;
  /** Lines of one session in order, behind a place. */
  screenLines(
    session: string,
    after: { readonly block: number; readonly index: number } | null,
    limit: number,
  ): Promise<readonly ScreenLine[]>;
  /**
   * Runs a person's SELECT over the tables, which it sees without repeats, on a connection and within limits of its own: it
   * delays no insert and no read of Steno. It can neither change anything nor reach files, other tables or the network.
   * `visible`: it sees only the rows of these sessions, and no audit rows.
   */
  readOnlySql(sql: string, limits: SqlLimits, visible?: Condition): Promise<SqlResult>;
  /** Waits for what is under way, then releases the engine. Calls after it are refused. */
  close(): Promise<void>;
}

const filter = z.string().min(1).max(4096).optional();
const range = {
  from: z.int().min(0).max(7_258_118_400_000).optional(),
  to: z.int().min(0).max(7_258_118_400_000).optional(),
  limit: z.int().min(1).max(1000).default(50),
  cursor: z.string().max(2048).optional(),
};
const place = { user: filter, node: filter, login: filter };
const pod = { cluster: filter, namespace: filter, pod: filter };
const session = z.string().regex(sessionIdPattern).optional();
/** Made by the policy, never by a request. */
const visible = z.custom<Condition>((value) => typeof value === 'object' && value !== null).optional();

export const sessionQuery = z.strictObject({
  ...range,
  ...place,
  ...pod,
  visible,
  kind: z.enum(sessionKinds).optional(),
  state: z.enum(sessionStates).optional(),
  gateway: filter,
  request: filter,
});
export const screenQuery = z.strictObject({
  ...range,
  ...place,
  visible,
  session,
  text: z.string().min(1).max(1000).regex(/\S/),
  mode: z.enum(['auto', 'words', 'substring', 'regex']).default('auto'),
});
export const eventQuery = z.strictObject({
  ...range,
  ...place,
  ...pod,
  visible,
  session: session.or(z.literal('')),
  kinds: z.array(z.enum(eventKinds)).min(1).max(eventKinds.length).optional(),
  path: filter,
  sha256: filter,
  address: filter,
  order: z.enum(['newest', 'session']).default('newest'),
  source: z.enum(eventSources).optional(),
  raw_kind: filter,
  only: z.enum(['changes', 'tree']).optional(),
  after: z.strictObject({ block: z.int().min(0).max(0xffff_ffff), index: z.int().min(0).max(0xffff_ffff) }).optional(),
});
export const auditQuery = z.strictObject({
  ...range,
  session,
  event: filter,
  actor: filter,
  node: filter,
  code: filter,
  outcome: z.enum(['success', 'failure']).optional(),
});
export const findingQuery = z.strictObject({
  ...range,
  ...place,
  visible,
  session,
  rule: filter,
  severity: z.enum(severities).optional(),
  state: z.enum(findingStates).optional(),
  dedup_key: filter,
});
export const screenPlaces = z.array(z.strictObject({ session: z.string().regex(sessionIdPattern), offset_ms: z.int().min(0) })).max(25);
export const screenAfter = z.strictObject({ block: z.int().min(0).max(0xffff_ffff), index: z.int().min(0).max(0xffff_ffff) }).nullable();
export const sqlLimits = z.strictObject({
  maxRows: z.int().min(1).max(100_000),
  maxSeconds: z.int().min(1).max(300),
});
export const insertToken = z.string().min(1).max(200);

/** Parses a query at the edge of the store; what does not fit is BAD_REQUEST, with the field named. */
export function parseQuery<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new StenoError('BAD_REQUEST', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}
