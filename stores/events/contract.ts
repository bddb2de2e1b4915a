/**
 * The contract of an event store: rows in, lists and searches out.
 *
 * Rows may arrive twice, in any order, under the same token or another; a reader sees each once. Every adapter
 * passes `conformance.ts`.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/errors.js';
import { eventKinds, sessionIdPattern, sessionKinds, sessionStates } from '#schemas/rows.js';
import type { AuditRow, EventKind, EventRow, EventTable, EventTables, SessionKind, SessionRow, SessionState } from '#schemas/rows.js';

/** Moments are milliseconds since 1970 UTC; `from` is inclusive, `to` exclusive. */
interface Range {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** 1 to 1000, 50 unless told. */
  readonly limit?: number | undefined;
  /** `next` of the page before; only with the same filters. */
  readonly cursor?: string | undefined;
}

interface Place {
  readonly user?: string | undefined;
  readonly node?: string | undefined;
  readonly login?: string | undefined;
}

/** Newest start first. `from` and `to` bound `started_at`. */
export interface SessionQuery extends Range, Place {
  readonly kind?: SessionKind | undefined;
  readonly state?: SessionState | undefined;
  readonly gateway?: string | undefined;
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
export interface ScreenQuery extends Range, Place {
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
export interface EventQuery extends Range, Place {
  readonly session?: string | undefined;
  readonly kinds?: readonly EventKind[] | undefined;
  /** Exact. */
  readonly path?: string | undefined;
  readonly sha256?: string | undefined;
  readonly address?: string | undefined;
  readonly order?: 'newest' | 'session' | undefined;
  /** What the recording's lines say, or what the kernel of the node told; left out: both. */
  readonly source?: 'recording' | 'kernel' | undefined;
  /** `changes`: no forks, and no files that were only opened to read; `tree`: those files are left out. */
  readonly only?: 'changes' | 'tree' | undefined;
  /** With `order` 'session': behind this place. */
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
  /**
   * Runs a person's SELECT over the tables sessions, events, screen and audit, which it sees without repeats.
   * It can neither change anything nor reach files, other tables or the network.
   */
  readOnlySql(sql: string, limits: SqlLimits): Promise<SqlResult>;
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
const session = z.string().regex(sessionIdPattern).optional();

export const sessionQuery = z.strictObject({
  ...range,
  ...place,
  kind: z.enum(sessionKinds).optional(),
  state: z.enum(sessionStates).optional(),
  gateway: filter,
  request: filter,
});
export const screenQuery = z.strictObject({
  ...range,
  ...place,
  session,
  text: z.string().min(1).max(1000).regex(/\S/),
  mode: z.enum(['auto', 'words', 'substring', 'regex']).default('auto'),
});
export const eventQuery = z.strictObject({
  ...range,
  ...place,
  session,
  kinds: z.array(z.enum(eventKinds)).min(1).max(eventKinds.length).optional(),
  path: filter,
  sha256: filter,
  address: filter,
  order: z.enum(['newest', 'session']).default('newest'),
  source: z.enum(['recording', 'kernel']).optional(),
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
