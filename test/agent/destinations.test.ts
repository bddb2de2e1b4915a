/** Destinations that the node service connects to for clients: stock ssh asks, with certificates like a gateway's, but without a gateway. */
import { execFile, execFileSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { hostname, networkInterfaces, userInfo } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { EXTENSION_FORWARDING, EXTENSION_VIA, nodePrincipal } from '#schemas/base/identity.js';
import { literalAddress, parseAddress } from '#schemas/base/ip-address.js';
import { forwardSettings } from '#schemas/policy/forwarding.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { Cleanup, silent, temporaryFolder } from '../../authority/testing/authority.js';
import { permittedDestinations } from '../../agent/ssh/destinations.js';
import { startSshService } from '../../agent/ssh/ssh-service.js';

const cleanup = new Cleanup();
const folder = temporaryFolder(cleanup);
const login = userInfo().username;
const [userCa, hostCa, hostKey, userKey] = [generateKey(), generateKey(), generateKey(), generateKey()];
let echo: Server;
let echoPort: number;
let port: number;

function certify(kind: 'user' | 'host', extensions: readonly (readonly [string, string])[]): Buffer {
  const now = Math.floor(Date.now() / 1000);
  return issueCertificate(kind === 'user' ? userCa : hostCa, {
    publicKey: kind === 'user' ? userKey.publicBlob : hostKey.publicBlob,
    serial: 1n,
    kind,
    keyId: 'test',
    principals: [kind === 'user' ? nodePrincipal(login, 'node') : 'node'],
    validAfter: BigInt(now - 60),
    validBefore: BigInt(now + 3600),
    criticalOptions: new Map(),
    extensions: new Map(extensions),
  });
}

beforeAll(async () => {
  echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, '::');
  await once(echo, 'listening');
  echoPort = (echo.address() as AddressInfo).port;
  const certificate = certify('host', []);
  const service = await startSshService(
    { host: '127.0.0.1', port: 0 },
    {
      node: 'node',
      hostKey,
      hostCertificate: () => certificate,
      userCas: () => [formatPublicLine(userCa.publicBlob)],
      log: silent,
      kernel: null,
      clock: Date.now,
    },
  );
  cleanup.add(() => service.close());
  cleanup.add(() => void echo.close());
  port = Number(service.address.split(':').at(-1));
  writeFileSync(join(folder, 'id'), userKey.toOpenSsh(), { mode: 0o600 });
  writeFileSync(join(folder, 'known_hosts'), `@cert-authority node ${formatPublicLine(hostCa.publicBlob)}\n`);
});
afterAll(() => cleanup.run());

