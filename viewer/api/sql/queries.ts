/**
 * Runs a user's SQL: the user's roles define its scope, its answer is hashed, and the query is reported to the authority with the hash
 * before the first row is sent; refused and cancelled queries are reported too. Tested in sql.test.ts.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { SqlColumnInfo, SqlDone, SqlLine, SqlRequest } from '#schemas/api/recordings/sql.js';
import { StenoError } from '#schemas/base/errors.js';
import { canonicalLines } from '#schemas/sql/canonical.js';
import type { EventStore, SqlResult, SqlScope } from '#stores/events/contract.js';
import { readingVerdict, requireReading } from '../access/access.js';
import type { Access, Viewer } from '../access/access.js';
import type { Disclosures } from '../access/disclosures.js';

export interface QueryParts {
  readonly events: EventStore;
  readonly access: Access;
  readonly disclosures: Disclosures;
  /** ms since 1970. */
  readonly clock: () => number;
}

/** Each query holds an answer in memory; on the embedded store they run one after another. */
const AT_A_TIME = 8;
const OF_ONE = 2;
const PROGRESS_MS = 500;
const ROWS_A_LINE = 500;

export class Queries {
  readonly #parts: QueryParts;
  readonly #running = new Map<string, number>();

  constructor(parts: QueryParts) {
    this.#parts = parts;
  }

  /**
   * Throws the reason of a refusal before its first line; the lines end with `done` or throw. A caller that aborts gets
   * QUERY_CANCELLED, which is reported even if nobody reads the lines any more. A query occupies its user's slot until it has ended.
   */
  async *run(viewer: Viewer, source: string, request: SqlRequest, signal: AbortSignal): AsyncGenerator<SqlLine, void> {
    const { clock } = this.#parts;
    const started = clock();
    let result: SqlResult;
    try {
      const leave = this.#enter(viewer);
      let left: Promise<SqlResult> | null = null;
      try {
        const work = this.#ask(viewer, request, signal);
        for (;;) {
          const line = await Promise.race([work.result.then(() => null), work.progress()]);
          if (line === null) break;
          // A client that hangs up may end this generator here, while the cancelled query is still ending.
          left = work.result;
          yield { kind: 'progress', ms: clock() - started, ...line };
          left = null;
        }
        result = await work.result;
      } finally {
        await left?.catch(() => undefined);
        leave();
        if (left !== null) await this.#tell(viewer, source, request, null, new StenoError('QUERY_CANCELLED'));
      }
    } catch (error) {
      if (error instanceof StenoError) await this.#tell(viewer, source, request, null, error);
      throw error;
    }
    const done: SqlDone = {
      kind: 'done',
      rows: result.rows.length,
      truncated: result.truncated,
      population: result.population,
      hash: hashOf(result),
      ms: clock() - started,
    };
    await this.#tell(viewer, source, request, done);
    const columns: readonly SqlColumnInfo[] = result.columns;
    yield { kind: 'columns', columns };
    for (let from = 0; from < result.rows.length; from += ROWS_A_LINE)
      yield { kind: 'rows', rows: result.rows.slice(from, from + ROWS_A_LINE) };
    yield done;
  }

  #ask(
    viewer: Viewer,
    { sql, rows, seconds, sample }: SqlRequest,
    signal: AbortSignal,
  ): { readonly result: Promise<SqlResult>; progress(): Promise<{ readonly rows: number | null; readonly of: number | null }> } {
    const { events } = this.#parts;
    const scope = this.scope(viewer);
    const mark = randomBytes(16).toString('hex');
    let over = false;
    const result = events.readOnlySql(sql, { maxRows: rows, maxSeconds: seconds, sample }, scope, { mark, signal }).finally(() => {
      over = true;
    });
    // The client may hang up while it waits for a progress line.
    result.catch(() => undefined);
    // The rows read include rows that the user may not see.
    const counted = scope.listed === undefined && scope.viewed === undefined && scope.findings && scope.audit;
    return {
      result,
      async progress() {
        await soon(result, PROGRESS_MS);
        const read = counted && !over ? await events.sqlProgress(mark).catch(() => null) : null;
        return { rows: read?.rows ?? null, of: read?.ofRows ?? null };
      },
    };
  }

  /** Sessions are scoped as in the list, their content as in search, and findings and the audit log by the rights to read them. */
  scope(viewer: Viewer): SqlScope {
    const { access } = this.#parts;
    return {
      listed: access.visible(viewer, 'list'),
      viewed: access.visible(viewer, 'view'),
      findings: readingVerdict(viewer, 'finding').allowed,
      audit: readingVerdict(viewer, 'audit').allowed,
    };
  }

  #enter(viewer: Viewer): () => void {
    requireReading(viewer, 'sql');
    const own = this.#running.get(viewer.user) ?? 0;
    if (own >= OF_ONE) throw new StenoError('TOO_MANY', `queries of yours at a time: ${OF_ONE}`);
    if ([...this.#running.values()].reduce((sum, n) => sum + n, 0) >= AT_A_TIME)
      throw new StenoError('TOO_MANY', `queries at a time: ${AT_A_TIME}`);
    this.#running.set(viewer.user, own + 1);
    return () => {
      const left = (this.#running.get(viewer.user) ?? 1) - 1;
      if (left === 0) this.#running.delete(viewer.user);
      else this.#running.set(viewer.user, left);
    };
  }

  #tell(viewer: Viewer, source: string, { sql, sample }: SqlRequest, done: SqlDone | null, error?: StenoError): Promise<void> {
    const query = {
      sql,
      rows: done?.rows ?? 0,
      truncated: done?.truncated ?? false,
      hash: done?.hash ?? '',
      sample: sample === undefined ? null : { ...sample, population: done?.population ?? null },
    };
    return this.#parts.disclosures.ofQuery(viewer, source, query, error);
  }
}

function hashOf(result: SqlResult): string {
  const hash = createHash('sha256');
  for (const line of canonicalLines(result)) hash.update(line);
  return hash.digest('hex');
}

/** Resolves when the work has ended, or after `ms`. */
async function soon(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), passed]);
  clearTimeout(timer);
}
