/**
 * SigmaHQ's published rules for Linux and Kubernetes: each one parses, and either can be evaluated in both forms or reports what is
 * missing. They are not part of this repository (Detection Rule License 1.1): the tests look for them next to the checkout.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine } from '#stores/events/engine/engine.js';
import type { Engine } from '#stores/events/engine/engine.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { literal } from '#stores/events/queries/visible.js';
import { conditionOf, relationOf } from '../clickhouse/sql.js';
import { RuleMatcher } from '../matching/matcher.js';
import { all } from '../predicate/predicate.js';
import { readRuleFiles } from './rule-files.js';
import { loadRules } from './rule-set.js';
import type { RuleSet } from './rule-set.js';

const corpus = process.env['STENO_TEST_SIGMA'] ?? new URL('../../../shared/sigma', import.meta.url).pathname;

describe.skipIf(!existsSync(corpus))(`SigmaHQ's rules, in ../shared/sigma beside the checkout`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'steno-corpus-'));
  let engine: Engine;
  let set: RuleSet;
  beforeAll(async () => {
    set = loadRules(readRuleFiles(corpus).rules);
    engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
    await migrate(engine);
  });
  afterAll(async () => {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('parse, every one', () => {
    expect(set.faults.map(({ detail }) => detail)).toEqual([]);
    expect(set.evaluable.length + set.lacking.length).toBeGreaterThan(200);
  });

  it('are evaluable where Steno has the log source, but for fields that it has not', () => {
    const why = new Set(
      set.lacking.flatMap(({ missing }) =>
        missing.map((one) => one.replace(/(?<=^(?:log source|field|keywords|type|condition)\b).*$/, '')),
      ),
    );
    expect([...why].sort()).toEqual(['condition', 'field', 'keywords', 'log source', 'type']);
    const all = [...set.evaluable, ...set.lacking].map(({ rule }) => rule).filter((rule) => rule.kind === 'rule');
    const of = (category: string): number => all.filter(({ logSource }) => logSource.category === category).length;
    const evaluable = (category: string): number => set.evaluable.filter(({ rule }) => rule.logSource.category === category).length;
    for (const category of ['process_creation', 'file_event']) expect(evaluable(category) / of(category), category).toBeGreaterThan(0.9);
  });

  it('go into one streaming matcher', () => {
    const matcher = new RuleMatcher(set.evaluable);
    expect(matcher).toBeInstanceOf(RuleMatcher);
  });

  it('are conditions that ClickHouse takes', async () => {
    for (const { rule, scope, predicate } of set.evaluable) {
      const where = conditionOf(all([scope.selects, predicate]), literal);
      const found = await engine
        .read(`SELECT count() FROM ${relationOf(predicate)} WHERE ${where}`, {})
        .catch((error: unknown) => `${rule.title}: ${String(error)}`);
      expect(found, rule.file).toEqual([[expect.anything()]]);
    }
  });
});
