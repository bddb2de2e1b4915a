import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runCases } from '../cases/cases.js';
import { ownRuleFiles, ownRules } from './own-rules.js';

describe("Steno's own rules", () => {
  const set = ownRules();
  const { evaluable, lacking, faults } = set;
  const { rules, tests } = ownRuleFiles();

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

  it('are files that anybody can read: one rule a file, named by its folder', () => {
    for (const { name } of rules) expect(readFileSync(name, 'utf8')).toContain(`attack.${name.split('/').at(-2)!}`);
  });
});
