/**
 * A hunt by a user who may not see every session: a store with hidden rows gives the same answer as a store without them, in counts,
 * days, range, examples, comparison with findings and failures, even for expressions that the engine might evaluate before a filter.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventId } from '#schemas/events/rows.js';
import type { Condition } from '#schemas/policy/session-condition.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { exampleEventRow, exampleFindingRow, exampleSession, exampleSessionRow } from '#stores/events/examples.js';
import type { Field } from '../predicate/field.js';
import { ANY, patternOf } from '../predicate/pattern.js';
import { all, any, not, test } from '../predicate/predicate.js';
import type { Predicate, Test } from '../predicate/predicate.js';
import { compileRegex } from '../predicate/regex.js';
import { sources } from '../sources/log-source.js';
import { hunt } from './hunt.js';
import type { HuntStep } from './hunt.js';
import type { SearchedRule } from './passes.js';

const START = 1_800_000_000_000;
const DAY = 86_400_000;
const SESSIONS = 60;
const RULES = ['rule-a', 'rule-b'] as const;

const folder = mkdtempSync(join(tmpdir(), 'steno-hunt-hidden-'));
/** One store with the hidden sessions, one without. */
let whole: EventStore;
let shown: EventStore;

const isShown = (i: number): boolean => i % 6 === 3;
const words = ['cat', 'curl', '/etc/shadow', 'secret', '10.1.2.3', 'é'] as const;

async function fill(store: EventStore, hidden: boolean): Promise<void> {
  const numbers = [...Array(SESSIONS).keys()].filter((i) => hidden || isShown(i));
  const of = (i: number) => ({
    session: exampleSession(i),
    user: isShown(i) ? 'ann' : `hidden-${i}`,
    node: isShown(i) ? 'web-1' : 'vault',
    login: 'root',
  });
  // Hidden sessions are the first and the last.
  const at = (i: number): number => START + (isShown(i) ? 10 * DAY : i % 2 === 0 ? 0 : 20 * DAY) + i * 1_000;
  await store.insert('sessions', numbers.map((i) => exampleSessionRow({ ...of(i), started_at: at(i) })), 's'); // prettier-ignore
  const events = numbers.flatMap((i) =>
    [0, 1, 2, 3].map((index) => {
      const word = isShown(i) ? words[(i + index) % words.length]! : `${words[(i * 7 + index) % words.length]!} hidden`;
      const kernel = { source: 'kernel', emitter: `agent/${of(i).node}`, outcome: 'success' } as const;
      const data = JSON.stringify({ pid: 1 + index, ppid: index, argv: [word], ...(isShown(i) ? {} : { hidden: 'x' }) });
      return exampleEventRow({ ...of(i), ...kernel, index, at: at(i) + index, kind: index === 3 ? 'connect' : 'exec', path: `/bin/${word}`, name: word, address: isShown(i) ? '10.1.2.3' : 'no address', port: index, data: isShown(i) ? data : data.slice(0, -1) }); // prettier-ignore
    }),
  );
  await store.insert('events', events, 'e');
  const findings = numbers.map((i) => exampleFindingRow({ ...of(i), id: `f${i}`, rule: RULES[i % 2]!, at: at(i), evidence: [eventId(events[numbers.indexOf(i) * 4]!)] })); // prettier-ignore
  await store.insert('findings', findings, 'f');
}

