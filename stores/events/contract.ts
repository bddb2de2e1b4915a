/**
 * The contract of an event store: rows in, lists and searches out.
 *
 * Rows may be inserted repeatedly, in any order, under the same token or others; readers see each once. Every adapter passes
 * `conformance.ts`.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { eventKinds, eventSources } from '#schemas/events/kinds.js';
import type { EventKind, EventSource } from '#schemas/events/kinds.js';
import { findingStates, sessionIdPattern, sessionKinds, sessionStates, severities, tiers } from '#schemas/events/rows.js';
import type {
  AuditRow,
  EventRow,
  EventTable,
  EventTables,
  FindingRow,
  ScreenRow,
  SessionKind,
  SessionRow,
  SessionState,
  Tier,
} from '#schemas/events/rows.js';
import type { AlikeSession, Patterns } from '#schemas/events/patterns.js';
import type { ResponseMonth } from '#schemas/events/response.js';
import type { Triage } from '#schemas/events/triage.js';
import type { Condition } from '#schemas/policy/session-condition.js';
import type { AlikeQuery, PatternQuery } from './pattern-contract.js';
import type { ResponseQuery } from './response-contract.js';
import type {
  Counted,
  FoundRow,
  FoundSession,
  SearchHits,
  SearchOverview,
  SearchOverviewQuery,
  SearchSessions,
  SearchValues,
} from './search-contract.js';

/** Times are milliseconds since 1970 UTC; `from` is inclusive, `to` exclusive. */
interface Range {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** 1 to 1000; 50 by default. */
  readonly limit?: number | undefined;
  /** `next` of the previous page; valid only with the same filters. */
  readonly cursor?: string | undefined;
}

/**
 * Which sessions are visible (schemas/policy/session.ts); rows of other tables are visible with their session. If omitted:
 * every row.
 */
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
 * How the text is matched, always case-insensitively:
 * - words: every word occurs somewhere on the line (words are runs of letters and digits);
 * - substring: the text occurs literally on the line;
 * - regex: an RE2 expression matches somewhere on the line;
 * - auto: words if it contains only letters, digits and blanks, otherwise substring.
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
  readonly block: number;
  readonly index: number;
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
  /** The observer; all if omitted. */
  readonly source?: EventSource | undefined;
  /** For `unknown` events: the name of their kind. */
  readonly raw_kind?: string | undefined;
  readonly cluster?: string | undefined;
  readonly namespace?: string | undefined;
  readonly pod?: string | undefined;
  /**
   * `changes`: omits forks, and files that were only opened for reading, except those that matter
   * (schemas/kernel/matters.ts); `tree`: omits those files only.
   */
  readonly only?: 'changes' | 'tree' | undefined;
  /** With `order` 'session' and one source: rows after this position. */
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
  /** The state after triage. */
  readonly state?: FindingRow['state'] | undefined;
  /** Any of these; overrides `state`. */
  readonly states?: readonly FindingRow['state'][] | undefined;
  /** Any of these. */
  readonly severities?: readonly FindingRow['severity'][] | undefined;
  /** Tier of the rule; a finding without one is an alert. */
  readonly tiers?: readonly Tier[] | undefined;
  readonly dedup_key?: string | undefined;
  readonly id?: string | undefined;
}

/** A finding with its triage; `state` is that of the latest decision. */
export interface Found extends FindingRow {
  readonly triage: Triage | null;
}

export interface FindingCount {
  readonly state: FindingRow['state'];
  readonly severity: FindingRow['severity'];
  readonly count: number;
}

/** The position of a hit or line on a screen. */
export interface ScreenPlace {
  readonly session: string;
  readonly offset_ms: number;
}

/** The place of a screen line. */
export interface LinePlace {
  readonly session: string;
  readonly block: number;
  readonly index: number;
}

/** In order, without the line itself. */
export interface LinesBeside {
  readonly before: readonly ScreenLine[];
  readonly after: readonly ScreenLine[];
}

export interface ScreenLine {
  readonly block: number;
  readonly index: number;
  readonly offset_ms: number;
  readonly row: number;
  readonly text: string;
}

/** Records that a user opened, followed or exported a session. */
export interface ViewsQuery extends Visible {
  readonly from?: number | undefined;
  /** Exclusive. */
  readonly to?: number | undefined;
  readonly actor?: string | undefined;
  readonly session?: string | undefined;
  /** 1 to 1000. */
  readonly limit: number;
}

