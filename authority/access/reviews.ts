/**
 * Access reviews: current access of users, computed from users, roles and nodes, and reviewers' decisions, which are
 * append-only. Nobody decides about their own access. Tested in reviews.test.ts.
 */
import { decideAccess, listAccessDecisions, listAccessHoldings } from '#schemas/api/access/access-reviews.js';
import type { AccessDecision, AccessHolding } from '#schemas/api/access/access-reviews.js';
import { StenoError } from '#schemas/base/errors.js';
import { reachableLogins } from '#schemas/policy/node.js';
import type { Role } from '#schemas/policy/role.js';
import { auditRow } from '../records/audit.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import type { Records } from '../records/records.js';
import { findUser, listUsers } from '../records/users.js';

export interface ReviewParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
}

const MAX_DECISIONS = 100_000;

export function reviewRoutes(parts: ReviewParts): readonly Route[] {
  const { records, clock } = parts;
  return [
    handle(listAccessHoldings, async ({ caller }) => {
      const holdings = await holdingsOf(parts);
      // Listing everybody's access is audited, too.
      await records.audit([auditRow(clock(), caller, { event: 'access.review', data: { holdings: holdings.length } })]);
      return holdings;
    }),
    handle(listAccessDecisions, () => decisionsOf(records)),
    handle(decideAccess, async ({ caller, body }) => {
      if (body.user === caller.actor) throw new StenoError('ACCESS_DENIED', 'you cannot review your own access');
      const decided: AccessDecision = { ...body, reviewer: caller.actor, at: clock() };
      await records.actOn(async (tx) => {
        const user = await findUser(tx, body.user);
        if (user === undefined) throw new StenoError('NOT_FOUND', `user ${body.user}`);
        if (!user.roles.includes(body.role)) throw new StenoError('NOT_FOUND', `${body.user} does not hold role ${body.role}`);
        await tx.insertInto('access_decisions').values(decided).execute();
        return {
          result: undefined,
          rows: [
            auditRow(decided.at, caller, {
              event: 'access.decide',
              target: body.user,
              data: { role: body.role, decision: body.decision, reason: body.reason },
            }),
          ],
        };
      });
      return decided;
    }),
  ];
}

/** A decision about an earlier user of the name does not apply to this one. */
function decisionOn(decision: AccessDecision | undefined, since: number): AccessDecision | null {
  return decision === undefined || decision.at < since ? null : decision;
}

async function decisionsOf(records: Records): Promise<readonly AccessDecision[]> {
  const rows = await records.read((db) =>
    db.selectFrom('access_decisions').selectAll().orderBy('id', 'desc').limit(MAX_DECISIONS).execute(),
  );
  return rows.map(({ id: _, ...decision }) => decision);
}

async function holdingsOf({ records, directory }: ReviewParts): Promise<readonly AccessHolding[]> {
  const { roles, nodes } = directory.current();
  const users = await records.read(listUsers);
  const since = new Map(
    (await records.read((db) => db.selectFrom('role_holdings').selectAll().execute())).map((row) => [`${row.user} ${row.role}`, row.since]),
  );
  const decisions = new Map<string, AccessDecision>();
  for (const decision of await decisionsOf(records)) {
    const key = `${decision.user} ${decision.role}`;
    if (!decisions.has(key)) decisions.set(key, decision);
  }
  return users.flatMap((user) =>
    user.roles.map((held): AccessHolding => {
      const role = roles.find((known) => known.name === held);
      const subject = { user: user.name, traits: user.traits, roles: role === undefined ? [] : [role] };
      const key = `${user.name} ${held}`;
      return {
        user: user.name,
        kind: user.kind,
        disabled: user.disabled_at !== null,
        role: held,
        because: role === undefined ? [] : rulesOf(role),
        reach: nodes.map((node) => ({ node: node.name, logins: reachableLogins(subject, node) })).filter(({ logins }) => logins.length > 0),
        since: since.get(key) ?? user.created_at,
        decision: decisionOn(decisions.get(key), user.created_at),
      };
    }),
  );
}

/** The fields of the role that grant access. */
function rulesOf({ allow, view, administer }: Role): readonly string[] {
  const given = (['nodes', 'logins', 'kubernetes', 'sessions', 'approve', 'rules', 'request'] as const).filter(
    (field) => Object.keys(allow[field]).length > 0,
  );
  return [
    ...given.map((field) => `allow.${field}`),
    ...(allow.node_expression === undefined ? [] : ['allow.node_expression']),
    ...(view === 'none' ? [] : [`view: ${view}`]),
    ...(administer ? ['administer'] : []),
  ];
}
