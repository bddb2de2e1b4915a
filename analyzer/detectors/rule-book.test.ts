import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ruleFor } from '../testing/session-rows.js';
import { loadRules } from '../sigma/rule-set.js';
import { builtInRules, readFolders, readRuleBook } from './rule-book.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-rules-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the rules in force', () => {
  it('are those of the folders; their hash changes with any text', () => {
    writeFileSync(join(folder, 'a.yml'), ruleFor('a', '00000000-0000-4000-8000-000000000001'));
    const before = readRuleBook([folder]);
    expect(before.evaluable).toHaveLength(1);
    expect(readRuleBook([folder]).hash).toBe(before.hash);
    writeFileSync(join(folder, 'a.yml'), `${ruleFor('b', '00000000-0000-4000-8000-000000000001')}modified: 2026-01-31\n`);
    const after = readRuleBook([folder]);
    expect(after.hash).not.toBe(before.hash);
    expect(after.evaluable[0]!.rule.day).toBe(20_260_131);
  });

  it('are read again without those whose files have not changed', () => {
    const write = (name: string, title: string, id: number): void =>
      writeFileSync(join(folder, name), ruleFor(title, `00000000-0000-4000-8000-00000000000${id}`));
    write('a.yml', 'a', 1);
    write('b.yml', 'b', 2);
    const before = readFolders([folder]);
    write('b.yml', 'another', 2);
    write('c.yml', 'c', 3);
    const after = readFolders([folder], before);
    expect(after.map((file) => before.includes(file))).toEqual([true, false, false]);
    const titles = (files: typeof after): readonly string[] => loadRules(files).evaluable.map(({ rule }) => rule.title);
    expect([titles(before), titles(after)]).toEqual([
      ['Runs a', 'Runs b'],
      ['Runs a', 'Runs another', 'Runs c'],
    ]);
    write('b.yml', 'b', 1);
    expect(() => readFolders([folder], after)).toThrow(expect.objectContaining({ code: 'RULE_INVALID' }));
  });

  it('are refused when one is not valid', () => {
    writeFileSync(join(folder, 'a.yml'), 'title: No detection\n');
    expect(() => readRuleBook([folder])).toThrow(expect.objectContaining({ code: 'RULE_INVALID' }));
    expect(() => readRuleBook([join(folder, 'none')])).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
  });

  it('that come with Steno are valid', () => {
    const path = builtInRules();
    expect(path === null ? [] : readRuleBook([path]).faults).toEqual([]);
  });
});
