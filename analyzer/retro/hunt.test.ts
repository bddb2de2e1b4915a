/**
 * Hunts over generated sessions, compared with the streaming matcher on the same rows: the same matches, for any slices.
 * STENO_TEST_LONG=1 hunts for more rules.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { eventId, noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { ClickHouseEventStore } from '#stores/events/clickhouse/store.js';
import { openEngine } from '#stores/events/engine/engine.js';
import { exampleFindingRow } from '#stores/events/examples.js';
import type { Engine } from '#stores/events/engine/engine.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { ProcessTable } from '../lineage/process-table.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { Field } from '../predicate/field.js';
import { ANY, patternOf } from '../predicate/pattern.js';
import { all, any, not, test } from '../predicate/predicate.js';
import type { Predicate, Test } from '../predicate/predicate.js';
import { compileRegex } from '../predicate/regex.js';
import { sources } from '../sources/log-source.js';
import { hunt } from './hunt.js';
import type { HuntRange, HuntStep, RuleMatches } from './hunt.js';
import type { SearchedRule } from './passes.js';

const START = 1_800_000_000_000;
const sessions = ['01m81gpp13j0br7sqn8qcecmxs', '01m81gpp13j0br7sqn8qcecmxt', '01m81gpp13j0br7sqn8qcecmxv', ''];
const words = ['cat', 'SHADOW', 'curl', 'a.b', '$(x)', 'a\\b', '"q"', 'é', '/', 'x\u0001y'];
const word = fc.constantFrom(...words);
const pid = fc.integer({ min: 1, max: 5 });
const facts: fc.Arbitrary<Partial<EventRow>> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(pid, pid, fc.array(word, { minLength: 1, maxLength: 3 }), fc.boolean()).map(([of, ppid, argv, escapes]) => ({
      kind: 'exec' as const,
      outcome: 'success',
      path: `/bin/${argv[0]!}`,
      name: argv.join(' '),
      // A writer may escape more than necessary.
      data: JSON.stringify({ pid: of, ppid, argv }).replace(escapes ? 'cat' : /^$/, '\\u0063at'),
    })),
  },
  { weight: 2, arbitrary: fc.tuple(pid, pid).map(([of, child]) => ({ kind: 'fork' as const, data: JSON.stringify({ pid: of, child }) })) },
  {
    weight: 3,
    arbitrary: fc.tuple(pid, word).map(([of, name]) => ({
      kind: 'file' as const,
      name: 'create',
      outcome: 'success',
      path: `/tmp/${name}`,
      data: JSON.stringify({ pid: of }),
    })),
  },
);
const rows: readonly EventRow[] = fc
  .sample(fc.tuple(fc.constantFrom(...sessions), facts, fc.nat(3 * 86_400_000)), { numRuns: 2_000, seed: 20_261_129 })
  .map(([session, some, at], index) => ({
    ...{ session, source: 'kernel', emitter: 'agent/a', block: 0, index, at: START + at, offset_ms: 0, kind: 'exec' },
    ...{ user: 'ann', node: 'a', login: 'root', ...noFacts, ...some },
  }));

const fields = fc.constantFrom<Field>(
  ...(['path', 'name', 'kind'] as const).map((column): Field => ({ kind: 'text', column })),
  { kind: 'other', what: 'path' },
  { kind: 'other', what: 'command' },
  { kind: 'data', path: ['argv', 0], type: 'text' },
  { kind: 'data', path: ['pid'], type: 'number' },
);
const tests: fc.Arbitrary<Test<Field>> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(word, fc.boolean(), fc.boolean(), fc.boolean()).map(([text, before, after, cased]): Test<Field> => ({
      kind: 'pattern',
      pattern: patternOf([...(before ? [ANY] : []), text, ...(after ? [ANY] : [])] as (string | typeof ANY)[]),
      cased,
    })),
  },
  fc.constantFrom<Test<Field>>(
    { kind: 'absent' },
    { kind: 'regex', regex: compileRegex('shadow', ['i']) },
    { kind: 'number', is: 'gt', value: 2 },
    { kind: 'same', as: { kind: 'other', what: 'command' }, part: 'contains', cased: false },
  ),
);
const { predicate } = fc.letrec<{ predicate: Predicate<Field> }>((tie) => ({
  predicate: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 4, arbitrary: fc.tuple(fields, tests).map(([field, of]) => test(field, of)) },
    { weight: 1, arbitrary: tie('predicate').map(not) },
    { weight: 3, arbitrary: fc.array(tie('predicate'), { minLength: 2, maxLength: 3 }).map(all) },
    { weight: 2, arbitrary: fc.array(tie('predicate'), { minLength: 2, maxLength: 3 }).map(any) },
  ),
}));
const rule: fc.Arbitrary<SearchedRule> = fc.record({
  scope: fc.constantFrom(...sources.filter(({ name }) => ['process_creation', 'file_event', 'auditd'].includes(name))),
  predicate,
});

const folder = mkdtempSync(join(tmpdir(), 'steno-hunt-'));
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  await migrate(engine);
  const store = new ClickHouseEventStore(engine);
  await store.insert('events', rows, 'generated');
  // As after a crash: the same rows again.
  await store.insert('events', rows.slice(0, 500), 'again');
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

const reader = { indexed: true, read: (sql: string) => engine.read(sql, {}) };
/**
 * A clock that advances by `ms` each time it is read: with a second, slices keep their width; with less, each is twice as wide as the
 * one before.
 */
