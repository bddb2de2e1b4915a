import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { exampleSessionRow } from '#stores/events/examples.js';
import type { Detection } from '../detection/detector.js';
import { MasqueradeDetector } from './detector.js';
import { Familiarity, countsOf } from './model.js';

const repeated = (programs: readonly string[], times: number): readonly string[] =>
  Array.from({ length: times }, (_, i) => programs[i % programs.length]!);
const ann = ['ls -la', 'git status', 'git commit', 'vim', 'make'];
const bob = ['kubectl get', 'helm upgrade', 'terraform plan', 'ls -la', 'docker ps'];
const everybody = countsOf([...repeated(ann, 3_000), ...repeated(bob, 3_000)]);
const session = exampleSessionRow({ user: 'ann' });
const exec = (form: string, index: number): EventRow => ({
  session: session.session, source: 'kernel', emitter: 'agent/a', block: 1, index, at: session.started_at + index, offset_ms: index, kind: 'exec', user: 'ann', node: 'web-3', login: 'root',
  ...noFacts, path: `/usr/bin/${form.split(' ')[0]!}`, name: form,
}); // prettier-ignore

async function found(own: number, forms: readonly string[]): Promise<readonly Detection[]> {
  const history = { formsBefore: async () => ({ days: 90, user: countsOf(repeated(ann, own)), everybody }) };
  const opened = await new MasqueradeDetector(history).open(session);
  return forms.flatMap((form, index) => opened.take({ kind: 'event', row: exec(form, index) }));
}

describe('the commands of somebody else', () => {
  it('are told of once, with what the user never ran', async () => {
    const [only, ...more] = await found(1_000, repeated(bob, 300));
    expect(more).toEqual([]);
    expect(only).toMatchObject({
      reason: expect.stringMatching(/^100 programs in a row score -\d\.\d\d, where ann's own are expected at \d\.\d\d and hardly ever below \d\.\d\d: 80 of them ann never ran so in 90 days \(1000 programs\), such as docker ps, helm upgrade, kubectl get, terraform plan$/) as string,
      at: session.started_at + 99,
    }); // prettier-ignore
    expect(only!.evidence).toHaveLength(20);
  });

  it('are not looked for with little history, or in the user’s own', async () => {
    expect(await found(199, repeated(bob, 300))).toEqual([]);
    expect(await found(1_000, repeated(ann, 300))).toEqual([]);
    expect(await found(1_000, repeated(bob, 99))).toEqual([]);
  });
});

describe('familiarity', () => {
  const tokens = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1, maxLength: 60 });
  it('grows with what the user ran, and is finite for everything', () => {
    fc.assert(
      fc.property(tokens, tokens, fc.constantFrom('a', 'f'), (own, others, token) => {
        const all = countsOf([...own, ...others, token]);
        const before = new Familiarity(countsOf(own), all).score(token);
        const after = new Familiarity(countsOf([...own, token]), all).score(token);
        expect(after).toBeGreaterThanOrEqual(before);
        for (const one of [before, after]) expect(Math.abs(one)).toBeLessThan(20);
      }),
    );
  });
});
