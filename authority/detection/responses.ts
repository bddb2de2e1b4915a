/**
 * Automatic responses to findings. The analyzer reports a finding, and this authority's policy, which the analyzer can
 * neither read nor change, decides. A compromised analyzer can thus cause only responses listed in the policy, within its
 * limit.
 *
 *     finding ─► known already? ─► older than MAX_AGE_MS? ─► policy ─► suppressed? ─► limit ─► dry run? ─► lock and audit row, in one transaction
 *                  the same answer    none                     none     limited   audit row
 *
 * A response happens once per session and rule, across restarts and authorities; this is stored for a week. One rule can
 * produce several findings from one act, and a person who has lifted the lock has seen the case. The limit is counted by
 * each authority in memory. Tested in responses.test.ts.
 */
import { LRUCache } from 'lru-cache';
import type { z } from 'zod';
import { respondToFinding } from '#schemas/api/detection/responses.js';
import { parseDuration } from '#schemas/base/duration.js';
import { StenoError } from '#schemas/base/errors.js';
import { chooseResponse } from '#schemas/documents/response-policy.js';
import type { ResponseAction, ResponsePolicy } from '#schemas/documents/response-policy.js';
import type { Lock } from '#schemas/documents/lock.js';
import { suppresses } from '#schemas/documents/suppression.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import { claimResponse, putLock } from '../records/records.js';
import type { Records } from '../records/records.js';
import { inForce } from './announcements.js';

export interface ResponseParts {
  readonly records: Records;
  readonly directory: Directory;
  /** Null: no automatic responses. */
  readonly responses: ResponsePolicy | null;
  readonly clock: () => number;
}

type Answer = z.output<typeof respondToFinding.answer>;

/** A late response would affect whatever the user is doing now. */
const MAX_AGE_MS = 600_000;
const KEPT_MS = 7 * 86_400_000;
const MAX_REMEMBERED = 50_000;
const NOTHING: Answer = { kind: 'none', action: null, lock: null, expires_at: null };

const lockKind = {
  freeze: 'session-input',
  require_moderator: 'session-moderation',
  end: 'session',
  lock_user: 'user',
} as const satisfies Record<ResponseAction, Lock['target_kind']>;

export function responseRoutes({ records, directory, responses: policy, clock }: ResponseParts): readonly Route[] {
  const answers = new LRUCache<string, Promise<Answer>>({ max: MAX_REMEMBERED });
  /** Times of responses, oldest first. */
  const taken: number[] = [];

  const mayTake = (limit: ResponsePolicy['limit'], now: number): boolean => {
    const from = now - parseDuration(limit.within)!;
    while (taken.length > 0 && taken[0]! <= from) taken.shift();
    if (taken.length >= limit.responses) return false;
    taken.push(now);
    return true;
  };

  const respond = async (
    finding: string,
    body: z.output<typeof respondToFinding.body>,
    caller: { readonly actor: string; readonly source: string },
  ): Promise<Answer> => {
    const now = clock();
    if (policy === null || now - body.at > MAX_AGE_MS) return NOTHING;
    const choice = chooseResponse(policy, body);
    if (choice.kind === 'none') return NOTHING;
    const suppressions = await records.read((db) => inForce(db, now));
    if (suppressions.some(({ scope }) => suppresses(scope, body))) return NOTHING;
    const { action, asked, ttlMs } = choice;
    const id = `response-${finding
      .toLowerCase()
      .replace(/[^a-z0-9]/g, '-')
      .slice(0, 40)}`;
    const target = action === 'lock_user' ? body.user : body.session;
    const row = (kind: Answer['kind'], error?: StenoError) => ({
      ...auditRow(
        now,
        caller,
        { event: 'response.take', target, data: { finding, rule: body.rule, kind, action, asked, lock: kind === 'taken' ? id : null } },
        error,
      ),
      session: body.session,
    });
    if (!mayTake(policy.limit, now)) {
      await records.audit([
        row('limited', new StenoError('TOO_MANY', `more than ${policy.limit.responses} responses within ${policy.limit.within}`)),
      ]);
      return { kind: 'limited', action, lock: null, expires_at: null };
    }
    if (policy.dry_run) {
      await records.audit([row('dry_run')]);
      return { kind: 'dry_run', action, lock: null, expires_at: null };
    }
    const waits =
      action === asked
        ? ''
        : asked === 'end'
          ? '; a person decides whether the session ends'
          : '; a person decides whether the user is locked';
    const expiresAt = now + ttlMs;
    const lock: Lock = { id, target_kind: lockKind[action], target, reason: `${body.title}${waits}`.slice(0, 1024), expires_at: expiresAt };
    const isNew = await records.actOn(async (tx) => {
      const first = await claimResponse(tx, keyOf(body), now + KEPT_MS);
      if (first) await putLock(tx, lock, caller.actor, now);
      return { result: first, rows: first ? [row('taken')] : [] };
    });
    if (!isNew) return NOTHING;
    await directory.changed();
    return { kind: 'taken', action, lock: id, expires_at: expiresAt };
  };

  return [
    handle(respondToFinding, ({ body, caller }, { name: finding }) => {
      const key = keyOf(body);
      const known = answers.get(key);
      if (known !== undefined) return known;
      const answer = respond(finding, body, caller);
      answers.set(key, answer);
      // After a failure, or if nothing was done, the response may be requested again.
      answer.then(({ kind }) => kind === 'none' && answers.delete(key)).catch(() => answers.delete(key));
      return answer;
    }),
  ];
}

function keyOf({ session, rule }: z.output<typeof respondToFinding.body>): string {
  return `${session} ${rule}`;
}
