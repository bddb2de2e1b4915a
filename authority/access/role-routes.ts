/** The routes of roles, and of access checks. */
import { applyRoles, checkAccess, deleteRole, listRoles, putRole, showRole } from '#schemas/api/access/roles.js';
import type { RoleDocument } from '#schemas/api/access/roles.js';
import { StenoError } from '#schemas/base/errors.js';
import { decideResource } from '#schemas/policy/administration.js';
import { lockOn, lockTargets, rolesNamed } from '#runtime/http/request-auth.js';
import { handle } from '../http/server.js';
import type { Principal, Route } from '../http/server.js';
import { explainAccess } from './explain.js';
import { Roles } from './roles.js';
import type { RolesParts } from './roles.js';
import type { StoredRole } from '../records/roles.js';

export function roleRoutes(parts: RolesParts): readonly Route[] {
  const { records, directory, clock, guard } = parts;
  const roles = new Roles(parts);
  const asLoggedIn = async (user: string) => {
    const found = await records.user(user);
    if (found === undefined) throw new StenoError('NOT_FOUND', `user ${user}`);
    return { user, roles: found.roles, traits: found.traits, requests: [], mfa: null };
  };
  return [
    // Users who may not list roles see the ones they hold.
    handle(listRoles, async ({ principal }) => {
      const all = await records.roles();
      return principal.kind !== 'user' || may(principal, 'list') ? all : all.filter((role) => holds(principal, role.name));
    }),
    handle(showRole, async ({ principal }, { name }) => {
      if (!may(principal, 'read') && !holds(principal, name))
        throw new StenoError('ACCESS_DENIED', 'none of your roles permits reading roles');
      return documentOf(await roles.get(name));
    }),
    handle(
      applyRoles,
      async (c) => ({ applied: await roles.apply(c.body.documents, c.body.check, await guard.author(c)) }),
      ({ documents }) =>
        documents
          .map(({ source }) => /^name:[ \t]*(\S{1,63})/m.exec(source)?.[1] ?? '?')
          .join(' ')
          .slice(0, 1024),
    ),
    handle(putRole, async (c, { name }) => {
      if (name !== c.body.name) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      await roles.put(c.body, await guard.author(c));
      return c.body;
    }),
    handle(deleteRole, async (c, { name }) => roles.remove(name, await guard.author(c))),
    handle(checkAccess, async ({ principal, body }) => {
      if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED');
      const { identity } = principal;
      const own = body.user === identity.user;
      // About other users: requires permission to read their access.
      if (!own && !decideResource({ user: identity.user, roles: principal.roles }, 'access', 'read').allowed)
        throw new StenoError('ACCESS_DENIED', "none of your roles permits viewing other users' access");
      const node = directory.node(body.node);
      if (node === undefined) throw new StenoError('NODE_UNKNOWN', body.node);
      // The user's own access by the present certificate, that of others as if they logged in now.
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
    }),
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
