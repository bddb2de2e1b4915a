import { expect, test } from 'vitest';
import { eventRow as eventSchema, sessionRow } from '#schemas/events/rows.js';
import { CUT_MARK, execFacts } from '#schemas/recording/line.js';
import type { LineBody, StreamFact } from '#schemas/recording/line.js';
import { BlockReader } from '../read/block-reader.js';
import { SessionSummary, bounded, eventRows } from './event-rows.js';
import { Recorder, RecordingAuthority } from '../testing/recorder.js';

const identity = new RecordingAuthority().certify('gw-1');

function rowsOf(
  lines: readonly LineBody[],
  facts: ConstructorParameters<typeof Recorder>[1] = {},
): { events: ReturnType<typeof eventRows>; summary: SessionSummary } {
  const recorder = new Recorder(identity, facts);
  for (const line of lines) recorder.line(1, line);
  recorder.close();
  const reader = new BlockReader();
  const summary = new SessionSummary(recorder.header);
  const events = recorder.made.flatMap((made) => {
    if (made.kind !== 'block') return [];
    const block = reader.read(made.content);
    summary.add(block);
    return eventRows(recorder.header, block);
  });
  return { events, summary };
}
const fact = (data: StreamFact): LineBody => ({ code: 's', data });

test('facts become events, in order', () => {
  const { events } = rowsOf(
    [
      fact({ fact: 'exec', command: 'scp -t /tmp' }),
      fact({ fact: 'file', protocol: 'scp', operation: 'write', path: '/tmp/x', size: 3, sha256: 'a'.repeat(64), outcome: 'success' }),
      fact({ fact: 'file', protocol: 'sftp', operation: 'remove', path: '/tmp/y', outcome: 'failure', note: 'permission denied' }),
      fact({
        fact: 'forward_open',
        channel: 1,
        direction: 'local',
        address: '10.0.0.1',
        port: 5432,
        origin_address: '127.0.0.1',
        origin_port: 1,
      }),
      { code: 'g', data: { reason: 'body_limit', stream: 'out', bytes: 9 } },
      { code: 'j', data: { action: 'joined', user: 'ben', mode: 'observer', source_address: '10.0.0.9' } },
      {
        code: 'j',
        data: {
          action: 'joined',
          user: 'ben',
          mode: 'owner',
          source_address: '10.0.0.9',
          connection: { source_port: 40_001, address: '10.0.0.1', port: 3022, accepted_at: 1, machine: '' },
        },
      },
      { code: 'm', data: 'here' },
      { code: 'x', data: 'SIGKILL' },
    ],
    { kind: 'exec', tty: false },
  );
  expect(
    events.map(({ kind, name, path, address, port, reason, outcome, size }) => [kind, name, path, address, port, reason, outcome, size]),
  ).toEqual([
    ['exec', 'scp -t /tmp', '', '', null, '', '', null],
    ['file', 'write', '/tmp/x', '', null, '', 'success', 3],
    ['sftp', 'remove', '/tmp/y', '', null, 'permission denied', 'failure', null],
    ['forward', 'local', '', '10.0.0.1', 5432, '', 'opened', null],
    ['gap', 'out', '', '', null, 'body_limit', '', 9],
    ['participant', 'ben', '', '10.0.0.9', null, 'joined', '', null],
    ['participant', 'ben', '', '10.0.0.9', 40_001, 'joined', '', null],
    ['marker', 'here', '', '', null, '', '', null],
    ['exit', 'SIGKILL', '', '', null, '', 'failure', null],
  ]);
});