const ticking = (ms = 1_000): (() => number) => {
  let now = 0;
  return () => (now += ms);
};

async function hunted(rules: readonly SearchedRule[], range: Partial<HuntRange> = {}, tick = 1_000): Promise<readonly RuleMatches[]> {
  for await (const step of hunt(reader, rules, { examples: 3, ...range }, ticking(tick))) if (step.kind === 'result') return step.rules;
  throw new Error('no result');
}

/** The rows that the matcher matches, in order of time. */
function streamed(one: SearchedRule, from = 0, to = Number.POSITIVE_INFINITY): readonly EventRow[] {
  const matcher = new RuleMatcher([one]);
  const table = new ProcessTable();
  return rows
    .filter((row) => {
      const other = table.take(row);
      return matcher.match(row, other).length > 0 && row.at >= from && row.at < to;
    })
    .toSorted((a, b) => a.at - b.at || (a.session === b.session ? a.index - b.index : a.session < b.session ? -1 : 1));
}

const eventOf = (row: Parameters<typeof eventId>[0]): string => eventId(row);

/** Sixteen narrow slices cost three times as many statements as five that widen. */
const ticks = fc.constantFrom(1_000, 100, 100, 100);

describe('a hunt', () => {
  it('finds what the streaming matcher finds, for generated rules, rows and ranges', async () => {
    let some = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(rule, { minLength: 1, maxLength: 6 }),
        fc.option(fc.nat(2 * 86_400_000)),
        ticks,
        async (rules, begin, tick) => {
          const from = begin === null ? undefined : START + begin;
          const to = begin === null ? undefined : START + begin + 86_400_000;
          // All together, and the first alone: in passes, and with its own statement.
          const found = await hunted(rules, { from, to }, tick);
          expect(await hunted(rules.slice(0, 1), { from, to }, tick)).toEqual(found.slice(0, 1));
          for (const [i, matches] of found.entries()) {
            const expected = streamed(rules[i]!, from, to);
            expect(matches.failure).toBeNull();
            expect(matches.count).toBe(expected.length);
            expect(matches.days.reduce((sum, { count }) => sum + count, 0)).toBe(matches.count);
            expect(matches.examples.map((one) => eventOf({ ...one, source: 'kernel' }))).toEqual(expected.slice(0, 3).map(eventOf));
            if (expected.length > 0 && expected.length < 500) some += 1;
          }
        },
      ),
      { numRuns: process.env['STENO_TEST_LONG'] === '1' ? 20 : 14, seed: 13 },
    );
    // The agreement must not come from finding nothing or everything.
    expect(some).toBeGreaterThan(15);
  }, 240_000);

  it('tells how far it is, and ends without a result when it is cancelled', async () => {
    const cancel = new AbortController();
    const steps: HuntStep[] = [];
    const one: SearchedRule = { scope: sources[0]!, predicate: test({ kind: 'text', column: 'name' }, { kind: 'absent' }) };
    for await (const step of hunt(reader, [one], { examples: 0 }, ticking(), cancel.signal)) {
      steps.push(step);
      if (steps.length === 3) cancel.abort();
    }
    expect(steps.map(({ kind }) => kind)).toEqual(['progress', 'progress', 'progress']);
    const done = steps.map((step) => (step.kind === 'progress' ? step.done : 1));
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(done.at(-1)).toBeLessThan(1);
  });

  it('goes on when the engine refuses the statement of one rule, and says so', async () => {
    const rules = ['cat', 'curl'].map((text): SearchedRule => ({
      scope: sources[0]!,
      predicate: test({ kind: 'text', column: 'name' }, { kind: 'pattern', pattern: patternOf([ANY, text, ANY]), cased: false }),
    }));
    const refusing = {
      read: (sql: string) => (sql.includes('curl') ? Promise.reject(new StenoError('QUERY_TOO_HEAVY', 'memory')) : engine.read(sql, {})),
    };
    let result: readonly RuleMatches[] = [];
    for await (const step of hunt(refusing, rules, { examples: 0 }, ticking())) if (step.kind === 'result') result = step.rules;
    expect(result.map(({ failure }) => failure?.code)).toEqual([undefined, 'QUERY_TOO_HEAVY']);
    expect(result[0]!.count).toBe(streamed(rules[0]!).length);
  });

  it('narrows a slice in which too much differs, and asks for each rule where a minute holds too much', async () => {
    const begin = START + 40 * 86_400_000;
    const many = Array.from({ length: 30_000 }, (_, index): EventRow => ({
      ...{ session: sessions[0]!, source: 'kernel', emitter: 'agent/a', block: 9, index, offset_ms: 0, kind: 'file', ...noFacts },
      // One row every tenth of a second in the first half, and then as many rows within a minute.
      ...{ at: begin + (index < 15_000 ? index * 100 : 1_500_000 + Math.floor((index - 15_000) / 300)) },
      ...{ user: 'ann', node: 'a', login: 'root', name: 'create', outcome: 'success', path: `/tmp/much/${index}`, data: '{"pid":1}' },
    }));
    await new ClickHouseEventStore(engine).insert('events', many, 'many');
    const rules = ['much/', 'much/29'].map((text): SearchedRule => ({
      scope: sources.find(({ name }) => name === 'file_event')!,
      predicate: test({ kind: 'text', column: 'path' }, { kind: 'pattern', pattern: patternOf([ANY, text, ANY]), cased: false }),
    }));
    const statements: string[] = [];
    const counting = {
      read: (sql: string) => {
        statements.push(sql);
        return engine.read(sql, {});
      },
    };
    let result: readonly RuleMatches[] = [];
    for await (const step of hunt(counting, rules, { from: begin, examples: 2 }, () => 0)) if (step.kind === 'result') result = step.rules;
    expect(result.map(({ count, failure }) => [count, failure])).toEqual(
      ['much/', 'much/29'].map((text) => [many.filter(({ path }) => path.includes(text)).length, null]),
    );
    expect(result[0]!.examples.map(({ path }) => path)).toEqual(['/tmp/much/0', '/tmp/much/1']);
    expect(statements.some((sql) => sql.startsWith('SELECT toString'))).toBe(true);
  });

  it('decides about fields that only the matcher has, where another field of the rule has a literal', async () => {
    const named: Predicate<Field> = test({ kind: 'text', column: 'name' }, { kind: 'pattern', pattern: patternOf([ANY, 'curl', ANY]), cased: false });
    const normal: Predicate<Field> = test({ kind: 'derived', what: 'normalCommand' }, { kind: 'pattern', pattern: patternOf([ANY, 'curl ', ANY]), cased: false });
    const rules = [all([named, normal]), named].map((predicate): SearchedRule => ({ scope: sources[0]!, predicate }));
    const found = await hunted(rules);
    expect(found.map(({ count, failure }) => [count, failure])).toEqual(rules.map((one) => [streamed(one).length, null]));
    expect(found[0]!.count).toBeGreaterThan(0);
    expect(found[0]!.count).toBeLessThan(found[1]!.count);
  }); // prettier-ignore

  it('counts which matches are fresh by a statement of the rule, where it has findings', async () => {
    const rules = ['cat', 'curl'].map((text, i): SearchedRule => ({
      id: `rule-${i}`,
      scope: sources[0]!,
      predicate: test({ kind: 'text', column: 'name' }, { kind: 'pattern', pattern: patternOf([ANY, text, ANY]), cased: false }),
    }));
    const [found] = await hunted(rules);
    const { session } = found!.examples.find((one) => one.session !== '')!;
    const store = new ClickHouseEventStore(engine);
    await store.insert('findings', [exampleFindingRow({ id: 'f', rule: 'rule-0', session, at: START })], 'finding');
    const [again, other] = await hunted(rules);
    expect([again!.count, again!.fresh]).toEqual([found!.count, streamed(rules[0]!).filter((row) => row.session !== session).length]);
    expect(other!.fresh).toBe(other!.count);
  });

  it('finds nothing in a store without events of that time', async () => {
    const one: SearchedRule = { scope: sources[0]!, predicate: test({ kind: 'text', column: 'name' }, { kind: 'absent' }) };
    expect(await hunted([one], { from: 0, to: 1_000 })).toEqual([
      { count: 0, fresh: 0, findings: { kept: 0, gone: 0 }, days: [], examples: [], failure: null },
    ]);
  });
});
