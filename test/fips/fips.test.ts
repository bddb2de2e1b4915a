/** `steno up --fips`: refused without an active FIPS provider of OpenSSL, and a whole Steno with one. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaReport } from '#schemas/api/services/ca.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

/** OpenSSL's own folders, and the one where `.ci/debian13` unpacks the provider of Debian 13. */
const provider = [
  '/usr/lib/x86_64-linux-gnu/ossl-modules',
  fileURLToPath(new URL('../../node_modules/.cache/debian13/usr/lib/x86_64-linux-gnu/ossl-modules', import.meta.url)),
].find((folder) => existsSync(join(folder, 'fips.so')));
if (provider === undefined)
  process.stdout.write('skipped: a whole Steno in FIPS mode, for there is no fips.so here (.ci/debian13 fetches one)\n');

const folder = mkdtempSync(join(tmpdir(), 'steno-fips-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('without the provider', () => {
  const steno = new Steno();
  afterAll(() => steno.dispose());
  it('`steno up --fips` does not start, and says how to fix it', async () => {
    const { status, stderr } = await steno.steno(
      'up',
      '--fips',
      '--data',
      steno.data,
      '--ssh-listen',
      '127.0.0.1:0',
      '--web-listen',
      '127.0.0.1:0',
    );
    expect(status).toBe(78);
    expect(stderr).toMatch(/FIPS provider is not active.*\[FIPS_UNAVAILABLE\]/);
    expect(stderr).toMatch(/OPENSSL_CONF/);
    expect(existsSync(join(steno.data, 'authority'))).toBe(false);
  });
});

describe.skipIf(provider === undefined)('with the provider', () => {
  const steno = new Steno();
  beforeAll(async () => {
    const [module, config] = [join(folder, 'fipsmodule.cnf'), join(folder, 'openssl.cnf')];
    execFileSync('openssl', ['fipsinstall', '-quiet', '-module', join(provider!, 'fips.so'), '-out', module]);
    writeFileSync(
      config,
      [
        'nodejs_conf = init',
        `.include ${module}`,
        '[init]',
        'providers = providers',
        '[providers]',
        'fips = fips_sect',
        'base = base',
        '[base]',
        'activate = 1',
        '',
      ].join('\n'),
    );
    steno.env['OPENSSL_CONF'] = config;
    steno.env['OPENSSL_MODULES'] = provider!;
    await steno.start('--fips');
  }, 120_000);
  afterAll(() => steno.dispose());

  it('login, session, recording and verification work with approved algorithms only', async () => {
    const login = await steno.steno('login', '--data', steno.data);
    expect(login).toMatchObject({ status: 0 });
    const { status, stdout, stderr } = await steno.ssh('-v', '-T', `${steno.login}@local.steno`, 'echo approved');
    expect({ status, stdout, logs: status === 0 ? '' : stderr + steno.logs() }).toEqual({ status: 0, stdout: 'approved\n', logs: '' });
    expect(stderr).toMatch(/kex: algorithm: (ecdh-sha2-nistp|diffie-hellman-group1[46])/);
    const [row] = await eventually(
      () => viewerOf(steno).sessions(),
      ([first]) => first?.state === 'sealed',
    );
    expect((await steno.steno('verify', row!.id)).status).toBe(0);
  });

  it('every key that signs for a CA is ECDSA P-256', async () => {
    const reports = await steno.json<CaReport[]>('ca', 'status');
    expect(reports.flatMap(({ keys }) => keys.map(({ algorithm }) => algorithm))).toEqual([
      'ecdsa-sha2-nistp256',
      'ecdsa-sha2-nistp256',
      'ecdsa-sha2-nistp256',
      'ecdsa-p256',
      'ecdsa-p256',
    ]);
  });

  it.each([
    ['TLS_AES_128_GCM_SHA256', {}, true],
    ['TLS_CHACHA20_POLY1305_SHA256', {}, false],
    ['AES-GCM on X25519', { ciphers: 'TLS_AES_128_GCM_SHA256', ecdhCurve: 'X25519' }, false],
    ['AES-CBC', { ciphers: 'ECDHE-ECDSA-AES128-SHA256', maxVersion: 'TLSv1.2' as const }, false],
  ])('the authority speaks %s: %#', async (name, options, spoken) => {
    const { authority } = JSON.parse(readFileSync(join(steno.data, 'run.json'), 'utf8')) as { authority: string };
    const url = new URL(authority);
    const outcome = await new Promise<string>((resolve) => {
      const socket = connect(
        {
          host: url.hostname,
          port: Number(url.port),
          rejectUnauthorized: false,
          ...(name.startsWith('TLS_') ? { ciphers: name, minVersion: 'TLSv1.3' } : {}),
          ...options,
        },
        () => {
          resolve('spoken');
          socket.destroy();
        },
      );
      socket.on('error', () => resolve('refused'));
    });
    expect(outcome).toBe(spoken ? 'spoken' : 'refused');
  });
});
