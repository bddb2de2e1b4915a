/** A compromised gateway requests session certificates in the name of users. */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionCertificateRequest, UserProof } from '#schemas/api/services/certificates.js';
import { OPTION_GATEWAY_ONLY, identityExtensions } from '#schemas/base/identity.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { KeyKind, SshPrivateKey } from '#runtime/ssh/keys.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import type { ProofWish } from '#runtime/ssh/testing/user-proof.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, casIn, clientOf, temporaryFolder } from '../testing/authority.js';
import type { Administrator } from '../testing/authority.js';
import { CLAIM_MS } from './user-proofs.js';

interface Person {
  readonly name: string;
  readonly key: SshPrivateKey;
  readonly certificate: Uint8Array;
}

const cleanup = new Cleanup();
const refused = (why: string): unknown => expect.objectContaining({ code: 'USER_PROOF_REFUSED', detail: expect.stringContaining(why) });
const hash = (text: string): string => createHash('sha256').update(Buffer.from(text, 'base64')).digest('hex');
let dir: string;
let now = Date.now();
let admin: Administrator;
let gateways: readonly (AuthorityClient & { readonly identity: ServiceIdentity })[];
let ann: Person;
let bob: Person;

beforeAll(async () => {
  dir = temporaryFolder(cleanup);
  const authority = await authorityIn(dir, cleanup, {}, () => now);
  admin = await administrator(authority, cleanup, () => now);
  for (const node of ['web-1', 'web-2'])
    await admin.call('PUT', `/v1/nodes/${node}`, {
      name: node,
      kind: 'openssh',
      address: 'h:22',
      labels: {},
      host_keys: [],
      node_principals: node === 'web-2',
    });
  gateways = [
    await clientOf(authority, { kind: 'gateway', name: 'gw-1', hostNames: [], everyHostKey: true }, cleanup),
    await clientOf(authority, { kind: 'gateway', name: 'gw-2', hostNames: [] }, cleanup),
  ];
  [ann, bob] = [await certified('ann'), await certified('bob')];
});
afterAll(() => cleanup.run());

async function certified(name: string, kind: KeyKind = 'ed25519', endsIn = 3600): Promise<Person> {
  const [key, seconds] = [generateKey(kind), BigInt(Math.floor(now / 1000))];
  const certificate = await (
    await casIn(dir)
  ).issueSsh('ssh-user', {
    publicKey: key.publicBlob,
    serial: 1_000_000n,
    kind: 'user',
    keyId: `user=${name}`,
    principals: ['-steno-login:deploy', '-steno-login:app'],
    validAfter: seconds - 60n,
    validBefore: seconds + BigInt(endsIn),
    criticalOptions: new Map([[OPTION_GATEWAY_ONLY, '']]),
    extensions: identityExtensions({ user: name, roles: ['admin'], traits: {}, mfa: null, requests: [] }),
  });
  return { name, key, certificate };
}

const prove = (who: Person, wish: Partial<ProofWish> = {}): UserProof =>
  signUserProof(who.key, who.certificate, { userName: 'deploy', ...wish });
const asking = (who: Person, change: Partial<SessionCertificateRequest> = {}): SessionCertificateRequest => ({
  user: who.name,
  login: 'deploy',
  node: 'web-1',
  public_key: formatPublicLine(generateKey().publicBlob),
  user_certificate: encodeBase64(who.certificate),
  source_address: '192.0.2.9',
  proof: prove(who),
  ...change,
});

describe('for a user who connects to it, a gateway gets a certificate', () => {
  it.each(['ed25519', 'p256', 'rsa'] as const)('with a key of kind %s, for the node alone', async (kind) => {
    const who = await certified('ann', kind);
    expect(parseCertificate(await gateways[0]!.sessionCertificate(asking(who))).principals).toEqual(['deploy', 'deploy@web-1']);
    expect(parseCertificate(await gateways[0]!.sessionCertificate(asking(who, { node: 'web-2', proof: prove(who) }))).principals).toEqual([
      'deploy@web-2',
    ]);
  });

  it('as often as it needs for the connection it is about, within two minutes', async () => {
    const request = asking(ann);
    for (let i = 0; i < 3; i++) await gateways[0]!.sessionCertificate(request);
    const before = now;
    now += CLAIM_MS;
    await gateways[0]!.sessionCertificate(request);
    now += 1;
    await expect(gateways[0]!.sessionCertificate(request)).rejects.toEqual(refused('too long ago'));
    now = before;
  });

  it('by each of its host keys, as it is or in a certificate of any name, where the user signed that too', async () => {
    const { identity } = gateways[0]!;
    const keys = [identity.hostKey!, ...identity.moreHostKeys];
    expect(keys.map(({ type }) => type)).toEqual(['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ssh-rsa']);
    for (const key of keys) {
      const asNode = await gateways[0]!.hostCertificate({ public_key: formatPublicLine(key.publicBlob), name: 'web-1' });
      for (const hostKey of [key.publicBlob, asNode])
        await gateways[0]!.sessionCertificate(asking(ann, { proof: prove(ann, { hostKey }) }));
    }
  });
});

