/** The routes of roles, and of the question who may do what. */
import { z } from 'zod';
import type { AccessExplanation, RoleDocument } from '#schemas/api.js';
import { StenoError } from '#schemas/base/errors.js';
import { isLogin, isName } from '#schemas/base/identity.js';
import { decideResource } from '#schemas/policy/administration.js';
import { roleSchema } from '#schemas/policy/role.js';
import { lockOn, lockTargets, rolesNamed } from '#runtime/http/request-auth.js';
import { MAX_DOCUMENT } from '#runtime/resources/document.js';
import { noBody, route } from '../http/server.js';
import type { Context, Principal, Route } from '../http/server.js';
import { explainAccess } from './explain.js';
import { Roles } from './roles.js';
import type { RolesParts } from './roles.js';
import type { StoredRole } from '../records/roles.js';

const name = z.string().max(63).refine(isName, 'is not a valid name');
const applyBody = z.strictObject({
  documents: z
    .array(z.strictObject({ source: z.string().min(1).max(MAX_DOCUMENT), revision: z.number().int().nullable().optional() }))
    .min(1)
    .max(1000),
  check: z.boolean().default(false),
});
const checkBody = z.strictObject({ user: name, node: name, login: z.string().max(32).refine(isLogin, 'is not a valid login') });

export function roleRoutes(parts: RolesParts): readonly Route[] {
  const { records, directory, clock, guard } = parts;
  const roles = new Roles(parts);
  const asLoggedIn = async (user: string) => {
    const found = await records.user(user);
    if (found === undefined) throw new StenoError('NOT_FOUND', `user ${user}`);
    return { user, roles: found.roles, traits: found.traits, requests: [], mfa: null };
  };
  return [
    // Who may not list roles sees those they hold.
    route('GET /v1/roles', ['user', 'gateway', 'viewer'], 'role.list', noBody, async ({ principal }) => {
      const all = await records.roles();
      return principal.kind !== 'user' || may(principal, 'list') ? all : all.filter((role) => holds(principal, role.name));
    }),
    route('GET /v1/roles/:name', ['user'], 'role.read', noBody, async ({ principal, params }) => {
      const wanted = nameOf(params['name']);
      if (!may(principal, 'read') && !holds(principal, wanted))
        throw new StenoError('ACCESS_DENIED', 'no role of yours allows to read roles');
      return documentOf(await roles.get(wanted));
    }),
    route(
      'POST /v1/roles',
      ['role:create', 'role:update'],
      'role.put',
      applyBody,
      async (c) => ({
        applied: await roles.apply(c.body.documents, c.body.check, await guard.author(c)),
      }),
      ({ documents }) =>
        documents
          .map(({ source }) => /^name:[ \t]*(\S{1,63})/m.exec(source)?.[1] ?? '?')
          .join(' ')
          .slice(0, 1024),
    ),
    route('PUT /v1/roles/:name', ['role:create', 'role:update'], 'role.put', roleSchema, async (c) => {
      if (nameOf(c.params['name']) !== c.body.name) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      await roles.put(c.body, await guard.author(c));
      return c.body;
    }),
    route('DELETE /v1/roles/:name', ['role:delete'], 'role.delete', noBody, async (c) =>
      roles.remove(nameOf(c.params['name']), await guard.author(c)),
    ),
    route(
      'POST /v1/access/check',
      ['user'],
      'access.check',
      checkBody,
      async ({ principal, body }: Context<z.output<typeof checkBody>>): Promise<AccessExplanation> => {
        if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED');
        const { identity } = principal;
        const own = body.user === identity.user;
        // About others: whoever may see what others reach.
        if (!own && !decideResource({ user: identity.user, roles: principal.roles }, 'access', 'read').allowed)
          throw new StenoError('ACCESS_DENIED', 'no role of yours allows to see what others may reach');
        const node = directory.node(body.node);
        if (node === undefined) throw new StenoError('NODE_UNKNOWN', body.node);
        // Of oneself by the certificate at hand, of others as they would come in now.
        const held = own ? identity : await asLoggedIn(body.user);
        const snapshot = directory.current();
        const lock = lockOn(snapshot.locks, [...lockTargets(held), ['node', node.name], ['login', body.login]], clock());
        const effective = own ? principal.roles : rolesNamed(held.roles, snapshot.roles);
        const stored = (await roles.list()).filter(({ role }) => effective.some(({ name: known }) => known === role.name));
        return explainAccess(
          { user: held.user, traits: held.traits, roles: effective },
          node,
          body.login,
          stored,
          lock === null ? null : `${lock.target_kind} ${lock.target}`,
        );
      },
    ),
  ];
}

function documentOf({ role, source, revision, updatedAt, updatedBy }: StoredRole): RoleDocument {
  return { name: role.name, revision, source, updated_at: updatedAt, updated_by: updatedBy, role };
}

function may(principal: Principal, verb: 'list' | 'read'): boolean {
  return principal.kind === 'user' && decideResource({ user: principal.identity.user, roles: principal.roles }, 'role', verb).allowed;
}

function holds(principal: Principal, name: string): boolean {
  return principal.kind === 'user' && principal.identity.roles.includes(name);
}

function nameOf(text: string | undefined): string {
  if (text === undefined || !isName(text)) throw new StenoError('BAD_REQUEST', 'name: is not a valid name');
  return text;
}
