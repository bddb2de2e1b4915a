import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { kubeconfigPath, upstreamOf, withContext, writeContext } from './kubeconfig.js';

const pem = (what: string): string => `-----BEGIN ${what}-----\nMIIB\n-----END ${what}-----\n`;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-kubeconfig-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function config(user: object, cluster: object = {}): string {
  const file = join(folder, 'config');
  const whole = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: 'https://api.example:6443', ...cluster } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'ctx', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'ctx',
  };
  writeFileSync(file, stringify(whole));
  return file;
}

describe('the upstream of a kubeconfig', () => {
  test('with a token', () => {
    expect(upstreamOf(config({ token: 'abc' }, { 'certificate-authority-data': base64(pem('CERTIFICATE')) }))).toEqual({
      url: 'https://api.example:6443',
      ca: pem('CERTIFICATE'),
      credential: { kind: 'token', token: 'abc' },
    });
  });

  test('with a certificate, and files beside it', () => {
    writeFileSync(join(folder, 'key.pem'), pem('EC PRIVATE KEY'));
    const file = config(
      { 'client-certificate-data': base64(pem('CERTIFICATE')), 'client-key': 'key.pem' },
      { 'tls-server-name': 'kubernetes' },
    );
    expect(upstreamOf(file, 'ctx')).toEqual({
      url: 'https://api.example:6443',
      server_name: 'kubernetes',
      credential: { kind: 'certificate', certificate: pem('CERTIFICATE'), key: pem('EC PRIVATE KEY') },
    });
  });

  test.each<[string, object, object, RegExp]>([
    ['a plugin', { exec: { command: 'aws' }, token: 'abc' }, {}, /runs a program/],
    ['a password', { username: 'a', password: 'secret' }, {}, /password/],
    ['impersonation', { token: 'abc', as: 'admin' }, {}, /impersonates/],
    ['nothing', {}, {}, /neither a token nor a client certificate/],
    ['a certificate without its key', { 'client-certificate-data': base64(pem('CERTIFICATE')) }, {}, /neither a token nor/],
    ['no verification', { token: 'abc' }, { 'insecure-skip-tls-verify': true }, /does not verify/],
    ['a proxy', { token: 'abc' }, { 'proxy-url': 'http://proxy' }, /proxy/],
    ['http', { token: 'abc' }, { server: 'http://api.example' }, /url/],
    ['a URL with a password', { token: 'abc' }, { server: 'https://a:secret@api.example' }, /url/],
    ['a token that is a header of its own', { token: 'abc\r\nX: y' }, {}, /token/],
  ])('%s is refused', (_claim, user, cluster, why) => {
    const failure = (): unknown => upstreamOf(config(user, cluster));
    expect(failure).toThrow(why);
    expect(failure).not.toThrow(/secret/);
  });

  test('a context that is not there is refused', () =>
    expect(() => upstreamOf(config({ token: 'a' }), 'other')).toThrow(/no context "other"/));
});

const context = {
  name: 'steno-east',
  server: 'https://gw.example:8443/east',
  serverName: 'gateway.steno',
  ca: pem('CERTIFICATE'),
  exec: {
    api: 'v1' as const,
    command: '/usr/bin/node',
    args: ['/opt/steno', 'kube', 'credential'],
    env: { STENO_HOME: '/home/ann/.steno' },
  },
};

describe('a context of Steno', () => {
  test('comes beside the others, whose bytes and comments stay, and replaces itself', () => {
    const before =
      '# mine\napiVersion: v1\nkind: Config\nclusters:\n  - name: other # theirs\n    cluster: { server: "https://other" }\ncontexts: []\nusers: null\ncurrent-context: other\n';
    const once = withContext(before, context);
    expect(once.before).toBe('other');
    expect(once.text).toContain('# mine\n');
    expect(once.text).toContain('  - name: other # theirs\n    cluster: { server: "https://other" }\n');
    const parsed = parse(once.text) as { clusters: { name: string }[]; users: object[]; contexts: object[]; 'current-context': string };
    expect(parsed.clusters.map(({ name }) => name)).toEqual(['other', 'steno-east']);
    expect([parsed.users.length, parsed.contexts.length, parsed['current-context']]).toEqual([1, 1, 'steno-east']);
    expect(withContext(once.text, context).text).toBe(once.text);
    expect(withContext(once.text, { ...context, server: 'https://new' }).text.match(/steno-east/g)).toHaveLength(
      once.text.match(/steno-east/g)!.length,
    );
  });

  test('names the version in which older clients ask for a credential', () => {
    const user = (text: string): unknown => (parse(text) as { users: { user: unknown }[] }).users[0]!.user;
    const older = { ...context, exec: { ...context.exec, api: 'v1beta1' as const } };
    expect(user(withContext('', older).text)).toMatchObject({ exec: { apiVersion: 'client.authentication.k8s.io/v1beta1' } });
    expect(user(withContext('', context).text)).toMatchObject({ exec: { apiVersion: 'client.authentication.k8s.io/v1' } });
  });

  test('holds no secret', () => expect(withContext('', context).text).not.toMatch(/PRIVATE|token|client-key/));

  test('is written as a whole file of mode 0600, through links, and not while kubectl writes', () => {
    const real = join(folder, 'real');
    writeFileSync(real, '', { mode: 0o644 });
    const link = join(folder, 'link');
    symlinkSync(real, link);
    expect(writeContext(link, context)).toBeUndefined();
    expect(statSync(real).mode & 0o777).toBe(0o600);
    expect((parse(readFileSync(link, 'utf8')) as { 'current-context': string })['current-context']).toBe('steno-east');
    writeFileSync(`${real}.lock`, '');
    expect(() => writeContext(link, { ...context, name: 'steno-west' })).toThrow(/lock/);
    expect(readFileSync(real, 'utf8')).not.toContain('steno-west');
  });

  test('a file that is no kubeconfig stays as it is', () => {
    const file = join(folder, 'broken');
    writeFileSync(file, 'a: [');
    expect(() => writeContext(file, context)).toThrow(/no YAML/);
    expect(readFileSync(file, 'utf8')).toBe('a: [');
  });

  test('goes where kubectl would write', () => {
    const there = join(folder, 'there');
    writeFileSync(there, '');
    expect(kubeconfigPath({ HOME: '/home/ann' })).toBe('/home/ann/.kube/config');
    expect(kubeconfigPath({ KUBECONFIG: `${join(folder, 'absent')}:${there}` })).toBe(there);
    expect(kubeconfigPath({ KUBECONFIG: join(folder, 'absent') })).toBe(join(folder, 'absent'));
  });
});