/** By a certificate with these rules: `ssh -W`, and what came back of `x`. */
function reach(rules: object | string | null, where: string, permit = true): Promise<{ status: number; stdout: string; stderr: string }> {
  const told =
    rules === null
      ? []
      : [
          [
            EXTENSION_FORWARDING,
            typeof rules === 'string' ? rules : JSON.stringify({ allow: [forwardSettings.parse(rules)], deny: [] }),
          ] as const,
        ];
  writeFileSync(
    join(folder, 'id-cert.pub'),
    formatPublicLine(certify('user', [[EXTENSION_VIA, 'alice'], ...(permit ? [['permit-port-forwarding', ''] as const] : []), ...told])),
  );
  return new Promise((resolve) => {
    const child = execFile(
      'ssh',
      [
        '-F',
        '/dev/null',
        '-o',
        'BatchMode=yes',
        '-o',
        `UserKnownHostsFile=${join(folder, 'known_hosts')}`,
        '-o',
        'StrictHostKeyChecking=yes',
        '-o',
        'HostKeyAlias=node',
        '-o',
        'IdentitiesOnly=yes',
        '-i',
        join(folder, 'id'),
        '-o',
        `CertificateFile=${join(folder, 'id-cert.pub')}`,
        '-p',
        String(port),
        '-W',
        where,
        `${login}@127.0.0.1`,
      ],
      (error, stdout, stderr) => resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    child.stdin!.on('error', () => undefined);
    child.stdin!.end('x');
  });
}
const through = { status: 0, stdout: 'x' };
const refused = { status: 255, stdout: '', stderr: expect.stringContaining('[ACCESS_DENIED]') };

describe('the node service', () => {
  it('connects to its own loopback if roles allow it, and if the certificate has no rules', async () => {
    expect(await reach({}, `127.0.0.1:${echoPort}`)).toMatchObject(through);
    expect(await reach({}, `localhost:${echoPort}`)).toMatchObject(through);
    expect(await reach(null, `127.0.0.1:${echoPort}`)).toMatchObject(through);
  });

  it('does not connect if the certificate permits no forwarding or its rules cannot be read', async () => {
    expect(await reach({}, `127.0.0.1:${echoPort}`, false)).toMatchObject(refused);
    expect(await reach('garbage', `127.0.0.1:${echoPort}`)).toMatchObject(refused);
  });

  it.each([
    '127.0.0.1',
    'localhost',
    '127.1',
    '0x7f.1',
    '2130706433',
    '017700000001',
    '0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '127.99.1.2',
  ])('does not connect to itself as %s if a role closes loopback', async (host) => {
    expect(await reach({ loopback: false }, `${host}:${echoPort}`)).toMatchObject(refused);
  });

  const address = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
  it.skipIf(address === undefined)(
    'does not connect to itself by its network address or its host name if a role closes loopback',
    async () => {
      expect(await reach({}, `${address!}:${echoPort}`)).toMatchObject(through);
      expect(await reach({ loopback: false }, `${address!}:${echoPort}`)).toMatchObject(refused);
      const resolved = await lookup(hostname()).catch(() => null);
      if (resolved !== null) expect(await reach({ loopback: false }, `${hostname()}:${echoPort}`)).toMatchObject(refused);
    },
  );

  it('continues after an invalid port', async () => {
    const rules = { allow: [forwardSettings.parse({})], deny: [] };
    await expect(permittedDestinations(rules, { host: '127.0.0.1', port: 70_000 })).rejects.toThrow('no port');
    expect(await reach({}, `127.0.0.1:${echoPort}`)).toMatchObject(through);
  });

  it.skipIf(process.getuid!() !== 0)('connects to a link-local address only if a role opens it', async () => {
    const linkLocal = `169.254.${1 + (process.pid % 200)}.254`;
    execFileSync('ip', ['addr', 'add', `${linkLocal}/32`, 'dev', 'lo']);
    try {
      expect(await reach({}, `${linkLocal}:${echoPort}`)).toMatchObject(refused);
      expect(await reach({ to: [linkLocal] }, `${linkLocal}:${echoPort}`)).toMatchObject(refused);
      // The address is this machine's own, so it also counts as loopback.
      expect(await reach({ metadata: true }, `${linkLocal}:${echoPort}`)).toMatchObject(through);
    } finally {
      execFileSync('ip', ['addr', 'del', `${linkLocal}/32`, 'dev', 'lo']);
    }
  });
});

test('a name that resolves to another address a moment later gains nothing', async () => {
  let asked = 0;
  const resolve = async (): Promise<{ address: string; family: number }[]> =>
    asked++ === 0
      ? [
          { address: '127.0.0.1', family: 4 },
          { address: '::1', family: 6 },
        ]
      : [{ address: '169.254.169.254', family: 4 }];
  const rules = { allow: [forwardSettings.parse({})], deny: [] };
  expect(await permittedDestinations(rules, { host: 'rebinding.example.com', port: echoPort }, resolve)).toEqual(['127.0.0.1', '::1']);
  expect(asked).toBe(1);
});

test('only the permitted addresses of a name are tried', async () => {
  const rules = { allow: [forwardSettings.parse({})], deny: [] };
  const both = [
    { address: '169.254.169.254', family: 4 },
    { address: '127.0.0.1', family: 4 },
  ];
  expect(await permittedDestinations(rules, { host: 'both.example.com', port: echoPort }, async () => both)).toEqual(['127.0.0.1']);
  await expect(
    permittedDestinations(rules, { host: 'evil.example.com', port: 80 }, async () => [{ address: 'fe80::1%lo', family: 6 }]),
  ).rejects.toThrow('no role allows');
});

test('the rules and this machine’s resolver agree on which texts are addresses, and on which address', () => {
  const writings = [
    (n: number) => String(n),
    (n: number) => `0x${n.toString(16)}`,
    (n: number) => `0X${n.toString(16).toUpperCase()}`,
    (n: number) => `0${n.toString(8)}`,
    (n: number) => `000${n}`,
    (n: number) => `${n}x`,
    (n: number) => `-${n}`,
  ];
  const number = (most: number): fc.Arbitrary<string> =>
    fc.tuple(fc.integer({ min: 0, max: most }), fc.constantFrom(...writings)).map(([n, write]) => write(n));
  const dotted = (...mosts: readonly number[]): fc.Arbitrary<string> => fc.tuple(...mosts.map(number)).map((parts) => parts.join('.'));
  const piece = fc.constantFrom(
    '0',
    '0x',
    '0x7f',
    '0x000000000000000000007f',
    '00000000000000000000000177',
    '7',
    '08',
    '127',
    '256',
    '.',
    '..',
    ':',
    '::',
    'f',
    'ffff',
    '%lo',
    '1',
    ' ',
    '+1',
    'e',
    '/',
  );
  const spelling = fc.oneof(
    dotted(2 ** 32 + 10),
    dotted(260, 2 ** 24 + 5),
    dotted(260, 260, 65_540),
    dotted(260, 260, 260, 260),
    fc.array(piece, { minLength: 1, maxLength: 7 }).map((parts) => parts.join('')),
    fc.ipV6(),
  );
  const samples = fc.sample(spelling, 5_000);
  // AI_NUMERICHOST accepts exactly the spellings that are addresses without a lookup.
  const python = `
import socket, sys, json
out = []
for host in json.load(sys.stdin):
    try: out.append(socket.getaddrinfo(host, 1, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4][0])
    except (OSError, UnicodeError): out.append(None)
json.dump(out, sys.stdout)`;
  const resolved = JSON.parse(execFileSync('/usr/bin/python3', ['-c', python], { input: JSON.stringify(samples), encoding: 'utf8' })) as (
    string | null
  )[];
  expect(resolved.filter((address) => address !== null).length).toBeGreaterThan(500);
  const differing = samples.flatMap((text, i) => {
    const [theirs, ours] = [resolved[i] === null ? undefined : parseAddress(resolved[i]!)?.join(), literalAddress(text)?.join()];
    // The rules accept zones of interfaces that this machine does not have.
    return theirs === ours || (theirs === undefined && text.includes('%')) ? [] : [{ text, theirs, ours }];
  });
  expect(differing).toEqual([]);
});