test('the row of a session counts the bytes that the terminal showed or that passed through the streams', () => {
  const shell = rowsOf([
    { code: 'i', data: 'ab' },
    { code: 'o', data: '\u4f60' },
    { code: 'x', data: '3' },
  ]).summary.row(1, 'ended', 'a'.repeat(64), 10);
  expect(shell).toMatchObject({ bytes_in: 2, bytes_out: 3, exit_code: 3, exit_signal: null, state: 'ended', blocks: 1 });
  const exec = rowsOf(
    [
      fact({ fact: 'exec', command: 'tar c' }),
      { code: 'o', data: 'xx' },
      fact({ fact: 'total', stream: 'out', bytes: 5000, sha256: 'b'.repeat(64) }),
      fact({ fact: 'total', stream: 'err', bytes: 7, sha256: 'b'.repeat(64) }),
      { code: 'x', data: 'SIGTERM' },
    ],
    { kind: 'exec', tty: false },
  ).summary.row(1, 'ended', 'a'.repeat(64), 10);
  expect(exec).toMatchObject({ bytes_out: 5007, command: 'tar c', exit_code: null, exit_signal: 'SIGTERM' });
});

test('rows fit the store, whatever a recorder writes', () => {
  const odd = '\ud800' + 'x'.repeat(20_000);
  const { events, summary } = rowsOf(
    [
      fact({ fact: 'exec', command: odd }),
      fact({ fact: 'forward_listen', address: odd, port: -1 }),
      fact({ fact: 'file', protocol: 'sftp', operation: 'read', path: odd, size: 1e300, sha256: 'no', outcome: odd as never }),
      fact({ fact: 'total', stream: '__proto__' as never, bytes: -5, sha256: '' }),
      { code: 'g', data: { reason: 5 as never } },
      { code: 'j', data: {} as never },
      { code: 's', data: {} as never },
      { code: 'x', data: odd },
    ],
    {
      user: 7 as never,
      roles: 'all' as never,
      node: odd,
      login: null as never,
      certificate_serial: 'x',
      kind: 'other' as never,
      tty: 'yes' as never,
    },
  );
  for (const event of events) expect(eventSchema.safeParse(event).error).toBeUndefined();
  expect(sessionRow.safeParse(summary.row(1, 'live', '', 0)).error).toBeUndefined();
  expect(bounded('a\udc00b', 10)).toBe('a\ufffdb');
});

test('a command of several lines is one event and one text, up to the bound of its column', () => {
  const medium = `echo ${'é漢'.repeat(30_000)} # the-end`;
  const { events, summary } = rowsOf(execFacts(medium).map(fact), { kind: 'exec', tty: false });
  expect(execFacts(medium).length).toBeGreaterThan(5);
  expect(events.map(({ kind }) => kind)).toEqual(['exec']);
  expect(events[0]!.name).toBe(`${medium.slice(0, 4095)}${CUT_MARK}`);
  expect(summary.row(1, 'ended', '', 0).command).toBe(medium);
  const long = rowsOf(execFacts('0123456789'.repeat(25_000)).map(fact), { kind: 'exec', tty: false });
  const row = long.summary.row(1, 'ended', '', 0);
  expect(row.command).toBe(`${'0123456789'.repeat(25_000).slice(0, 65_535)}${CUT_MARK}`);
  expect(sessionRow.safeParse(row).success).toBe(true);
});

test('the clipboard and pastes become rows of their streams, with sizes and without contents', () => {
  const { events, summary } = rowsOf([
    fact({ fact: 'clipboard', action: 'write', selection: 'c', count: 3, bytes: 900, largest: 500, hides: true }),
    fact({ fact: 'clipboard', action: 'read', selection: '', count: 1, bytes: 0, largest: 0, hides: false }),
    fact({ fact: 'paste', bytes: 4_000, lines: 80, bracketed: true, ms: 12 }),
    fact({ fact: 'paste', bytes: -1, lines: 1e99, bracketed: true, ms: 12 }),
  ]);
  const told = events.filter(({ kind }) => kind === 'stream');
  expect(told).toMatchObject([
    { name: 'out', reason: 'clipboard', outcome: 'write', size: 900, count: 3 },
    { name: 'out', reason: 'clipboard', outcome: 'read', size: 0, count: 1 },
    { name: 'in', reason: 'paste', size: 4_000, count: 80 },
    { name: 'in', reason: 'paste', size: null, count: null },
  ]);
  for (const event of told) expect(eventSchema.safeParse(event).error).toBeUndefined();
  expect(summary.row(1, 'live', '', 0)).toMatchObject({ bytes_in: 0, bytes_out: 0 });
});
