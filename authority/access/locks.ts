/** The routes of locks. Tested in ../app.test.ts and ../power/takeover.test.ts. */
import { deleteLock, listLocks, putLock } from '#schemas/api/access/locks.js';
import { StenoError } from '#schemas/base/errors.js';
import { decideResource } from '#schemas/policy/administration.js';
import { lockTargets } from '#runtime/http/request-auth.js';
import { auditRow } from '../records/audit.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import type { PowerGuard } from '../power/guard.js';
import { deleteLock as liftLock, lockNamed, putLock as writeLock } from '../records/records.js';
import type { Records } from '../records/records.js';

export interface LockRouteParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly guard: PowerGuard;
  readonly clock: () => number;
}

export function lockRoutes({ records, directory, guard, clock }: LockRouteParts): readonly Route[] {
  return [
    handle(listLocks, () => records.locks(clock())),
    handle(putLock, async (c, { name }) => {
      const { principal, caller, body } = c;
      const author = await guard.author(c);
      if (name !== body.id) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      // Users who locked themselves out could not lift the lock either.
      const own =
        principal.kind === 'user' &&
        lockTargets(principal.identity).some(([kind, target]) => kind === body.target_kind && target === body.target);
      if (own) throw new StenoError('BAD_REQUEST', 'target: this lock would lock out the user who sets it');
      if (body.expires_at !== null && body.expires_at <= clock()) throw new StenoError('BAD_REQUEST', 'expires_at: is in the past');
      await records.actOn(async (tx) => {
        // A new lock under the same id replaces the previous one.
        const before = await lockNamed(tx, body.id);
        const verdict = decideResource(author.subject, 'lock', before === undefined ? 'create' : 'update');
        if (!verdict.allowed) throw new StenoError('ACCESS_DENIED', verdict.reason);
        if (before !== undefined) await guard.mayLift(tx, author, before);
        await writeLock(tx, body, caller.actor, clock());
        return {
          result: undefined,
          rows: [auditRow(clock(), caller, { event: 'lock.put', target: body.id, data: { lock: body, before: before ?? null } })],
        };
      });
      await directory.changed();
      return body;
    }),
    handle(deleteLock, async (c, { name }) => {
      const author = await guard.author(c);
      await records.act([auditRow(clock(), author, { event: 'lock.delete', target: name })], async (tx) => {
        const before = await lockNamed(tx, name);
        if (before !== undefined) await guard.mayLift(tx, author, before);
        await liftLock(tx, name);
      });
      await directory.changed();
    }),
  ];
}
