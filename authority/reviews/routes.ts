/**
 * Access reviews: who holds what, computed from users, roles and nodes of now, and the decisions of reviewers, which are
 * only ever added to. Nobody decides about their own access. Tested in reviews.test.ts.
 */
import { z } from 'zod';
import type { AccessDecision, AccessHolding } from '#schemas/access-review.js';
import { StenoError } from '#schemas/errors.js';
import { isName } from '#schemas/identity.js';
import { reachableLogins } from '#schemas/policy/node.js';
import type { Role } from '#schemas/role.js';
import { auditRow } from '../audit.js';
import type { Directory } from '../directory.js';
import { noBody, route } from '../http.js';
import type { Route } from '../http.js';
import type { Records } from '../records.js';
import { findUser, listUsers } from '../users/records.js';

export interface ReviewParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');
const decisionBody = z.strictObject({
  user: name,
  role: name,
  decision: z.enum(['keep', 'remove']),
  reason: z
    .string()
    .max(1024)
    .refine((text) => text.trim() !== '', 'say why'),
});
const MAX_DECISIONS = 100_000;

export function reviewRoutes(parts: ReviewParts): readonly Route[] {
  const { records, clock } = parts;
  return [
    route('GET /v1/access-review', ['administer', 'access:list', 'access:read'], 'access.review', noBody, async ({ caller }) => {
      const holdings = await holdingsOf(parts);
      // Who looks through everybody's access is told of, too.
      await records.audit([auditRow(clock(), caller, { event: 'access.review', data: { holdings: holdings.length } })]);
      return holdings;
    }),
    route('GET /v1/access-decisions', ['administer', 'access:list', 'access:read'], 'access.decisions', noBody, () => decisionsOf(records)),
    route(
      'POST /v1/access-decisions',
      ['administer', 'access:create', 'access:update'],
      'access.decide',
      decisionBody,
      async ({ caller, body }) => {
        if (body.user === caller.actor) throw new StenoError('ACCESS_DENIED', 'nobody reviews their own access');
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
      },
    ),
  ];
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
        decision: decisions.get(key) ?? null,
      };
    }),
  );
}

/** What of the role gives access, by the names of its fields. */
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
