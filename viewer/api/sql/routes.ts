/** The routes of users' SQL: queries as JSON lines, and their schema. Closing the connection cancels the query. Tested in sql.test.ts. */
import { Readable } from 'node:stream';
import { runSql, showSqlSchema } from '#schemas/api/recordings/sql.js';
import type { SqlLine } from '#schemas/api/recordings/sql.js';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_SQL } from '#schemas/sql/bounds.js';
import { sqlViews } from '#schemas/sql/views.js';
import type { Log } from '#runtime/log.js';
import { requireReading } from '../access/access.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';
import { Queries } from './queries.js';
import type { QueryParts } from './queries.js';
import { soc2Pack } from './soc2/pack.js';

/** Characters of four bytes, all of them escaped. */
const BODY_LIMIT = 12 * MAX_SQL + 4096;

export function sqlRoutes(serving: Serving, parts: QueryParts & { readonly log: Log }): void {
  const queries = new Queries(parts);
  serving.signedIn(
    runSql,
    async (viewer, { request, reply, body }) => {
      const cancel = new AbortController();
      reply.raw.once('close', () => cancel.abort());
      const lines = queries.run(viewer, sourceAddress(request), body, cancel.signal);
      const { value: first } = (await lines.next()) as { readonly value: SqlLine };
      return reply.type(runSql.media).send(Readable.from(written(first, lines, parts.log), { objectMode: false }));
    },
    { bodyLimit: BODY_LIMIT },
  );
  serving.signedIn(showSqlSchema, async (viewer) => {
    requireReading(viewer, 'sql');
    const { findings, audit } = queries.scope(viewer);
    const readable = { listed: parts.access.sees(viewer, 'list'), viewed: parts.access.sees(viewer, 'view'), findings, audit };
    return {
      views: sqlViews.map(({ name, about, rows, columns }) => ({ name, about, readable: readable[rows], columns })),
      packs: soc2Pack,
    };
  });
}

async function* written(first: SqlLine, lines: AsyncIterable<SqlLine>, log: Log): AsyncGenerator<string> {
  const text = (line: SqlLine): string => `${JSON.stringify(line)}\n`;
  yield text(first);
  try {
    for await (const line of lines) yield text(line);
  } catch (error) {
    if (!(error instanceof StenoError)) log.error({ err: error }, 'query failed unexpectedly');
    yield text({
      kind: 'error',
      code: error instanceof StenoError ? error.code : 'INTERNAL',
      detail: error instanceof StenoError ? (error.detail ?? '') : '',
    });
  }
}
