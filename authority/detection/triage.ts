/**
 * Triage of findings: acknowledged, resolved, dismissed or reopened, each with user, time and reason.
 *
 * The authority knows only the ids of findings; it stores the current decision and an increasing version, and viewers read
 * the audit row of the decision (schemas/events/triage.ts). Of two concurrent decisions the later version counts, and both
 * rows are kept. Tested in triage.test.ts.
 */
import { triageFinding } from '#schemas/api/detection/triage.js';
import { TRIAGE_EVENT } from '#schemas/events/triage.js';
import type { triageData } from '#schemas/events/triage.js';
import type { AuditRow, FindingState } from '#schemas/events/rows.js';
import type { z } from 'zod';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Caller } from '../records/audit.js';
import type { Records, Tx } from '../records/records.js';
import { personOf, requireOfBrowser } from '../web-sessions/person.js';
import type { Links } from '../web-sessions/web-sessions.js';

export interface TriageParts {
  readonly records: Records;
  readonly links: Links;
  readonly clock: () => number;
}

export function triageRoutes({ records, links, clock }: TriageParts): readonly Route[] {
  return [
    handle(triageFinding, async (c, { name: finding }) => {
      const person = await personOf(links, c);
      requireOfBrowser(person, 'finding', 'update');
      const { user, caller } = person;
      const { state } = c.body;
      const reason = c.body.reason.trim();
      const at = clock();
      const version = await records.actOn(async (tx) => {
        const decided = await decide(tx, { finding, state, reason, caller, at });
        return { result: decided.version, rows: [decided.row] };
      });
      return { finding, state, version, by: user, at, reason };
    }),
  ];
}

export interface Decision {
  readonly finding: string;
  readonly state: FindingState;
  readonly reason: string;
  readonly caller: Caller;
  readonly at: number;
}

/** Stores the decision; its audit row publishes it. */
export async function decide(
  tx: Tx,
  { finding, state, reason, caller, at }: Decision,
): Promise<{ readonly version: number; readonly row: AuditRow }> {
  const before = await tx.selectFrom('finding_states').select('version').where('finding', '=', finding).executeTakeFirst();
  const version = Number(before?.version ?? 0) + 1;
  const columns = { state, version, by: caller.actor, at };
  await tx
    .insertInto('finding_states')
    .values({ finding, ...columns })
    .onConflict((on) => on.column('finding').doUpdateSet(columns))
    .execute();
  const data: z.output<typeof triageData> = { state, version, reason };
  return { version, row: auditRow(at, caller, { event: TRIAGE_EVENT, target: finding, data }) };
}
