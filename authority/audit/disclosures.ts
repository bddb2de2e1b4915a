/**
 * Audit rows reported by viewers: recordings that users opened, searched, followed or exported, or tried to.
 *
 * Only viewers may report; they name the user, since the connection is the viewer's. Tested in disclosures.test.ts.
 */
import { reportDisclosure } from '#schemas/api/services/disclosures.js';
import { StenoError } from '#schemas/base/errors.js';
import { auditRow } from '../records/audit.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import type { Records } from '../records/records.js';

export function disclosureRoutes({ records, clock }: { readonly records: Records; readonly clock: () => number }): readonly Route[] {
  return [
    handle(reportDisclosure, async ({ body }) => {
      const error = body.code === null ? undefined : new StenoError(body.code, body.reason);
      const who = { actor: body.actor, source: body.source_address };
      if (body.event === 'recording.search') {
        return records.audit([
          auditRow(clock(), who, { event: body.event, target: body.query, data: { mode: body.mode, hits: body.hits } }, error),
        ]);
      }
      if (body.event === 'recording.query') {
        const { sql, rows, truncated, hash, sample } = body;
        return records.audit([
          auditRow(clock(), who, { event: body.event, target: sql, data: { sql, rows, truncated, hash, sample } }, error),
        ]);
      }
      const row = auditRow(
        clock(),
        who,
        {
          event: body.event,
          target: body.session,
          node: body.node,
          login: body.login,
          data: body.format === undefined ? {} : { format: body.format },
        },
        error,
      );
      await records.audit([{ ...row, session: body.session }]);
    }),
  ];
}
