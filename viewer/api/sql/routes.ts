/** The routes of users' SQL: queries as JSON lines, and their schema. Closing the connection cancels the query. Tested in sql.test.ts. */
import { runSql, showSqlSchema } from '#schemas/api/recordings/sql.js';
import { MAX_SQL } from '#schemas/sql/bounds.js';
import { sqlViews } from '#schemas/sql/views.js';
import type { Log } from '#runtime/log.js';
import { requireReading } from '../access/access.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';
import { onceGone, streamLines } from '../http/streamed.js';
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
      onceGone(reply, () => cancel.abort());
      const lines = queries.run(viewer, sourceAddress(request), body, cancel.signal);
      return reply.type(runSql.media).send(await streamLines(lines, parts.log, 'query failed unexpectedly'));
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
