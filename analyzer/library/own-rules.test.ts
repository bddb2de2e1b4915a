import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { runCases } from '../cases/cases.js';
import { LineMatcher } from '../lines/detector.js';
import { ownRuleFiles, ownRules } from './own-rules.js';

const base: EventRow = {
  session: '', source: 'kernel', emitter: '', block: 0, index: 0, at: 0, offset_ms: 0, kind: 'exec', user: 'ann', node: 'web', login: 'ann', ...noFacts,
}; // prettier-ignore

describe("Steno's own rules", () => {
  const set = ownRules();
  const { evaluable, lacking, faults } = set;
  const { rules: files, tests } = ownRuleFiles();
  const isFilter = (name: string): boolean => name.split('/').at(-2) === 'filters';
  const rules = files.filter(({ name }) => !isFilter(name));

  it('can all be evaluated', () => {
    expect(faults).toEqual([]);
    expect(lacking.map(({ rule, missing }) => [rule.file, missing])).toEqual([]);
    expect(evaluable.length).toBe(rules.length);
  });

  it('say their tier, technique, description and what to do next', () => {
    for (const { rule } of evaluable) {
      expect(rule.tier, rule.file).not.toBeNull();
      expect(rule.techniques.length, rule.file).toBeGreaterThan(0);
      expect(rule.advice, rule.file).not.toBe('');
      expect(rule.description, rule.file).not.toBe('');
      expect(rule.tier === 'signal' || rule.level !== 'informational', rule.file).toBe(true);
    }
  });

  it('have tests beside them, with events that match and events that do not', () => {
    const tested = new Map(tests.map(({ name, text }) => [name.replace('.test.yml', '.yml'), text]));
    for (const { name } of rules) {
      const text = tested.get(name) ?? '';
      expect(text.includes('matches: true') && text.includes('matches: false'), name).toBe(true);
    }
  });

  it('decide as their tests say', () => {
    const failed = tests.flatMap((file) => runCases(file, set)).filter(({ failure }) => failure !== null);
    expect(failed).toEqual([]);
  });

  it('about changes leave out programs that only look, and what such a program starts is still seen', () => {
    const matcher = new LineMatcher(evaluable);
    const techniques = (line: string): readonly string[] =>
      [...matcher.match(line, base)].flatMap((number) => evaluable[number]!.rule.techniques);
    expect(techniques('tee /etc/udev/rules.d/9.rules')).toContain('T1546.017');
    expect(techniques('ls /etc/udev/rules.d')).not.toContain('T1546.017');
    expect(techniques('find /srv -name a -exec chmod u+s {} +')).toContain('T1548.001');
    expect(techniques('find /srv -name backup')).not.toContain('T1490');
    // With a redirection, the shell changes something.
    expect(techniques('cat hook > .git/hooks/pre-commit')).toContain('T1546');
    expect(techniques('head -1 x >>/etc/rc.local 2>/dev/null')).toContain('T1037.004');
    expect(techniques('sort -uo /etc/udev/rules.d/9.rules a')).toContain('T1546.017');
    expect(techniques('cat /etc/udev/rules.d/9.rules 2>&1')).not.toContain('T1546.017');
    expect(techniques('cat /etc/udev/rules.d/9.rules 2> /dev/null')).not.toContain('T1546.017');
  });

  it('are files that anybody can read: one rule a file, named by its folder', () => {
    for (const { name } of rules) expect(readFileSync(name, 'utf8')).toContain(`attack.${name.split('/').at(-2)!}`);
  });
});
