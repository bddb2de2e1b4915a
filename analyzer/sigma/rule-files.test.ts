import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readPlaceholders, readRuleFiles } from './rule-files.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-rules-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('rule files', () => {
  it('are those of the folder and below, in order, without links and hidden ones', () => {
    for (const name of ['b', 'a', '.git']) mkdirSync(join(folder, name));
    for (const name of ['b/2.yml', 'a/1.yaml', 'a/1.test.yml', 'a/note.md', '.git/x.yml', '.hidden.yml', '0.yml'])
      writeFileSync(join(folder, name), name);
    symlinkSync('/etc', join(folder, 'etc'));
    symlinkSync('0.yml', join(folder, 'link.yml'));
    const { rules, tests } = readRuleFiles(folder);
    expect(rules.map(({ name }) => relative(folder, name))).toEqual(['0.yml', 'a/1.yaml', 'b/2.yml']);
    expect(tests.map(({ text }) => text)).toEqual(['a/1.test.yml']);
    expect(readRuleFiles(join(folder, 'a/note.md')).rules).toHaveLength(1);
  });

  it('what is not there is said, and what is too large', () => {
    expect(() => readRuleFiles(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    writeFileSync(join(folder, 'big.yml'), ' '.repeat((1 << 20) + 1));
    expect(() => readRuleFiles(folder)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }));
  });

  it('placeholders are lists by name', () => {
    const file = join(folder, 'placeholders.yml');
    writeFileSync(file, 'admins: [root, ann]\n');
    expect(readPlaceholders(file)).toEqual(new Map([['admins', ['root', 'ann']]]));
    writeFileSync(file, 'admins: root\n');
    expect(() => readPlaceholders(file)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }));
    expect(() => readPlaceholders(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
  });
});