describe('nothing but a refusal, which is in the audit, is for a gateway', () => {
  const cases: readonly (readonly [
    string,
    string,
    () => Promise<readonly [SessionCertificateRequest, number?]> | readonly [SessionCertificateRequest, number?],
  ])[] = [
    [
      'that has no signature',
      'older than the authority',
      () => {
        const { proof: _, ...without } = asking(ann);
        return [without as SessionCertificateRequest];
      },
    ],
    ['that has the signature of another user', 'does not match this user', () => [asking(ann, { proof: prove(bob) })]],
    [
      'that has the signature of the same key under another certificate',
      'does not match this user',
      async () => {
        const again = await certified('ann');
        return [asking(ann, { proof: signUserProof(ann.key, again.certificate, { userName: 'deploy' }) })];
      },
    ],
    [
      'that has a signature of the user over something else',
      'does not match this user',
      () => [asking(ann, { proof: { ...prove(ann), signature: encodeBase64(ann.key.sign(randomBytes(64))) } })],
    ],
    [
      'that has the bytes of another connection',
      'does not match this user',
      () => [asking(ann, { proof: { ...prove(ann), session_id: encodeBase64(randomBytes(32)) } })],
    ],
    ['that asks for another login than the user', 'the user asked for', () => [asking(ann, { login: 'app' })]],
    [
      'that asks for another node than the user named',
      'the user asked for',
      () => [asking(ann, { proof: prove(ann, { userName: 'deploy@web-2' }) })],
    ],
    [
      'that asks for another login than the user named with the node',
      'the user asked for',
      () => [asking(ann, { login: 'app', proof: prove(ann, { userName: 'deploy@web-1' }) })],
    ],
    ['that has what the user signed to jump', 'the user asked for', () => [asking(ann, { proof: prove(ann, { userName: 'ann' }) })]],
    [
      'that altered what the user asked for',
      'does not match this user',
      () => [asking(ann, { login: 'app', proof: { ...prove(ann), user_name: 'app' } })],
    ],
    [
      'that names another algorithm',
      'does not match this user',
      () => [asking(ann, { proof: { ...prove(ann), algorithm: 'ssh-ed25519' } })],
    ],
    [
      'that leaves the host key out',
      'does not match this user',
      () => {
        const { host_key: _, ...proof } = prove(ann, { hostKey: gateways[1]!.identity.hostKey!.publicBlob });
        return [asking(ann, { proof })];
      },
    ],
    [
      'that puts its host key in',
      'does not match this user',
      () => [asking(ann, { proof: { ...prove(ann), host_key: encodeBase64(gateways[0]!.identity.hostKey!.publicBlob) } })],
    ],
    [
      'that is another than the one whose host key the user signed',
      'another server than gw-1',
      () => [asking(ann, { proof: prove(ann, { hostKey: gateways[1]!.identity.hostKey!.publicBlob }) })],
    ],
    [
      'that shows a certificate of its own for a host key which it was not enrolled with',
      'another server than gw-1',
      async () => {
        const key = generateKey();
        return [
          asking(ann, {
            proof: prove(ann, {
              hostKey: await gateways[0]!.hostCertificate({ public_key: formatPublicLine(key.publicBlob), name: 'web-1' }),
            }),
          }),
        ];
      },
    ],
    [
      'to whom the user spoke through a server of somebody else',
      'another server than gw-1',
      () => [asking(ann, { proof: prove(ann, { hostKey: generateKey().publicBlob }) })],
    ],
    [
      'that brings what another gateway showed already',
      'this connection was for deploy on web-1 through gw-1',
      async () => {
        const request = asking(ann);
        await gateways[0]!.sessionCertificate(request);
        return [request, 1];
      },
    ],
    [
      'that takes one connection for a second node',
      'this connection was for deploy on web-1',
      async () => {
        const request = asking(ann);
        await gateways[0]!.sessionCertificate(request);
        return [{ ...request, node: 'web-2' }];
      },
    ],
    [
      'that has an RSA signature with SHA-1',
      'does not match this user',
      async () => {
        const who = await certified('ann', 'rsa');
        const proof = prove(who);
        const reader = new SshReader(Buffer.from(proof.signature, 'base64'), 'SIGNATURE_GARBLED');
        reader.string('the algorithm');
        const relabelled = new SshWriter().utf8('ssh-rsa').string(reader.string('the signature')).bytes();
        return [asking(who, { proof: { ...proof, algorithm: 'ssh-rsa-cert-v01@openssh.com', signature: encodeBase64(relabelled) } })];
      },
    ],
  ];
  for (const [who, why, make] of cases) {
    it(who, async () => {
      const [request, at = 0] = await make();
      await expect(gateways[at]!.sessionCertificate(request)).rejects.toEqual(refused(why));
      const state = await openState({ kind: 'sqlite', file: join(dir, 'authority', 'state.sqlite') });
      const rows = (await state.selectFrom('audit_outbox').select('row').orderBy('created_at').execute()).map(
        ({ row }) => JSON.parse(row) as AuditRow,
      );
      await state.destroy();
      expect(rows).toContainEqual(
        expect.objectContaining({
          event: 'session_certificate.issue',
          outcome: 'failure',
          code: 'USER_PROOF_REFUSED',
          actor: `gateway/gw-${at + 1}`,
          reason: expect.stringContaining(why),
        }),
      );
    });
  }

  it('that comes when the user certificate is over', async () => {
    const who = await certified('ann', 'ed25519', 60);
    now += 60_000;
    await expect(gateways[0]!.sessionCertificate(asking(who))).rejects.toEqual(expect.objectContaining({ code: 'CERT_EXPIRED' }));
    now -= 60_000;
  });

  it.each([
    ['session_id', 'AAAA'],
    ['session_id', encodeBase64(new Uint8Array(65))],
    ['signature', '*'],
    ['user_name', ''],
  ] as const)('that garbles %s', async (field, value) => {
    await expect(gateways[0]!.sessionCertificate(asking(ann, { proof: { ...prove(ann), [field]: value } }))).rejects.toEqual(
      expect.objectContaining({ code: 'BAD_REQUEST' }),
    );
  });
});

