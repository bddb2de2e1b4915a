/**
 * A person's SQL, run for somebody: what their roles show is its scope; its answer is hashed; the authority is told of it with the hash before
 * the first row goes out, and of what was refused or cancelled. Tested in sql.test.ts.
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

/** Each holds an answer in memory; they run one after another on the embedded store. */
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

  /** Throws what refuses the query before its first line; the lines end with `done` or throw. Whoever aborts gets QUERY_CANCELLED,
   * which is told also when nobody reads the lines any more. A query has its place among those of its user until it has ended. */
  async *run(viewer: Viewer, source: string, request: SqlRequest, signal: AbortSignal): AsyncGenerator<SqlLine> {
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
          // A client that hangs up may end this generator here, before the query, which is being cancelled, has ended.
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
    // The client that waits for a line of progress may have hung up.
    result.catch(() => undefined);
    // Rows that are not theirs are read, too.
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

  /** Sessions are scoped as in the list, their content as in search, and findings and the audit log by the rights to read those. */
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

/** When the work has ended, or so many ms have passed. */
async function soon(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => undefined), passed]);
  clearTimeout(timer);
}
