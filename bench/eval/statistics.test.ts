import { describe, expect, it } from 'vitest';
import { interpret } from '../../analyzer/normal-form/interpret.js';
import { hostOf, obfuscations, portOf, shellOf, templates } from './reverse-shells.js';
import { half, random, share } from './statistics.js';

describe('the evaluation', () => {
  it("has Wilson's interval", () => {
    const { low, high } = share(9, 10);
    expect([low, high].map((one) => Number(one.toFixed(3)))).toEqual([0.596, 0.982]);
    expect(share(0, 0)).toMatchObject({ low: 0, high: 1 });
  });

  it('is decided by its seed', () => {
    const r = [random(7), random(7)];
    expect(Array.from({ length: 50 }, () => r[0]!())).toEqual(Array.from({ length: 50 }, () => r[1]!()));
    const names = Array.from({ length: 1_000 }, (_, i) => `program-${i}`);
    const first = names.filter((name) => half(name, 1) === 0).length;
    expect(first).toBeGreaterThan(430);
    expect(first).toBeLessThan(570);
  });

  it('makes shells that the shell parser accepts as commands', () => {
    const r = random(3);
    for (const template of Object.values(templates))
      for (const obfuscate of Object.values(obfuscations))
        expect(interpret(obfuscate(template(hostOf(r), portOf(r), shellOf(r), r), r)).length).toBeGreaterThan(0);
  });
});