it('one connection is worth one node and login through one gateway, in whatever order and however many at once they are asked for', async () => {
  const wish = fc.record({
    connection: fc.nat(2),
    gateway: fc.nat(1),
    node: fc.constantFrom('web-1', 'web-2'),
    login: fc.constantFrom('deploy', 'app'),
    person: fc.nat(1),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(wish, { minLength: 1, maxLength: 12 }), fc.boolean(), async (wishes, together) => {
      const ids = [randomBytes(32), randomBytes(64), randomBytes(48)];
      // A connecting user signs for one login; a compromised gateway may use that signature in any request.
      const signedFor = ['deploy', 'app', 'deploy'];
      const people = [ann, bob];
      const ask = async ({ connection, gateway, node, login, person }: (typeof wishes)[number]): Promise<string | null> => {
        const who = people[person]!;
        const proof = prove(people[connection % 2]!, { sessionId: ids[connection]!, userName: signedFor[connection]! });
        return gateways[gateway]!.sessionCertificate(asking(who, { node, login, proof })).then(
          () => JSON.stringify([connection, gateway, node, login, person]),
          () => null,
        );
      };
      const given = together ? await Promise.all(wishes.map(ask)) : [];
      if (!together) for (const one of wishes) given.push(await ask(one));
      const granted = new Map<number, Set<string>>();
      for (const text of given) {
        if (text === null) continue;
        const [connection, , , login, person] = JSON.parse(text) as [number, number, string, string, number];
        expect([login, person]).toEqual([signedFor[connection], connection % 2]);
        granted.set(connection, (granted.get(connection) ?? new Set()).add(text));
      }
      for (const [, texts] of granted) expect(texts.size).toBe(1);
      // An honest first request is never refused.
      const first = wishes.find(({ connection, login, person }) => login === signedFor[connection] && person === connection % 2);
      if (first !== undefined) expect(granted.has(first.connection)).toBe(true);
    }),
    { numRuns: 40 },
  );
});

it('what is claimed is kept until the certificate ends, and no longer', async () => {
  const request = asking(ann);
  await gateways[0]!.sessionCertificate(request);
  const state = await openState({ kind: 'sqlite', file: join(dir, 'authority', 'state.sqlite') });
  const row = await state
    .selectFrom('user_proofs')
    .selectAll()
    .where('hash', '=', hash(request.proof.session_id))
    .executeTakeFirstOrThrow();
  await state.destroy();
  expect(row).toMatchObject({
    gateway: 'gw-1',
    login: 'deploy',
    node: 'web-1',
    seen_at: now,
    expires_at: Number(parseCertificate(ann.certificate).validBefore) * 1000,
  });
});
