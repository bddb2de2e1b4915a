/** Stored connectors: on SQLite, and on PostgreSQL for two authorities. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectorSchema } from '#schemas/documents/connector.js';
import type { Connector as ConnectorDocument } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { openState } from '#stores/state/open.js';
import type { StateOptions } from '#stores/state/open.js';
import { postgresPrograms, startPostgres } from '#stores/state/testing/postgres-server.js';
import type { PostgresServer } from '#stores/state/testing/postgres-server.js';
import { createSealer } from '../../ca/seal.js';
import { keepName, releaseName } from '../../records/names.js';
import { PowerGuard } from '../../power/guard.js';
import type { Author } from '../../power/guard.js';
import { Records } from '../../records/records.js';
import { SsoConnectors } from './connectors.js';
import { metadataUrl } from './saml.js';
import { ann, base64, respond, signingKey } from './testing/saml-provider.js';
import type { SigningKey } from './testing/saml-provider.js';

const web = 'https://steno.example.com';
const role = (name: string, more: object = {}): Role => roleSchema.parse({ kind: 'role', name, ...more });
const known: readonly Role[] = [
  role('admin', { administer: true }),
  role('sre'),
  role('dev', { allow: { nodes: { env: 'dev' }, logins: ['www'] } }),
  role('kept', { deny: { nodes: { env: 'prod' } } }),
  role('named', { allow: { nodes: { env: 'dev' }, logins: ['{user}'] } }),
  role('writer', { allow: { rules: [{ resources: ['connector'], verbs: ['create', 'update'] }] } }),
];
const root: Author = { actor: 'root', source: '', subject: { user: 'root', traits: {}, roles: [known[0]!] }, everything: true, hands: [] };
const rules = [{ claim: 'groups', value: 'sre', roles: ['sre'] }];
const oidc = (more: object = {}): ConnectorDocument =>
  connectorSchema.parse({
    kind: 'oidc',
    name: 'okta',
    issuer: 'https://idp.example.com',
    client_id: 'steno',
    client_secret: 'hush-hush-hush',
    claims_to_roles: rules,
    ...more,
  });
let idp: SigningKey;
beforeAll(async () => {
  idp = await signingKey();
});
const saml = (more: object = {}): ConnectorDocument =>
  connectorSchema.parse({
    kind: 'saml',
    name: 'adfs',
    entity_id: 'https://idp.example.com/metadata',
    sso_url: 'https://idp.example.com/sso',
    certificates: [idp.cert],
    claims_to_roles: rules,
    ...more,
  });
const refusal = (act: Promise<unknown>): Promise<string> =>
  act.then(
    () => 'accepted',
    (error: unknown) => (error instanceof StenoError ? `${error.code} ${error.detail ?? ''}` : `not a refusal: ${String(error)}`),
  );

const postgres = postgresPrograms();
describe.each([
  { engine: 'sqlite', missing: undefined as string | undefined },
  { engine: 'postgres', missing: 'missing' in postgres ? postgres.missing : undefined },
])('on $engine', ({ engine, missing }) => {
  describe.skipIf(missing !== undefined)(missing ?? 'connectors', () => {
    const folder = mkdtempSync(join(tmpdir(), 'steno-sso-'));
    const stores: Records[] = [];
    let server: PostgresServer | undefined;
    let one: SsoConnectors;
    let two: SsoConnectors;
    beforeAll(async () => {
      server = engine === 'postgres' ? await startPostgres() : undefined;
      const state: StateOptions =
        server === undefined
          ? { kind: 'sqlite', file: join(folder, 'state.sqlite') }
          : { kind: 'postgres', url: await server.newDatabase() };
      const sealer = createSealer(randomBytes(32));
      // SQLite serves one authority.
      for (let i = 0; i < (server === undefined ? 1 : 2); i += 1) stores.push(new Records(await openState(state)));
      [one, two] = [stores[0]!, stores.at(-1)!].map(
        (records) =>
          new SsoConnectors({
            records,
            sealer,
            guard: new PowerGuard({ records, directory: { current: () => ({ roles: known }) } as never }),
            clock: Date.now,
            web,
          }),
      ) as [SsoConnectors, SsoConnectors];
    });
    afterAll(async () => {
      for (const store of stores) await store.close();
      await server?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    test('what one authority applies the other has, without the secret', async () => {
      await one.put(oidc({ display: 'Okta' }), root);
      expect(await two.list()).toContainEqual({ name: 'okta', kind: 'oidc', label: 'Okta' });
      expect(JSON.stringify([await two.documents(), await two.document('okta')])).not.toContain('hush');
      const rows = await stores[0]!.outbox(100);
      expect(rows.map(({ text }) => text).join()).toContain('connector.put');
      expect(rows.map(({ text }) => text).join()).not.toContain('hush');
      if (engine === 'sqlite')
        for (const file of ['state.sqlite', 'state.sqlite-wal']) expect(readFileSync(join(folder, file)).includes('hush')).toBe(false);
    });

    test('a secret stays while the issuer does', async () => {
      await one.put(oidc({ client_secret: 'another secret', display: 'x' }), root);
      await one.put(oidc({ client_secret: undefined, display: 'y' }), root);
      expect(await refusal(one.put(oidc({ client_secret: undefined, issuer: 'https://evil.example.com' }), root))).toContain(
        'BAD_REQUEST client_secret',
      );
      expect(await refusal(one.put(oidc({ client_secret: undefined, name: 'new' }), root))).toContain('BAD_REQUEST client_secret');
      expect(await refusal(one.put(oidc({ client_secret: undefined, client_auth: 'none', name: 'public' }), root))).toBe('accepted');
    });

    test('who may write connectors, and no more, gives no role that they do not hold', async () => {
      const putBy = (document: Parameters<SsoConnectors['put']>[0], ...names: readonly string[]): Promise<string> =>
        refusal(
          one.put(document, {
            ...root,
            everything: names.includes('admin'),
            subject: { user: 'ann', traits: {}, roles: known.filter(({ name }) => names.includes(name)) },
          }),
        );
      expect(await putBy(oidc({ name: 'theirs' }), 'dev')).toContain('ACCESS_DENIED none of your roles');
      expect(await putBy(oidc({ name: 'theirs' }), 'writer')).toContain('POWER_LACKING the role sre');
      expect(await putBy(oidc({ name: 'theirs' }), 'writer', 'sre')).toBe('accepted');
      expect(
        await putBy(oidc({ name: 'theirs', claims_to_roles: [{ claim: 'a', value: 'b', roles: ['named'] }] }), 'writer', 'named'),
      ).toContain('POWER_LACKING role named: login {user}');
      expect(
        await putBy(oidc({ name: 'theirs', claims_to_roles: [{ claim: 'a', value: 'b', roles: ['dev'] }] }), 'writer', 'dev', 'kept'),
      ).toContain('POWER_LACKING role dev');
      expect(await putBy(oidc({ name: 'theirs' }), 'admin')).toBe('accepted');
    });

    test('the key towards a SAML provider stays, and is sealed', async () => {
      await one.put(saml(), root);
      const before = await two.metadata('adfs');
      await one.put(saml({ display: 'AD FS', encryption: 'allow' }), root);
      const certificate = /<ds:X509Certificate>([^<]+)/.exec(before)![1]!;
      expect((await two.metadata('adfs')).split(certificate)).toHaveLength(3);
      expect(await refusal(two.metadata('okta'))).toContain('CONNECTOR_UNKNOWN');
      const small = await signingKey(1024);
      expect(await refusal(one.put(saml({ certificates: [small.cert] }), root))).toContain('2048');
    });

    test('an assertion is taken once, whichever authority it comes to', async () => {
      const [first, second] = [(await one.find('adfs'))!, (await two.find('adfs'))!];
      const attempt = { state: 's'.repeat(43), callback: `${web}/api/login/callback/adfs` };
      const { kept } = await first.begin(attempt);
      const xml = await respond(idp, {
        audience: metadataUrl(web, 'adfs'),
        recipient: attempt.callback,
        destination: attempt.callback,
        inResponseTo: kept['id']!,
      });
      const answer = { method: 'POST' as const, query: {}, form: { SAMLResponse: base64(xml) } };
      const outcomes = await Promise.all(
        [first, second, first, second].map((connector) => refusal(connector.finish(answer, kept, attempt))),
      );
      expect(outcomes.filter((one) => one === 'accepted')).toHaveLength(1);
      expect(outcomes.filter((one) => one.startsWith('SSO_REPLAYED'))).toHaveLength(3);
    });

    test('a name is that of whoever came first with it, as long as that user is there', async () => {
      const connector = (await one.find('adfs'))!;
      const attempt = { state: 's'.repeat(43), callback: `${web}/api/login/callback/adfs` };
      const logIn = async (nameId: string, name: string): Promise<string> => {
        await one.put(saml({ user: { claim: 'name' } }), root);
        const { kept } = await connector.begin(attempt);
        const xml = await respond(
          idp,
          { audience: metadataUrl(web, 'adfs'), recipient: attempt.callback, destination: attempt.callback, inResponseTo: kept['id']! },
          { ...ann, nameId, attributes: { ...ann.attributes, name } },
        );
        return refusal((await two.find('adfs'))!.finish({ method: 'POST', query: {}, form: { SAMLResponse: base64(xml) } }, kept, attempt));
      };
      const users = (change: 'add' | 'remove') =>
        stores[0]!.actOn(async (tx) => {
          if (change === 'add')
            await tx
              .insertInto('users')
              .values({ name: 'joe', roles: '[]', created_at: 0, disabled_at: null, kind: 'sso', connector: 'adfs' })
              .execute();
          else await tx.deleteFrom('users').where('name', '=', 'joe').execute();
          return { result: undefined, rows: [] };
        });
      expect(await logIn('id-1', 'joe')).toBe('accepted');
      await users('add');
      expect(await logIn('id-1', 'Joe')).toBe('accepted');
      expect(await logIn('id-2', 'joe')).toContain('SSO_NAME');
      await users('remove');
      expect(await logIn('id-2', 'joe')).toBe('accepted');
      // A name of a removed user belongs to that person until somebody releases it.
      await stores[0]!.actOn(async (tx) => ({ result: await keepName(tx, 'joe', 1), rows: [] }));
      expect(await logIn('id-2', 'joe')).toBe('accepted');
      expect(await logIn('id-3', 'joe')).toContain('SSO_NAME');
      await stores[0]!.actOn(async (tx) => ({ result: await releaseName(tx, 'joe', 2), rows: [] }));
      expect(await logIn('id-3', 'joe')).toBe('accepted');
    });

    test('one that is removed is gone, with the web sessions it began', async () => {
      await stores[0]!.actOn(async (tx) => {
        await tx.insertInto('users').values({ name: 'ann', roles: '[]', created_at: 0, disabled_at: null }).execute();
        await tx
          .insertInto('web_sessions')
          .values([
            { hash: 'a', user: 'ann', created_at: 0, expires_at: 1, via: 'adfs' },
            { hash: 'b', user: 'ann', created_at: 0, expires_at: 1, via: 'okta' },
          ])
          .execute();
        return { result: undefined, rows: [] };
      });
      await one.remove('adfs', root);
      expect(await two.find('adfs')).toBeUndefined();
      expect(await stores.at(-1)!.read((db) => db.selectFrom('web_sessions').select('hash').execute())).toEqual([{ hash: 'b' }]);
      expect(await refusal(one.remove('adfs', root))).toContain('CONNECTOR_UNKNOWN');
    });

    test.each(['../roles', 'a/b', '', '__proto__', 'x'.repeat(100), 'constructor'])('there is none of the name %j', async (name) => {
      expect(await one.find(name)).toBeUndefined();
    });
  });
});
