import { describe, expect, it } from 'vitest';
import type { CatalogueReport } from '#schemas/api/detection/rule-catalogue.js';
import { REPORTED_RULES, catalogueFacts } from '#schemas/api/detection/rule-catalogue.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { exampleEventRow, exampleSessionRow } from '#stores/events/examples.js';
import { builtInRules, readRuleBook } from './rule-book.js';
import { CatalogueReporter } from './catalogue.js';
import { detectorsOf } from './detector-set.js';

interface Sent {
  readonly begins: boolean;
  readonly rules: readonly CatalogueReport[];
}

function recorded(): { readonly sent: Sent[]; readonly send: Send; failing: boolean } {
  const sent: Sent[] = [];
  const state = {
    sent,
    failing: false,
    send: (async (_method: string, _target: string, body: unknown) => {
      if (state.failing) throw new Error('away');
      sent.push(body as Sent);
      return {};
    }) as Send,
  };
  return state;
}

describe('the catalogue', () => {
  it('has every rule that Steno comes with, once, with facts that the authority takes', async () => {
    const history = { scan: () => Promise.resolve([]), readOnlySql: () => Promise.reject(new Error('not asked')) };
    const honey = [{ id: 'h', kind: 'text', note: '', text: 'secret-text' }] as const;
    const set = detectorsOf(readRuleBook([builtInRules()!]), history, honey);
    const rules = set.catalogue();
    expect(rules).toHaveLength(set.rules);
    expect(new Set(rules.map(({ id }) => id)).size).toBe(set.rules);
    for (const { id: _, version, hits, ...facts } of rules) {
      expect(catalogueFacts.safeParse(facts).error).toBeUndefined();
      expect([version >= 1, hits]).toEqual([true, 0]);
    }
    const detectors = new Set(rules.map(({ detector }) => detector));
    for (const name of ['sigma', 'secrets', 'baseline', 'honey', 'bypass', 'software', 'risk']) expect(detectors).toContain(name);
    expect(rules.find(({ id }) => id === 'steno/login-beside-steno')).toMatchObject({ origin: 'program', tier: 'alert', severity: 'high' });
  });

  it('counts what was found, of Sigma rules and of programs alike', async () => {
    const honey = [{ id: 'h', kind: 'text', note: '', text: 'secret-text' }] as const;
    const set = detectorsOf({ ...readRuleBook([]), evaluable: [], correlations: [] }, null, honey);
    const row = exampleEventRow({ source: 'kernel', kind: 'exec', name: 'echo secret-text', path: '/bin/echo', outcome: 'success' });
    for (const detector of set.perSession) (await detector.open(exampleSessionRow())).take({ kind: 'event', row });
    expect(set.catalogue().find(({ id }) => id === 'steno/honey-token')).toMatchObject({ hits: 1, observations: 1, cost_shared_by: 1 });
    expect(set.counts().hits.get('steno/honey-token')).toBe(1);
  });
});

describe('the reporter', () => {
  const rule = (i: number, more: Partial<CatalogueReport> = {}): CatalogueReport => ({
    ...{ id: `r${i}`, version: 1, title: 't', severity: 'low', tier: 'signal', techniques: [], detector: 'sigma', origin: 'file' },
    ...{ hits: 0, observations: 100, cost_ms: 0, cost_shared_by: 1, ...more },
  });

  it('sends everything in pages first, then only what has changed by more than a tenth', async () => {
    const { sent, send } = recorded();
    const reporter = new CatalogueReporter(send);
    const rules = Array.from({ length: REPORTED_RULES + 1 }, (_, i) => rule(i));
    await reporter.report(rules);
    expect(sent.map(({ begins, rules: page }) => [begins, page.length])).toEqual([
      [true, REPORTED_RULES],
      [false, 1],
    ]);
    await reporter.report([rule(0, { observations: 109 }), rule(1, { hits: 1 }), rule(2, { observations: 111 }), rule(3, { cost_ms: 1 })]);
    expect(sent[2]).toMatchObject({ begins: false, rules: [{ id: 'r1' }, { id: 'r2' }, { id: 'r3' }] });
    await reporter.report([rule(4)]);
    expect(sent).toHaveLength(3);
  });

  it('begins anew after a failure, and when it is told to', async () => {
    const state = recorded();
    const reporter = new CatalogueReporter(state.send);
    await reporter.report([rule(0)]);
    state.failing = true;
    await expect(reporter.report([rule(1)])).rejects.toThrow('away');
    state.failing = false;
    await reporter.report([rule(0), rule(1)]);
    reporter.reset();
    await reporter.report([rule(1)]);
    expect(state.sent.map(({ begins, rules }) => [begins, rules.map(({ id }) => id)])).toEqual([
      [true, ['r0']],
      [true, ['r0', 'r1']],
      [true, ['r1']],
    ]);
  });
});
