import { expect, test } from 'vitest';
import { kernelEvent } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { exampleKernelRow } from '#schemas/testing/recordings.js';
import { eventRow } from '#schemas/events/rows.js';
import { MAX_EVENT_LINE_BYTES, encodeHeader, encodeLine } from '#schemas/recording/line.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import { BlockReader } from '../read/block-reader.js';
import { Recorder, RecordingAuthority } from '../testing/recorder.js';
import { loggedEvents } from './logged-events.js';

const { header } = new Recorder(new RecordingAuthority().certify('gw-1'), { stream: 'events' });
const { session, user, node, login, started_at } = header.steno;
const row = (index: number, more: Partial<Record<number, unknown>> = {}): KernelRow =>
  Object.assign(exampleKernelRow(session, index, { path: '/bin/true', size: 1, outcome: 'success' }), more);
const read = (fields: readonly unknown[][], of: RecordingHeader = header) =>
  loggedEvents(
    of,
    new BlockReader(undefined, undefined, 'events').read(
      Buffer.from(encodeHeader(header) + fields.map((data) => encodeLine(0, { code: 'e', data })).join('')),
    ),
  );
const nowhere = { cluster: '', namespace: '', pod: '', container: '' };
const fieldsOf = ([, ...fields]: KernelRow): unknown[] => fields;

test('a line is the row that the node sent, completed by the header', () => {
  const rows = [row(0), row(2, { 4: 'levitate' }), row(4, { 5: 'ü\u0000"\\🙂', 13: 3 })];
  expect(read(rows.map(fieldsOf))).toEqual(rows.map((each) => kernelEvent(each, { user, node, login, started_at, ...nowhere })));
});

test('every row of a session in a pod names that pod, whatever its line says', () => {
  const pod = { cluster: 'prod', namespace: 'shop', pod: 'web-1', container: 'app' };
  const inPod: RecordingHeader = { ...header, steno: { ...header.steno, pod: { ...pod, image: 'nginx' } } };
  const rows = read([row(0), row(2, { 4: 'file' }), row(4, { 4: 'escape' }), row(6, { 7: 'x' })].map(fieldsOf), inPod);
  expect(rows.map(({ kind, ...own }) => [kind, own])).toEqual(
    ['exec', 'file', 'escape', 'gap'].map((kind) => [kind, expect.objectContaining(pod) as object]),
  );
});

test.each([
  ['a column of another kind', { 4: 7 }],
  ['an invalid digest', { 7: 'x' }],
  ['a path that is too long', { 5: 'x'.repeat(5_000) }],
  ['data that is not JSON', { 14: '{' }],
  ['an impossible offset', { 3: -5 }],
])('%s becomes a gap in its place and affects no other row', (_, more) => {
  const [before, gap, after] = read([row(0), row(2, more), row(4)].map(fieldsOf));
  expect([before!.kind, after!.kind]).toEqual(['exec', 'exec']);
  expect(gap).toMatchObject({
    source: 'kernel',
    block: 1,
    index: 2,
    kind: 'gap',
    name: 'refused',
    reason: 'kernel_events',
    count: 1,
    session,
  });
  expect(eventRow.safeParse(gap).success).toBe(true);
});

test.each([
  ['no session', { session: 'x' }],
  ['a session from before 1970', { session: `z${session.slice(1)}` }],
  ['a node name that is too long', { node: 'n'.repeat(250) }],
  ['no node', { node: undefined }],
  ['a node that is not text', { node: null }],
  ['a node name that is not Unicode text', { node: 'web\ud800' }],
])('a header with %s makes no rows', (_, more) => {
  const log = { ...header, steno: { ...header.steno, ...more } } as RecordingHeader;
  const block = new BlockReader(undefined, undefined, 'events').read(Buffer.from(encodeHeader(header)));
  expect(() => loggedEvents(log, block)).toThrow('names no session or no node');
});

test('the longest allowed line is read, a longer one is not', () => {
  const filled = (length: number): string => {
    const empty = Buffer.byteLength(encodeLine(0, { code: 'e', data: fieldsOf(row(2, { 14: '' })) }));
    return encodeLine(0, { code: 'e', data: fieldsOf(row(2, { 14: 'x'.repeat(length - empty) })) });
  };
  const at = (text: string) => {
    const reader = new BlockReader(undefined, undefined, 'events');
    reader.read(Buffer.from(encodeHeader(header)));
    return loggedEvents(header, reader.read(Buffer.from(text)));
  };
  expect(at(filled(MAX_EVENT_LINE_BYTES))).toMatchObject([{ kind: 'gap' }]);
  expect(() => at(filled(MAX_EVENT_LINE_BYTES + 1))).toThrow(expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error);
});

test.each([
  ['no position', [['x', 0]]],
  ['the position of another source', [[1, 0]]],
])('a row with %s is not a valid line of a log', (_, fields) => {
  expect(() => read(fields)).toThrow(expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error);
});