beforeAll(async () => {
  whole = await openEventStore({ kind: 'chdb', path: join(folder, 'whole') });
  await fill(whole, true);
  await whole.close();
  shown = await openEventStore({ kind: 'chdb', path: join(folder, 'shown') });
  await fill(shown, false);
  await shown.close();
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ann: Condition = { kind: 'equal', a: { kind: 'user', marked: null }, b: { kind: 'text', text: 'ann' } };

const fields = fc.constantFrom<Field>(
  ...(['path', 'name', 'address', 'user', 'node', 'login'] as const).map((column): Field => ({ kind: 'text', column })),
  { kind: 'other', what: 'command' },
  { kind: 'data', path: ['argv', 0], type: 'text' },
  { kind: 'data', path: ['hidden'], type: 'text' },
  { kind: 'data', path: ['pid'], type: 'number' },
  { kind: 'number', column: 'port' },
);
const tests: fc.Arbitrary<Test<Field>> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...words, 'hidden', 'no address', '1'), fc.boolean())
    .map(([text, open]): Test<Field> => ({ kind: 'pattern', pattern: patternOf(open ? [ANY, text, ANY] : [text]), cased: false })),
  fc.constantFrom<Test<Field>>(
    { kind: 'absent' },
    { kind: 'regex', regex: compileRegex('hidden|secret', ['i']) },
    { kind: 'network', block: '10.0.0.0/8' },
    { kind: 'network', block: '::/0' },
    { kind: 'number', is: 'gte', value: 1 },
  ),
);
const leaf = fc.tuple(fields, tests).map(([field, one]) => test(field, one));
const predicates: fc.Arbitrary<Predicate<Field>> = fc.oneof(
  leaf,
  leaf.map(not),
  fc.tuple(leaf, leaf).map((two) => all(two)),
  fc.tuple(leaf, leaf.map(not)).map((two) => any(two)),
);
const scopes = sources.filter(({ kinds }) => kinds.includes('exec') || kinds.includes('connect'));
const rules: fc.Arbitrary<readonly SearchedRule[]> = fc.array(
  fc.record({ id: fc.constantFrom(...RULES), scope: fc.constantFrom(...scopes), predicate: predicates }),
  { minLength: 1, maxLength: 3 },
);

async function answer(store: EventStore, searched: readonly SearchedRule[], from: number | undefined): Promise<HuntStep | string> {
  try {
    let last: HuntStep | undefined;
    const reader = { read: (sql: string) => store.scan(sql, ann) };
    for await (const step of hunt(reader, searched, { from, examples: 5 }, () => 0)) last = step;
    return last!;
  } catch (error) {
    return String(error);
  }
}

/** Queries one store, then the other: only one process can open an embedded store at a time. */
async function both<T>(ask: (store: EventStore) => Promise<T>): Promise<readonly [T, T]> {
  whole = await openEventStore({ kind: 'chdb', path: join(folder, 'whole') });
  const first = await ask(whole).finally(() => whole.close());
  shown = await openEventStore({ kind: 'chdb', path: join(folder, 'shown') });
  return [first, await ask(shown).finally(() => shown.close())];
}

describe('a hunt over hidden rows', () => {
  it('answers as if they were not there', async () => {
    const samples = fc.sample(fc.tuple(rules, fc.constantFrom(undefined, START + 5 * DAY)), { numRuns: 25, seed: 20_261_130 });
    const [of, without] = await both(async (store) => {
      const answers: (HuntStep | string)[] = [];
      for (const [searched, from] of samples) answers.push(await answer(store, searched, from));
      return answers;
    });
    for (const [i, sample] of samples.entries()) expect(of[i], JSON.stringify(sample)).toEqual(without[i]);
    const counts = of.map((one) =>
      typeof one === 'object' && one.kind === 'result' ? one.rules.reduce((sum, { count }) => sum + count, 0) : -1,
    );
    expect(counts.some((count) => count > 0) && counts.every((count) => count >= 0)).toBe(true);
  }, 240_000);

  it('tells of none by what fails on their values, nor by the first and last moment, nor by how many there are', async () => {
    const statements = [
      'SELECT count() > 0, toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(max(at)) FROM events WHERE 1',
      'SELECT count() FROM events',
      'SELECT min(user), max(node) FROM events',
      'SELECT uniqExact(node) FROM sessions',
      "SELECT count() FROM events WHERE toIPv6(address) != toIPv6('::1')",
      "SELECT count() FROM events WHERE isIPAddressInRange(address, '10.0.0.0/8')",
      "SELECT count() FROM events WHERE toUInt8(node = 'web-1') = intDiv(1, toUInt8(node = 'web-1'))",
      "SELECT sum(toInt32(replaceOne(user, 'ann', '1'))) FROM events",
      "SELECT count() FROM events WHERE kind = 'connect' AND toIPv6(address) >= toIPv6('::') AND user != 'x'",
      "SELECT count() FROM findings WHERE toInt32(replaceOne(user, 'ann', '1')) = 1",
      'SELECT count() FROM audit',
    ];
    const [of, without] = await both(async (store) => {
      const answers: unknown[] = [];
      for (const sql of statements) answers.push(await store.scan(sql, ann).catch((error: unknown) => String(error)));
      return answers;
    });
    for (const [i, sql] of statements.entries()) expect(of[i], sql).toEqual(without[i]);
    expect(without.every((one) => Array.isArray(one))).toBe(true);
  }, 120_000);
});
