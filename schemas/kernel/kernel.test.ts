import fc from 'fast-check';
import { expect, it } from 'vitest';
import { KERNEL_BLOCKS, isKernelRow, kernelEvent, kernelRow } from './kernel.js';
import { eventRow } from '../events/rows.js';

const row = [
  '01jd0000000000000000000000',
  KERNEL_BLOCKS + 3,
  4,
  250,
  'file',
  '/etc/x',
  null,
  '',
  '',
  null,
  'open',
  'read',
  'ENOENT',
  null,
  '{"pid":1}',
];
const pod = { cluster: 'prod', namespace: 'shop', pod: 'web-1', container: 'app' };
const of = { user: 'ana', node: 'web-1', login: 'root', started_at: 1_000, ...pod };

it('a row and its session give an event of the store', () => {
  const event = kernelEvent(kernelRow.parse(row), of);
  expect(eventRow.parse(event)).toEqual(event);
  expect(event).toMatchObject({
    session: row[0],
    source: 'kernel',
    emitter: 'agent/web-1',
    block: 3,
    index: 4,
    at: 1_250,
    offset_ms: 250,
    kind: 'file',
    ...{ user: 'ana', node: 'web-1', login: 'root', ...pod },
  });
});

it.each(['sftp', 'later_kind', 'unknown'])('a kind that this version does not know for kernels is kept under its name: %s', (kind) => {
  const event = kernelEvent(kernelRow.parse(row.with(4, kind)), of);
  expect(eventRow.parse(event)).toMatchObject({ kind: 'unknown', raw_kind: kind });
});

it('a moment beyond the range of the store is clamped', () => {
  expect(kernelEvent(kernelRow.parse(row.with(3, Number.MAX_SAFE_INTEGER)), of).at).toBe(7_258_118_400_000);
});

it.each([
  ['a block of a recording', 1, 7],
  ['an impossible kind', 4, 'Read Mail'],
  ['data that is not an object', 14, '[]'],
  ['no session', 0, 'x'],
  ['a negative time', 3, -1],
  ['a long path', 5, 'x'.repeat(4097)],
])('%s is refused', (_what, place, value) => expect(kernelRow.safeParse(row.with(place, value)).success).toBe(false));

it('the quick check of a row agrees with the validator', () => {
  const edge = fc.constantFrom<unknown>(
    ...['', 'x', 'x'.repeat(255), 'x'.repeat(256), 'x'.repeat(4_096), 'x'.repeat(4_097), 'a'.repeat(64), 'A'.repeat(64), row[0], 'file\n'],
    ...[0, -1, 1.5, 65_535, 65_536, KERNEL_BLOCKS - 1, KERNEL_BLOCKS, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, NaN, Infinity],
    ...[null, undefined, true, [], {}, 'exec', 'later_kind', '{}', '{', '[]', '"{}"', '{"a":1}', ` {"a":"${'x'.repeat(262_144)}"}`],
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 14 }), edge), { maxLength: 3 }), fc.constantFrom(14, 15, 15, 15, 16), (changes, length) => {
      const changed: unknown[] = [...row, null].slice(0, length);
      for (const [place, value] of changes) if (place < length) changed[place] = value;
      expect(isKernelRow(changed)).toBe(kernelRow.safeParse(changed).success);
    }),
    { numRuns: 5_000 },
  );
});