export interface ViewsOfSession {
  readonly session: string;
  readonly node: string;
  readonly login: string;
  readonly actor: string;
  /** Audit rows, refusals among them; a row stands for five minutes of looking. */
  readonly times: number;
  readonly first_at: number;
  readonly last_at: number;
  readonly exports: number;
  readonly refusals: number;
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

/** A stretch of a session's time in which something happened; see `EventStore.timeline`. */
export interface TimelineCount {
  readonly lane: 'output' | 'program' | 'file' | 'network' | 'power' | 'gap';
  readonly part: number;
  /** Offset of the first of them, in ms. */
  readonly first: number;
  readonly amount: number;
}

export interface Timeline {
  readonly counts: readonly TimelineCount[];
  /** Between lines that were new on the screen; ms, in order. */
  readonly idle: readonly { readonly from: number; readonly to: number }[];
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** Cursor of the next page; null on the last. */
  readonly next: string | null;
}

/** Tables whose rows can be followed in the order in which they were stored. */
const changeTables = ['events', 'audit', 'findings'] as const;
export type ChangeTable = (typeof changeTables)[number];

/** A position in the order in which the rows of one table were stored. */
export interface StoredPosition {
  /** Identifies the table; the order of a recreated table starts again. */
  readonly table: string;
  readonly block: number;
  readonly offset: number;
}

export interface ChangeQuery<T extends ChangeTable> {
  readonly table: T;
  /** If omitted, or of a table that no longer exists: from the first row. */
  readonly after?: StoredPosition | undefined;
  /** 1 to 10,000 rows, 1,000 by default; long rows may give fewer. */
  readonly limit?: number | undefined;
}

export interface Changes<T extends ChangeTable> {
  readonly rows: readonly EventTables[T][];
  /** Position of the last row; without rows, the requested position. */
  readonly position: StoredPosition;
  /** Whether there were more rows at the time of reading. */
  readonly more: boolean;
}

export interface SqlLimits {
  /** 1 to 100,000 rows; `truncated` is set if there were more. */
  readonly maxRows: number;
  /** 1 to 300 seconds. */
  readonly maxSeconds: number;
  /**
   * Returns a sample of at most `size` rows, reproducible with the seed: the first ones in the order of
   * SHA-256(seed, line feed, row as JSON).
   */
  readonly sample?: { readonly size: number; readonly seed: string } | undefined;
}

export interface SqlResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** JSON values; 64-bit integers are numbers if exact, and strings above 2^53. */
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated: boolean;
  /** Number of rows from which a sample was drawn; null without a sample. */
  readonly population: number | null;
}

/** The rows that a user's SQL sees. */
export interface SqlScope {
  /** Restricts `sessions`; if omitted, all are visible. */
  readonly listed?: Condition | undefined;
  /** Restricts events, screens and findings by their session; if omitted, all are visible, including those of no session. */
  readonly viewed?: Condition | undefined;
  /** Without it `findings` is empty. */
  readonly findings: boolean;
  /** Without it `audit` is empty. */
  readonly audit: boolean;
}

export interface RunningQuery {
  /** Unique among queries: 16 to 64 lower-case letters and digits. */
  readonly mark: string;
  /** Ends the query with QUERY_CANCELLED, also while it waits for its turn. */
  readonly signal: AbortSignal;
}

export interface QueryProgress {
  readonly rows: number;
  /** The engine's estimate, which may grow. */
  readonly ofRows: number;
}

/**
 * Errors of every operation:
 * - BAD_REQUEST: a filter, cursor or expression is invalid; the detail names it.
 * - QUERY_TOO_HEAVY: the query hit its limit of time or memory.
 * - QUERY_REFUSED: `readOnlySql` only: the text does more than read.
 * - QUERY_CANCELLED: `readOnlySql` only: its caller no longer wants it.
 * - STORE_UNAVAILABLE: the engine failed or did not answer. Whether an insert was done is unknown; the same call
 *   may be repeated until it succeeds.
 */
