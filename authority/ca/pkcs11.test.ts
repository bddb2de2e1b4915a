import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CaReport } from '#schemas/api/services/ca.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { administrator, authorityIn, Cleanup, clientOf, onSocket, silent, temporaryFolder } from '../testing/authority.js';
import { openToken } from './pkcs11.js';
import { readSignerConfig } from './signer-config.js';
import type { SignerConfig } from './signer-config.js';

const module = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so'].find((path) => existsSync(path));
if (module === undefined) process.stdout.write("skipped: PKCS#11, for Debian's package softhsm2 is not installed\n");

const cleanup = new Cleanup();
const refusal = (code: string): unknown => expect.objectContaining({ code });

// The library reads its configuration once per process, so all tests share one token.
describe.skipIf(module === undefined)('CA keys in a token', () => {
  let config: SignerConfig;
  let tokens: string;
  let folder: string;
  beforeAll(() => {
    folder = temporaryFolder(cleanup);
    tokens = join(folder, 'tokens');
    mkdirSync(tokens);
    writeFileSync(join(folder, 'softhsm2.conf'), `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
    process.env['SOFTHSM2_CONF'] = join(folder, 'softhsm2.conf');
    writeFileSync(join(folder, 'pin'), 'secret-1234\n', { mode: 0o600 });
    execFileSync('softhsm2-util', ['--init-token', '--free', '--label', 'steno', '--pin', 'secret-1234', '--so-pin', 'secret-5678']);
    writeFileSync(join(folder, 'signer.yaml'), `kind: pkcs11\nmodule: ${module!}\ntoken: steno\npin_file: ${join(folder, 'pin')}\n`);
    config = readSignerConfig(join(folder, 'signer.yaml'));
  });
  afterAll(() => cleanup.run());

  const keyFile = (name: string): string => join(folder, name);
  /** The output of ssh-keygen for a certificate; it checks the CA's signature even if it verifies nothing else. */
  const shown = (line: string): string => {
    writeFileSync(keyFile('cert.pub'), `${line}\n`);
    return execFileSync('ssh-keygen', ['-L', '-f', keyFile('cert.pub')], { encoding: 'utf8' });
  };

  test('certify logins, services and hosts; none of them is in the state store, and they are found again', async () => {
    const dir = temporaryFolder(cleanup);
    const first = await authorityIn(dir, cleanup, { caSigner: config });
    const admin = await administrator(first, cleanup);
    expect(shown(admin.login.certificate)).toMatch(/Signing CA: (ED25519|ECDSA) SHA256/);
    expect(new X509Certificate(admin.login.x509_certificate!).verify(new X509Certificate(admin.login.x509_user_ca_pem).publicKey)).toBe(
      true,
    );
    const gateway = await clientOf(first, { kind: 'gateway', name: 'gw-1', hostNames: [], records: true }, cleanup);
    expect(shown(formatPublicLine(gateway.identity.hostCertificate()))).toContain('host certificate');
    const reports = (await admin.call('GET', '/v1/ca')) as CaReport[];
    expect(reports.map(({ keys }) => keys[0]!.signer)).toEqual(Array(5).fill('pkcs11'));
    await first.close();
    const second = await authorityIn(dir, cleanup, { caSigner: config });
    expect((await administrator(second, cleanup)).login.ssh_user_ca).toEqual(admin.login.ssh_user_ca);
    await second.close();
    await expect(authorityIn(dir, cleanup)).rejects.toEqual(refusal('CA_SIGNER_UNAVAILABLE'));
  });

  test('take over from sealed ones by a rotation, and go back the same way; a retired key is gone from the token', async () => {
    const dir = temporaryFolder(cleanup);
    await (await authorityIn(dir, cleanup)).close();
    const objects = (): number => execFileSync('find', [tokens, '-name', '*.object'], { encoding: 'utf8' }).trim().split('\n').length;
    const before = objects();
    const authority = await authorityIn(dir, cleanup, { caSigner: { ...config, cas: ['ssh-user'] } });
    const turn = async (): Promise<CaReport> => {
      let report: CaReport | undefined;
      for (const phase of ['init', 'update-clients', 'update-servers', 'standby']) {
        report = (await onSocket(authority, { method: 'PUT', target: '/v1/ca/ssh-user/rotation', body: { phase } })) as CaReport;
      }
      return report!;
    };
    expect((await turn()).keys.map(({ signer, state }) => `${state} ${signer}`)).toEqual(['active pkcs11', 'retired sealed']);
    expect(objects()).toBe(before + 2);
    expect(shown((await administrator(authority, cleanup)).login.certificate)).toMatch(/Signing CA/);
    await turn();
    expect(objects()).toBe(before + 2);
    await authority.close();
  });

  test('that do not answer certify nobody, and do again once the token is back', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup, { caSigner: { ...config, cas: ['ssh-user'] } });
    const logIn = (): Promise<unknown> =>
      onSocket(authority, { method: 'POST', target: '/v1/login', body: { public_key: formatPublicLine(generateKey().publicBlob) } });
    await logIn();
    renameSync(tokens, `${tokens}.away`);
    await expect(logIn()).rejects.toEqual(refusal('CA_SIGNER_UNAVAILABLE'));
    renameSync(`${tokens}.away`, tokens);
    await expect(logIn()).resolves.toMatchObject({ certificate: expect.any(String) });
    await authority.close();
  });

  // A logged-in process is not asked for a PIN: make sure that nobody is logged in any more.
  test('behind a wrong PIN, in an unknown token or in no library at all are an error that says so; the PIN is tried once', async () => {
    writeFileSync(keyFile('wrong-pin'), 'wrong-0000\n', { mode: 0o600 });
    const wrong = openToken({ ...config, pin_file: keyFile('wrong-pin') }, { log: silent });
    await expect(wrong.place.make('ssh-user', 1, 'ed25519')).rejects.toEqual(refusal('CA_SIGNER_UNAVAILABLE'));
    await expect(wrong.place.make('ssh-user', 1, 'ed25519')).rejects.toMatchObject({ detail: expect.stringContaining('refused the PIN') });
    for (const change of [{ token: 'other' }, { module: '/nonexistent.so' }]) {
      await expect(openToken({ ...config, ...change }, { log: silent }).place.make('ssh-user', 1, 'ed25519')).rejects.toEqual(
        refusal('CA_SIGNER_UNAVAILABLE'),
      );
    }
  });

  test.each([
    ['kind: kms', /kind/],
    ['kind: pkcs11\nmodule: lib.so\ntoken: t\npin_file: /p', /module: is not an absolute path/],
    ['kind: pkcs11\nmodule: /m\ntoken: t\npin_file: /p\ncas: [all]', /cas/],
    ['kind: pkcs11\nmodule: /m\ntoken: t\npin_file: /p\npin: 1234', /pin/],
    [': [', /signer/],
  ])('are not looked for by a file that says %j', (text, reason) => {
    writeFileSync(keyFile('odd.signer.yaml'), text);
    expect(() => readSignerConfig(keyFile('odd.signer.yaml'))).toThrow(
      expect.objectContaining({ code: 'CA_SIGNER_CONFIG', detail: expect.stringMatching(reason) }),
    );
  });
});
