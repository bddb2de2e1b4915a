import { describe, expect, it } from 'vitest';
import { exampleEventRow, exampleSessionRow } from '#stores/events/examples.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { Detection } from '../detection/detector.js';
import { clipboardDetector } from './clipboard.js';
import { recordingDetector } from './recording.js';

const row = (facts: Partial<EventRow>, data: object, at = 0): EventRow =>
  exampleEventRow({ kind: 'stream', source: 'recording', index: at, offset_ms: at, at, ...facts, data: JSON.stringify(data) });
const wrote = (bytes: number, more: { readonly hides?: boolean; readonly largest?: number; readonly at?: number } = {}): EventRow =>
  row(
    { name: 'out', reason: 'clipboard', outcome: 'write', size: bytes, count: 1 },
    { fact: 'clipboard', action: 'write', bytes, largest: more.largest ?? bytes, hides: more.hides === true },
    more.at,
  );
const asked = row({ name: 'out', reason: 'clipboard', outcome: 'read', size: 0, count: 3 }, { fact: 'clipboard', action: 'read' });
const pasted = (bytes: number, lines: number, at = 0): EventRow =>
  row({ name: 'in', reason: 'paste', size: bytes, count: lines }, { fact: 'paste', bytes, lines, bracketed: true }, at);

async function found(rows: readonly EventRow[], detector = clipboardDetector()): Promise<readonly Detection[]> {
  const session = exampleSessionRow({});
  const run = await detector.open(session);
  return rows.flatMap((one) => run.take({ kind: 'event', row: one }));
}
const ids = (detections: readonly Detection[]): readonly string[] => detections.map(({ rule }) => rule.id.replace('steno/', ''));

describe('clipboard and pastes', () => {
  it.each<[string, readonly EventRow[], readonly string[]]>([
    ['a page that an editor copies', [wrote(8_000)], []],
    ['a file in one write', [wrote(64 << 10)], ['data-over-clipboard']],
    ['a file in pieces', Array.from({ length: 300 }, (_, at) => wrote(1_000, { at })), ['data-over-clipboard']],
    ['pieces that are less than a file', Array.from({ length: 200 }, (_, at) => wrote(1_000, { at })), []],
    ['a write of many in one second, none of them large', [wrote(200 << 10, { largest: 1_000 })], []],
    ['text that is not seen', [wrote(40, { hides: true })], ['clipboard-with-hidden-text']],
    ['text that is not seen, and much of it', [wrote(70_000, { hides: true })], ['clipboard-with-hidden-text', 'data-over-clipboard']],
    ['a question, and again', [asked, asked], ['clipboard-asked-for']],
    ['a page that a person pastes', [pasted(4_000, 80)], []],
    ['a file that is pasted', [pasted(70_000, 1)], ['paste-storm']],
    ['a long script that is pasted', [pasted(20_000, 600)], ['paste-storm']],
    ['ten pastes within a minute', Array.from({ length: 10 }, (_, i) => pasted(1_500, 10, i * 5_000)), ['paste-storm']],
    ['ten pastes within an hour', Array.from({ length: 10 }, (_, i) => pasted(1_500, 10, i * 60_000)), []],
    ['the same again and again', Array.from({ length: 50 }, (_, i) => pasted(100_000, 10, i)), ['paste-storm']],
    ['totals and what did not echo', [row({ name: 'in', reason: '', size: 2 ** 30 }, { fact: 'total' }), row({ name: 'in', reason: 'unechoed', size: 2 ** 20 }, {})], []],
    ['rows of another source, which nobody signed', [{ ...wrote(1 << 20), source: 'kernel' }], []],
    ['rows that are not as they should be', [{ ...wrote(70_000), data: '{' }, { ...pasted(1, 1), size: null, count: null }], ['data-over-clipboard']],
  ])('%s', async (_, rows, expected) => {
    expect(ids(await found(rows)).toSorted()).toEqual([...expected].sort());
  }); // prettier-ignore

  it('say what decided, and which rows prove it', async () => {
    const rows = Array.from({ length: 10 }, (_, i) => pasted(1_500, 10, i * 5_000));
    const [storm] = await found(rows);
    expect(storm).toMatchObject({ reason: '10 pastes of 15000 bytes came within a minute', offset_ms: 45_000 });
    expect(storm!.evidence).toHaveLength(10);
    expect(await found([pasted(70_000, 900)])).toMatchObject([{ reason: '70000 bytes in 900 lines came at once, as a paste' }]);
  });

  it('are no bytes of a forwarding', async () => {
    const forward = exampleEventRow({ kind: 'forward', outcome: 'opened', data: '{"channel":3}' });
    expect(await found([forward, wrote(2 ** 30), pasted(2 ** 30, 1)], recordingDetector())).toEqual([]);
  });
});
