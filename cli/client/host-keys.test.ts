import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { isFresh, readHostKeys } from './host-keys.js';

const folder = mkdtempSync(join(tmpdir(), 'steno-host-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('keys are read from .pub files and from ssh-keyscan', () => {
  const line = formatPublicLine(generateKey().publicBlob);
  expect(readHostKeys(`# comment\n${line} root@web-1\n`)).toEqual([line]);
  expect(readHostKeys(`web-1 ${line}\n`)).toEqual([line]);
});

describe('a certificate in a file is left alone', () => {
  const [ca, other, key] = [generateKey(), generateKey(), generateKey()];
  const line = (of = key): string => formatPublicLine(of.publicBlob);
  const hour = 3_600n;
  const file = join(folder, 'cert.pub');
  writeFileSync(
    file,
    `${formatPublicLine(
      issueCertificate(ca, {
        publicKey: key.publicBlob,
        serial: 1n,
        kind: 'host',
        keyId: 'host web-1',
        principals: ['web-1', 'web-1.steno'],
        validAfter: 0n,
        validBefore: 30n * hour,
        criticalOptions: new Map(),
        extensions: new Map(),
      }),
    )}\n`,
  );
  const at = (hours: number): number => hours * 3_600_000;
  it.each<readonly [string, boolean, Parameters<typeof isFresh>]>([
    ['while more than a third of its life is left', true, [file, line(), 'web-1', [line(ca)], at(19)]],
    ['not later', false, [file, line(), 'web-1', [line(ca)], at(21)]],
    ['not when it is over', false, [file, line(), 'web-1', [line(ca)], at(31)]],
    ['not while the CA is rotated', false, [file, line(), 'web-1', [line(ca), line(other)], at(1)]],
    ['not when another key signs', false, [file, line(), 'web-1', [line(other)], at(1)]],
    ['not for another host key', false, [file, line(other), 'web-1', [line(ca)], at(1)]],
    ['not for another node', false, [file, line(), 'web-2', [line(ca)], at(1)]],
    ['not where there is none', false, [join(folder, 'none'), line(), 'web-1', [line(ca)], at(1)]],
  ])('%s', (_what, fresh, args) => expect(isFresh(...args)).toBe(fresh));
});
