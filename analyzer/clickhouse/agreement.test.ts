/** The two forms of a predicate decide alike: generated predicates and rows, in the streaming matcher and in chDB. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { ClickHouseEventStore } from '#stores/events/clickhouse/store.js';
import { openEngine } from '#stores/events/engine/engine.js';
import type { Engine } from '#stores/events/engine/engine.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { literal } from '#stores/events/queries/visible.js';
import { RuleMatcher } from '../matching/matcher.js';
import { ANY, ONE, patternOf } from '../predicate/pattern.js';
import type { Field } from '../predicate/field.js';
import { all, always, any, not, test } from '../predicate/predicate.js';
import type { Predicate, Test } from '../predicate/predicate.js';
import { compileRegex } from '../predicate/regex.js';
import { conditionOf } from './sql.js';

/** Pieces that often match each other, including everything that needs escaping or has case in some language. */
const pieces = [
  '/etc/',
  'shadow',
  'SHADOW',
  'k',
  'K',
  '\u212a',
  's',
  '\u017f',
  'é',
  'É',
  'İ',
  'ß',
  '日本',
  '😀',
  '%',
  '_',
  '\\',
  '*',
  '?',
  "'",
  '"',
  '\n',
  '\t',
  ' ',
  '-',
  '.',
  '1',
  '42',
  '{p}',
  '',
];
const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 5 }).map((parts) => parts.join(''));
const addresses = fc.constantFrom(
  '',
  '10.1.2.3',
  '::ffff:10.1.2.3',
  '192.168.0.1',
  '8.8.8.8',
  'fe80::1%eth0',
  'fd00::5',
  '::1',
  '0.0.0.0',
  'vsock 3',
  '010.1.2.3',
  '10.1.2',
  '1.2.3.4.5',
  '::',
  'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
);
const numbers = fc.constantFrom(0, 1, 22, 443, 65_535);

const dataValue = fc.oneof(
  texts,
  fc.integer({ min: -5, max: 70_000 }),
  fc.boolean(),
  fc.constant(null),
  fc.array(texts, { maxLength: 3 }),
  fc.constant({}),
);
const data = fc
  .record({ cwd: dataValue, pid: dataValue, argv: fc.oneof(fc.array(texts, { maxLength: 4 }), dataValue) }, { requiredKeys: [] })
  .map((value) => JSON.stringify(value));

const rows = fc.record({
  path: texts,
  name: texts,
  address: addresses,
  port: fc.option(numbers),
  size: fc.option(numbers),
  sha256: fc.constantFrom('', 'ab'.repeat(32)),
  data,
});

const fields = fc.constantFrom<Field>(
  { kind: 'text', column: 'path' },
  { kind: 'text', column: 'name' },
  { kind: 'text', column: 'address' },
  { kind: 'text', column: 'sha256', before: 'SHA256=' },
  { kind: 'number', column: 'port' },
  { kind: 'number', column: 'size' },
  { kind: 'data', path: ['cwd'], type: 'text' },
  { kind: 'data', path: ['pid'], type: 'number' },
  { kind: 'data', path: ['argv', 1], type: 'text' },
);

const pattern = fc
  .array(fc.oneof({ weight: 3, arbitrary: texts }, fc.constant(ANY), fc.constant(ONE)), { maxLength: 5 })
  .map((parts) => patternOf(parts as (string | typeof ANY | typeof ONE)[]))
  // The empty text is `absent`, and not a pattern (predicate.ts).
  .filter((made) => made.length > 0);
const expressions = [
  'shadow',
  '(?i)shadow',
  '(?i)k',
  '(?i)É',
  '^/etc/',
  'shadow$',
  '.',
  '^.$',
  'a|s',
  '\\d+',
  '\\w\\W',
  '[^/]{3,}',
  '(k|s)+',
  '\\bshadow\\b',
  '(?m)^s',
  'w\\n?.',
  '\\s',
  '[[:alpha:]]',
  '\\pL',
  '\\*',
  '日',
  '^$',
  'x*',
  '(?:/etc/){1,2}',
  '[\\x{1F600}]',
  '\\x41',
  '.*\\.',
];
const blocks = ['10.0.0.0/8', '0.0.0.0/0', '::/0', '::1/128', 'fe80::/10', 'fc00::/7', '::ffff:10.0.0.0/104', '192.168.0.1', '8.8.8.8/32'];

