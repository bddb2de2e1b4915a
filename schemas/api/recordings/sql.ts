/** Users' SQL: `steno sql`, the page "SQL". docs/sql.md describes the allowed queries. */
import { z } from 'zod';
import { noBody, noParams, noQuery, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, record } from '../../endpoint/fields.js';
import { MAX_SQL_ROWS, MAX_SQL_SECONDS } from '../../sql/bounds.js';
import { sqlText } from '../../sql/text.js';

const sqlRequest = z.strictObject({
  sql: sqlText,
  /** Most rows in the answer. */
  rows: z.int().min(1).max(MAX_SQL_ROWS).default(1000),
  seconds: z.int().min(1).max(MAX_SQL_SECONDS).default(60),
  /** A random part of the answer, reproducible with the same seed. */
  sample: z
    .strictObject({
      size: z.int().min(1).max(10_000),
      seed: z.string().regex(/^[\x20-\x7e]{1,64}$/, 'is not a seed: 1 to 64 printable characters'),
    })
    .optional(),
});
export type SqlRequest = z.output<typeof sqlRequest>;

/** One line of the answer. The last is `done` or `error`; an answer without either was cut off. */
export type SqlLine =
  /** `rows`, `of`: rows read so far, and their estimated total; null for users who do not see every row, and before the query runs. */
  | { readonly kind: 'progress'; readonly ms: number; readonly rows: number | null; readonly of: number | null }
  | { readonly kind: 'columns'; readonly columns: readonly SqlColumnInfo[] }
  /** JSON values; integers beyond 2^53 are text. */
  | { readonly kind: 'rows'; readonly rows: readonly (readonly unknown[])[] }
  | SqlDone
  | { readonly kind: 'error'; readonly code: string; readonly detail: string };

export interface SqlColumnInfo {
  readonly name: string;
  /** A ClickHouse type. */
  readonly type: string;
}

export interface SqlDone {
  readonly kind: 'done';
  readonly rows: number;
  /** Whether there are more rows than requested. */
  readonly truncated: boolean;
  /** Number of rows from which the sample was drawn. */
  readonly population: number | null;
  /** SHA-256 of columns and rows (schemas/sql/canonical.ts), as in the audit log. */
  readonly hash: string;
  readonly ms: number;
}

export const runSql = viewerEndpoint({
  method: 'POST',
  path: '/api/sql',
  summary:
    'Run a SELECT over the rows that the caller may see. Closing the connection cancels it. Each query is reported to the authority with the hash of its answer.',
  admits: ['sql:read'],
  params: noParams,
  query: noQuery,
  body: sqlRequest,
  answer: z.string(),
  media: 'application/x-ndjson',
  errors: ['QUERY_REFUSED', 'QUERY_TOO_HEAVY', 'QUERY_CANCELLED', 'TOO_MANY'],
});

const packQuery = record({
  /** As in `cc6.1-logins`. */
  id: z.string(),
  /** `soc2`. */
  pack: z.string(),
  /** `CC6.1`. */
  criterion: z.string(),
  title: z.string(),
  /** What the answer proves, and what it does not prove. */
  proves: z.string(),
  sql: z.string(),
});
export type PackQuery = z.output<typeof packQuery>;

const sqlSchema = record({
  views: list(
    record({
      name: z.string(),
      about: z.string(),
      /** False: the caller's roles do not show any rows of it. */
      readable: z.boolean(),
      columns: list(record({ name: z.string(), type: z.string(), about: z.string() })),
    }),
  ),
  packs: list(packQuery),
});
export type SqlSchema = z.output<typeof sqlSchema>;

export const showSqlSchema = viewerEndpoint({
  method: 'GET',
  path: '/api/sql/schema',
  summary: 'Show what SQL may read: views with their columns, and the queries supplied with Steno.',
  admits: ['sql:read'],
  params: noParams,
  query: noQuery,
  body: noBody,
  answer: sqlSchema,
  errors: [],
});

export const sqlEndpoints = [runSql, showSqlSchema] as const;
