import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { readHashFile } from './hash-file.js';

const folder = mkdtempSync(join(tmpdir(), 'steno-hash-file-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const read = (text: string | Buffer): Promise<readonly string[]> => {
  const file = join(folder, 'list');
  writeFileSync(file, text);
  return readHashFile(file);
};
const [a, b] = ['a', 'b'].map(hex).sort() as [string, string];

test.each([
  ['a hash on a line, in any case, with comments, blank lines and repeats', `# good\n\n${b.toUpperCase()}\n${a}\n${b}`],
  ['lines of Windows behind a byte order mark', `\ufeff${a}\r\n${b}\r\n`],
  ['sha256sum, in text and binary mode', `${a}  /usr/bin/x y\n${b} */usr/bin/z\n`],
  ['sha256sum of a name with a line feed', `\\${a}  /tmp/a\\nb\n${b}  c\n`],
  ['sha256sum --tag', `SHA256 (/usr/bin/x) = ${a}\nSHA256 (y) = ${b}\n`],
  ['CSV with quoted cells', `"SHA-1","SHA-256","FileName"\n"x","${b}","a ""b"", c"\n"x","","none"\n"x","${a}","d"\n`],
  ['CSV with plain cells', `sha256,name\n${a},x\n${b},y\n`],
])('reads %s', async (_, text) => {
  expect(await read(text)).toEqual([a, b]);
});

test('reads what sha256sum of this machine writes', async () => {
  const names = ['plain', 'with blank', 'with\nline'].map((name) => join(folder, name));
  for (const name of names) writeFileSync(name, name);
  for (const option of ['--text', '--binary', '--tag'])
    expect(await read(execFileSync('sha256sum', [option, ...names]))).toEqual(names.map(hex).sort());
});

test.each([
  ['a word', 'hello\n', ':1:'],
  ['a hash that is too short', `${a}\n${a.slice(1)}\n`, ':2:'],
  ['MD5', `${'a'.repeat(32)}  x\n`, ':1:'],
  ['a CSV without the column', `"MD5","Name"\n`, ':1:'],
  ['a CSV with another value', `sha256\n${a}\nx\n`, ':3:'],
  ['a line without end', 'f'.repeat(400_000), 'a line of over'],
])('refuses %s, with the line', async (_, text, where) => {
  await expect(read(text)).rejects.toMatchObject({ code: 'HASHES_INVALID', detail: expect.stringContaining(where) });
});

test('of any bytes: hashes, or a refusal', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const found = await read(Buffer.from(bytes)).catch((error: unknown) => (error as { code: string }).code);
      expect(found === 'HASHES_INVALID' || (Array.isArray(found) && found.every((one) => /^[0-9a-f]{64}$/.test(String(one))))).toBe(true);
    }),
    { numRuns: 50 },
  );
});
