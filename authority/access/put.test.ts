import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { roleSchema } from '#schemas/policy/role.js';
import { Cleanup, administrator, authorityIn, person, temporaryFolder } from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';
import type { RunningAuthority } from '../app.js';

const cleanup = new Cleanup();
const denied: unknown = expect.objectContaining({ code: 'ACCESS_DENIED' });
let dir: string;
let authority: RunningAuthority;
let admin: Administrator;
beforeAll(async () => {
  dir = temporaryFolder(cleanup);
  authority = await authorityIn(dir, cleanup);
  admin = await administrator(authority, cleanup);
});
afterAll(() => cleanup.run());

describe('PUT', () => {
  const role = (name: string, resource: string, verb: string): object =>
    roleSchema.parse({ kind: 'role', name, allow: { rules: [{ resources: [resource], verbs: [verb] }] } });
  const things: Readonly<Record<string, (name: string) => object>> = {
    '/v1/nodes/:name': (name) => ({ name, kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] }),
    '/v1/roles/:name': (name) => roleSchema.parse({ kind: 'role', name }),
    '/v1/locks/:name': (name) => ({ id: name, target_kind: 'user', target: 'mallory', reason: '', expires_at: null }),
    '/v1/connectors/:name': (name) => ({
      kind: 'oidc',
      name,
      issuer: 'https://id.example.com',
      client_id: 'a',
      client_secret: 'b',
      claims_to_roles: [{ claim: 'groups', value: 'none', roles: ['shared'] }],
    }),
  };
  const made = (): readonly { readonly path: string; readonly resource: string }[] =>
    authority.routes
      .filter(({ method, admits }) => method === 'PUT' && admits.some((who) => who.endsWith(':create') || who.endsWith(':update')))
      .map(({ path, admits }) => ({ path, resource: admits.find((who) => who.includes(':'))!.split(':')[0]! }));

  it('that makes something needs `create`, that changes something `update`, wherever there is one', async () => {
    const only = async (resource: string, verb: string): Promise<Signer> => {
      const name = `${resource}-${verb}`;
      await admin.call('PUT', `/v1/roles/${name}`, role(name, resource, verb));
      await admin.call('POST', '/v1/users', { name: `may-${name}`, roles: [name, 'shared'] });
      return person(authority, dir, admin, `may-${name}`, [name, 'shared'], cleanup);
    };
    // A new node requires every login that roles open on it.
    await admin.call(
      'PUT',
      '/v1/roles/shared',
      roleSchema.parse({ kind: 'role', name: 'shared', allow: { nodes: { '*': '*' }, logins: ['*', 'root'] } }),
    );
    // Routes that create nothing: they change something existing, or refuse.
    const changing = new Set(['/v1/users/:name', '/v1/ca/:name/rotation', '/v1/rules/:name/enabled']);
    // A piece takes effect only when the import is finished, and that call requires the verb.
    changing.add('/v1/hash-lists/:name/pieces');
    const paths = made().filter(({ path }) => !changing.has(path));
    expect(paths.map(({ path }) => path).sort()).toEqual(Object.keys(things).sort());
    for (const { path, resource } of paths) {
      const [creator, changer] = [await only(resource, 'create'), await only(resource, 'update')];
      const put = (who: Signer, name: string): Promise<unknown> => who.call('PUT', path.replace(':name', name), things[path]!(name));
      await expect(put(changer, 'made'), `${path} made by update`).rejects.toEqual(denied);
      await put(creator, 'made');
      await expect(put(creator, 'made'), `${path} changed by create`).rejects.toEqual(denied);
      await put(changer, 'made');
    }
    await expect(admin.call('PUT', '/v1/users/nobody-yet', { roles: ['admin'] })).rejects.toEqual(
      expect.objectContaining({ code: 'USER_UNKNOWN' }),
    );
  });
});
