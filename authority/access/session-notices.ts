/**
 * Notices to live sessions, in the state store, so that the gateways of every authority receive them. Permission to freeze a
 * session includes sending notices to it. Needs neither viewer nor event store. Rows are deleted when they expire. Tested in
 * session-notices.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { postSessionNotice } from '#schemas/api/access/session-notices.js';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_NOTICES, NOTICE_MS } from '#schemas/session-notice.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Records } from '../records/records.js';

export interface SessionNoticeParts {
  readonly records: Records;
  readonly clock: () => number;
  readonly directory: Directory;
}

export function sessionNoticeRoutes({ records, directory, clock }: SessionNoticeParts): readonly Route[] {
  return [
    handle(postSessionNotice, async ({ caller, body }) => {
      const now = clock();
      const row = { id: randomBytes(12).toString('hex'), ...body, created_by: caller.actor, expires_at: now + NOTICE_MS };
      await records.act(
        [auditRow(now, caller, { event: 'session_notice.post', target: body.session, data: { id: row.id, text: body.text } })],
        async (tx) => {
          await tx.deleteFrom('session_notices').where('expires_at', '<=', now).execute();
          const { count } = await tx
            .selectFrom('session_notices')
            .select((of) => of.fn.countAll().as('count'))
            .executeTakeFirstOrThrow();
          if (Number(count) >= MAX_NOTICES) throw new StenoError('TOO_MANY', `${MAX_NOTICES} notices within ${NOTICE_MS / 1000} s`);
          await tx.insertInto('session_notices').values(row).execute();
        },
      );
      await directory.changed();
      return { id: row.id, expires_at: row.expires_at };
    }),
  ];
}
