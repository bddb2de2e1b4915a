import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exampleScreenRow } from '#stores/events/examples.js';
import type { Detection } from '../detection/detector.js';
import { masked, secretDetector, secretsIn } from './secrets.js';

const of = async (texts: readonly string[]): Promise<readonly Detection[]> => {
  const session = await secretDetector().open(null);
  return texts.flatMap((text, index) => session.take({ kind: 'screen', row: exampleScreenRow({ text, index }) }));
};
const letters = (n: number, alphabet = 'aB3dE5gH7jK9mN2pQ4rS6tU8vW0xYz1'): string =>
  Array.from({ length: n }, (_, i) => alphabet[(i * 7) % alphabet.length]).join('');
const shown: readonly [string, string][] = [
  ['AWS access key', 'AKIAIOSFODNN7ABCDEFG'],
  ['GitHub token', `ghp_${letters(36)}`],
  ['GitLab token', `glpat-${letters(20)}`],
  ['Google API key', `AIza${letters(35)}`],
  ['Slack token', `xoxb-${letters(30)}`],
  ['Vault token', `hvs.${letters(30)}`],
  ['JSON web token', `eyJ${letters(20)}.eyJ${letters(20)}.${letters(20)}`],
  ['private key', '-----BEGIN OPENSSH PRIVATE KEY-----'],
  ['password hash', `root:$6$${letters(16)}$${letters(86)}:19000:0:99999:7:::`],
  ['line of .pgpass', 'db.example.org:5432:app:alice:correct-horse'],
  ['password in an address', 'postgres://app:correct-horse@db.example.org/app'],
];

describe('credentials on the screen', () => {
  it.each(shown)('%s', async (kind, text) => {
    const found = await of([text]);
    expect(found).toMatchObject([{ rule: { id: 'steno/credential-on-screen' } }]);
    expect(found[0]!.reason).toContain(kind);
  });

  it.each([
    'curl -u alice:correct-horse http://h',
    'mysql -u root -pcorrect-horse app',
    'sshpass -p correct-horse ssh h',
    'export DB_PASSWORD=correct-horse',
    'deploy --token=correct-horse-battery',
  ])('typed: %s', async (command) => {
    expect(await of([`ann@web:~$ ${command}`])).toMatchObject([{ rule: { id: 'steno/credential-typed' } }]);
  });

  it.each([
    'd41d8cd98f00b204e9800998ecf8427e  empty',
    'commit 5f3b1c2d4e6f708192a3b4c5d6e7f80912345678',
    '550e8400-e29b-41d4-a716-446655440000',
    'https://example.org/path?x=1',
    'ann@web:~$ mysql -p',
    'ann@web:~$ export TOKEN=$(cat token)',
    'ann@web:~$ ssh -p 2222 host',
    'ann@web:~$ useradd --password "$HASH" x',
    'root:x:0:0:root:/root:/bin/bash',
    'drwxr-xr-x 2 root root 4096 Jan 31 12:00 secret',
    '-----BEGIN CERTIFICATE-----',
    'postgres://app:${PASSWORD}@db/app',
  ])('%s is none', async (text) => {
    expect(await of([text])).toEqual([]);
  });

  it('are never in a finding, and each is told of once', async () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9]{12,40}$/);
    await fc.assert(
      fc.asyncProperty(secret, fc.constantFrom('ghp_', 'url', 'variable'), async (some, form) => {
        const value = form === 'ghp_' ? `ghp_${some.padEnd(36, 'a')}` : some;
        const text = form === 'ghp_' ? value : form === 'url' ? `redis://u:${value}@h` : `ann@web:~$ export X_TOKEN=${value}`;
        const found = await of([text, text, ` ${text}`]);
        for (const { reason, key } of found) for (const told of [reason, key]) expect(told.includes(value.slice(0, 8))).toBe(false);
        expect(found.length).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('are masked to a fifth at most', () => {
    for (const [, text] of shown)
      for (const found of secretsIn(text)) expect(masked(found).includes(found.secret)).toBe(found.kind === 'never');
  });

  it('are looked for in bounded time in any line', () => {
    const began = performance.now();
    for (const piece of ['a', 'eyJ', 'x:', '://', ' -p', 'curl -u ', 'AKIA', '=', 'mysql ', '/']) secretsIn(piece.repeat(8_000));
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