const tests: fc.Arbitrary<Test<Field>> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pattern' as const), pattern, cased: fc.boolean() }) },
  fc.record({
    kind: fc.constant('regex' as const),
    regex: fc
      .tuple(fc.constantFrom(...expressions), fc.subarray(['i', 'm', 's'] as const))
      .map(([text, flags]) => compileRegex(text, flags)),
  }),
  fc.record({ kind: fc.constant('network' as const), block: fc.constantFrom(...blocks) }),
  fc.record({
    kind: fc.constant('number' as const),
    is: fc.constantFrom('lt' as const, 'lte' as const, 'gt' as const, 'gte' as const),
    value: fc.constantFrom(-1, 0, 22, 42.5, 1e9),
  }),
  fc.constant({ kind: 'absent' as const }),
  fc.record({
    kind: fc.constant('same' as const),
    as: fields,
    part: fc.constantFrom('whole' as const, 'contains' as const, 'startswith' as const, 'endswith' as const),
    cased: fc.boolean(),
  }),
);

const { predicate } = fc.letrec<{ predicate: Predicate<Field> }>((tie) => ({
  predicate: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    { weight: 4, arbitrary: fc.tuple(fields, tests).map(([field, of]) => test(field, of)) },
    { weight: 1, arbitrary: tie('predicate').map(not) },
    { weight: 2, arbitrary: fc.array(tie('predicate'), { minLength: 1, maxLength: 4 }).map(all) },
    { weight: 2, arbitrary: fc.array(tie('predicate'), { minLength: 1, maxLength: 4 }).map(any) },
  ),
}));

const base: EventRow = {
  session: '01m81gpp13j0br7sqn8qcecmxs', source: 'kernel', emitter: 'agent/web-1', block: 1, index: 0, at: 1_800_000_000_000, offset_ms: 0,
  kind: 'exec', user: 'ann', node: 'web-1', login: 'root', ...noFacts,
}; // prettier-ignore

const ROWS = 400;
const generated: readonly EventRow[] = fc
  .sample(rows, { numRuns: ROWS, seed: 20_261_129 })
  .map((row, index) => ({ ...base, ...row, index }));

const folder = mkdtempSync(join(tmpdir(), 'steno-agreement-'));
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  await migrate(engine);
  await new ClickHouseEventStore(engine).insert('events', generated, 'generated');
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

const scope = { name: 'every', kinds: ['exec'] as const, selects: always };

async function inClickHouse(of: Predicate<Field>, bound: boolean): Promise<readonly number[]> {
  const parameters: Record<string, string> = {};
  const where = conditionOf(of, (text) => {
    if (!bound) return literal(text);
    const name = `p${Object.keys(parameters).length}`;
    parameters[name] = text;
    return `{${name}:String}`;
  });
  const found = await engine.read(`SELECT \`index\` FROM events WHERE ${where} ORDER BY \`index\``, parameters);
  return found.map(([index]) => Number(index));
}

function inStream(of: Predicate<Field>): readonly number[] {
  const matcher = new RuleMatcher([{ scope, predicate: of }]);
  return generated.filter((row) => matcher.match(row).length > 0).map(({ index }) => index);
}

describe('a predicate in ClickHouse and in the stream', () => {
  it('decides alike for generated predicates and rows', async () => {
    let decided = 0;
    await fc.assert(
      fc.asyncProperty(predicate, fc.boolean(), async (of, bound) => {
        const streamed = inStream(of);
        expect(await inClickHouse(of, bound)).toEqual(streamed);
        if (streamed.length > 0 && streamed.length < ROWS) decided += 1;
      }),
      { numRuns: 400, seed: 7 },
    );
    // The agreement must not come from matching nothing or everything.
    expect(decided).toBeGreaterThan(100);
  });

  it('decides alike for each kind of test by itself, on each field', async () => {
    await fc.assert(
      fc.asyncProperty(fields, tests, async (field, of) => {
        const one = test(field, of);
        expect(await inClickHouse(one, true)).toEqual(inStream(one));
      }),
      { numRuns: 400, seed: 11 },
    );
  });
});
