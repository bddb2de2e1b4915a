import { describe, expect, it } from 'vitest';
import { ownRules } from '../library/own-rules.js';
import { recorderDetectors } from '../recorder-rules/recorder-rules.js';
import { currentId, faultOfTechnique, moved, techniques } from './attack.js';
import { attackTactics } from './table.js';

describe('the map of ATT&CK', () => {
  it('names each technique once, with tactics that there are', () => {
    const tactics = new Set(attackTactics.map(([name]) => name));
    expect(techniques.size).toBeGreaterThan(650);
    for (const { id, name, tactics: of } of techniques.values()) {
      expect(id).toMatch(/^T\d{4}(?:\.\d{3})?$/);
      expect(name).not.toBe('');
      expect(of.length > 0 && of.every((one) => tactics.has(one)), id).toBe(true);
      if (id.includes('.')) expect(techniques.has(id.split('.')[0]!), id).toBe(true);
    }
  });

  it('says what became of ids that are no longer used', () => {
    for (const [old, now] of moved) {
      expect(techniques.has(old), old).toBe(false);
      expect(techniques.has(now), now).toBe(true);
    }
    expect([currentId('T1562.004'), currentId('T1003.008')]).toEqual(['T1686', 'T1003.008']);
    expect(faultOfTechnique('T1562.001')).toBe('T1562.001 is T1685 in ATT&CK now');
    expect(faultOfTechnique('T9999')).toContain('no technique');
    expect(faultOfTechnique('T1685')).toBeNull();
  });

  it('knows every technique that a rule of Steno names', () => {
    const named = [...ownRules().evaluable.map(({ rule }) => rule), ...recorderDetectors().flatMap(({ rules }) => rules)];
    expect(named.flatMap(({ techniques: ids }) => ids.map(faultOfTechnique)).filter((fault) => fault !== null)).toEqual([]);
  });

  it('knows every tactic that a tag of a rule of Steno names', () => {
    const tactics = new Set(attackTactics.map(([name]) => `attack.${name}`));
    for (const { rule } of ownRules().evaluable)
      for (const tag of rule.tags)
        if (/^attack\.[a-z]+-?[a-z-]*$/.test(tag) && !/^attack\.t\d/.test(tag)) expect(tactics.has(tag), `${rule.file} ${tag}`).toBe(true);
  });
});