export interface EventStore {
  /**
   * Inserts rows. Durable when it resolves: they survive a crash of the process, and a power cut as far as the disk keeps
   * its promises. Repeating the same rows under the same token is free; rows repeated under another token are not visible
   * twice, provided their content is the same (sessions: each version has its own content). A call is atomic up to 50,000
   * rows. It costs about 10 ms regardless of the number of rows, so batch them. `token`: 1 to 200 characters that identify
   * the rows, such as the session and its block numbers.
   */
  insert<T extends EventTable>(table: T, rows: readonly EventTables[T][], token: string): Promise<void>;
  sessions(query: SessionQuery): Promise<Page<SessionRow>>;
  /** The row with the highest version. */
  session(id: string): Promise<SessionRow | undefined>;
  searchScreen(query: ScreenQuery): Promise<Page<ScreenHit>>;
  /** Hits of a search in every table, newest first. */
  searchRows(query: SearchHits): Promise<Page<FoundRow>>;
  /** The hits grouped by session, the session with the newest hit first. */
  searchBySession(query: SearchSessions): Promise<Page<FoundSession>>;
  /** The hits counted. */
  searchOverview(query: SearchOverviewQuery): Promise<SearchOverview>;
  /** The most frequent values of a field in sessions, at most twenty, for completion. */
  searchValues(query: SearchValues): Promise<readonly Counted[]>;
  events(query: EventQuery): Promise<Page<EventRow>>;
  audit(query: AuditQuery): Promise<Page<AuditRow>>;
  findings(query: FindingQuery): Promise<Page<Found>>;
  /** Counts by state and severity; limit, cursor, states and severities of the query are ignored. */
  countFindings(query: FindingQuery): Promise<readonly FindingCount[]>;
  /** How long people took to respond to a period's findings, by month, earliest first; months without findings are left out. */
  responseByMonth(query: ResponseQuery): Promise<readonly ResponseMonth[]>;
  /** Patterns that recur over the sessions of a span (schemas/events/patterns.ts). */
  patterns(query: PatternQuery): Promise<Patterns>;
  /** At most 20 sessions of a span that share commands with one session, the most similar first. */
  alikeSessions(query: AlikeQuery): Promise<readonly AlikeSession[]>;
  /** Events by id (`eventId`), in the order of the ids; missing ones are omitted. At most 100. */
  eventsNamed(ids: readonly string[]): Promise<readonly EventRow[]>;
  /** Number of sessions, and of live ones. */
  countSessions(query: Visible): Promise<{ readonly live: number; readonly total: number }>;
  /** Events of one session counted by kind, unknown kinds by name. */
  countKinds(session: string): Promise<readonly KindCount[]>;
  /**
   * When things happened in one session: its time in parts of `width` ms; returns counts by lane and part, omitting empty ones.
   * Counts are characters for `output`, events otherwise; events that are folded at first (schemas/kernel/process-tree.ts) are
   * left out only if their own row identifies them as such. `idle`: at most 100 of the longest stretches, of `leastIdle` ms or more,
   * without a new line on the screen, from the start of the session to its last line.
   */
  timeline(session: string, parts: { readonly width: number; readonly leastIdle: number }): Promise<Timeline>;
  /**
   * The session from inside which each of these was opened, if a connection recorded by that session's node proves it. At most
   * 1,000; sessions without a proof are left out.
   */
  openedFrom(sessions: readonly string[]): Promise<readonly { readonly session: string; readonly outer: string }[]>;
  /** Views by session and viewer, the last viewed first; `truncated`: there are more than `limit`. */
  views(query: ViewsQuery): Promise<{ readonly rows: readonly ViewsOfSession[]; readonly truncated: boolean }>;
  /** The last session of each user, node and login, in that order; `truncated`: there are more than `limit`. */
  sessionUse(limit: number): Promise<{ readonly rows: readonly SessionUse[]; readonly truncated: boolean }>;
  /**
   * For each position, the lines of its session before and after it, up to `each` on both sides, in order. At most 25
   * positions.
   */
  screenAround(places: readonly ScreenPlace[], each: number): Promise<readonly (readonly ScreenLine[])[]>;
  /** For each line, up to `each` lines of its session on each side of it. At most 25 lines. */
  linesBeside(places: readonly LinePlace[], each: number): Promise<readonly LinesBeside[]>;
  /** Lines of one session in order, after a position, or the last ones before it. */
  screenLines(
    session: string,
    after: { readonly block: number; readonly index: number } | null,
    limit: number,
    side?: 'after' | 'before',
  ): Promise<readonly ScreenLine[]>;
  /** The same as whole rows, at most 10,000. */
  screenRows(
    session: string,
    after: { readonly block: number; readonly index: number } | null,
    limit: number,
  ): Promise<readonly ScreenRow[]>;
  /**
   * Sessions started at `from` or later that have no audit row of this event written since then: newest start first, at most
   * `limit`, which is at most 10,000.
   */
  sessionsWithoutAudit(query: { readonly event: string; readonly from: number; readonly limit: number }): Promise<readonly SessionRow[]>;
  /**
   * Runs a user's SELECT over the tables, without duplicate rows, on a separate connection and within separate limits, so
   * that it delays no insert and no read of Steno. It can neither change anything nor reach files, other tables or the network.
   * `scope`: the visible rows; neither results nor errors reveal others. If omitted: all.
   */
  readOnlySql(sql: string, limits: SqlLimits, scope?: SqlScope, running?: RunningQuery): Promise<SqlResult>;
  /** Number of rows that the query with this mark has read, including rows that its scope hides; null while it waits and after it has ended. */
  sqlProgress(mark: string): Promise<QueryProgress | null>;
  /**
   * Runs a SELECT written by Steno, with all foreign text as literals, on the connection of `readOnlySql`. `visible`:
   * restricts it to rows of these sessions.
   */
  scan(sql: string, visible?: Condition): Promise<readonly (readonly unknown[])[]>;
  /**
   * Rows in the order in which they were stored, each at least once: a late or repeated row comes last. BAD_REQUEST on a
   * cluster, whose replicas keep no such order.
   */
  changes<T extends ChangeTable>(query: ChangeQuery<T>): Promise<Changes<T>>;
  /** The position after everything that is stored now. */
  changesEnd(table: ChangeTable): Promise<StoredPosition>;
  /** Number of rows stored after a position. */
  countChanges(table: ChangeTable, after: StoredPosition): Promise<number>;
  /** The position that a reader of changes saved under a name; null if none. */
  readPosition(name: string): Promise<string | null>;
  /** Durable when it resolves. The highest version wins. At most 4,096 characters. */
  keepPosition(name: string, version: number, position: string): Promise<void>;
  /** Waits for running calls, then releases the engine. Later calls are refused. */
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
/** Built by the policy, never by a request. */
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
export const viewsQuery = z.strictObject({
  from: range.from,
  to: range.to,
  visible,
  session,
  actor: filter,
  limit: z.int().min(1).max(1000),
});
export const findingQuery = z.strictObject({
  ...range,
  ...place,
  visible,
  session,
  rule: filter,
  severity: z.enum(severities).optional(),
  severities: z.array(z.enum(severities)).min(1).max(severities.length).optional(),
  state: z.enum(findingStates).optional(),
  states: z.array(z.enum(findingStates)).min(1).max(findingStates.length).optional(),
  tiers: z.array(z.enum(tiers)).min(1).max(tiers.length).optional(),
  dedup_key: filter,
  id: filter,
});
export const screenPlaces = z.array(z.strictObject({ session: z.string().regex(sessionIdPattern), offset_ms: z.int().min(0) })).max(25);
const linePlace = { block: z.int().min(0).max(0xffff_ffff), index: z.int().min(0).max(0xffff_ffff) };
export const linePlaces = z.array(z.strictObject({ session: z.string().regex(sessionIdPattern), ...linePlace })).max(25);
export const screenAfter = z.strictObject(linePlace).nullable();
export const sqlLimits = z.strictObject({
  maxRows: z.int().min(1).max(100_000),
  maxSeconds: z.int().min(1).max(300),
  sample: z.strictObject({ size: z.int().min(1).max(10_000), seed: z.string().min(1).max(64) }).optional(),
});
export const changeQuery = z.strictObject({
  table: z.enum(changeTables),
  after: z.strictObject({ table: z.string().max(64), block: z.int().min(0), offset: z.int().min(0) }).optional(),
  limit: z.int().min(1).max(10_000).default(1_000),
});
export const insertToken = z.string().min(1).max(200);

/** Parses a query at the edge of the store; invalid input is BAD_REQUEST naming the field. */
export function parseQuery<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new StenoError('BAD_REQUEST', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}
