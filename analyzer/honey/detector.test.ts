import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, ScreenRow } from '#schemas/events/rows.js';
import { exampleSessionRow } from '#stores/events/examples.js';
import type { Detection, Observation } from '../detection/detector.js';
import { HoneyDetector } from './detector.js';
import type { WatchedToken } from './detector.js';

const tokens: readonly WatchedToken[] = [
  { id: 'h-aaaaaaaaaa', kind: 'aws', note: '~/.aws of the backup host', text: 'AKIAHONEYHONEY123456' },
  { id: 'h-bbbbbbbbbb', kind: 'path', note: '', text: '/srv/backup/passwords.kdbx' },
];
const session = exampleSessionRow({ user: 'ann', node: 'web-1', login: 'root' });
const event = (facts: Partial<EventRow>): Observation => ({
  kind: 'event',
  row: {
    session: session.session, source: 'kernel', emitter: 'agent/web-1', block: 0, index: 3, at: 1_000, offset_ms: 10, kind: 'exec', user: 'ann', node: 'web-1', login: 'root', ...noFacts, ...facts,
  },
}); // prettier-ignore
const screen = (text: string): Observation => ({
  kind: 'screen',
  row: {
    session: session.session,
    block: 0,
    index: 0,
    at: 2_000,
    offset_ms: 20,
    row: 7,
    text,
    user: 'ann',
    node: 'web-1',
    login: 'root',
  } satisfies ScreenRow,
});
function found(observations: readonly Observation[], watched = tokens): readonly Detection[] {
  const opened = new HoneyDetector(watched).open(session);
  return observations.flatMap((one) => opened.take(one));
}

describe('honey tokens', () => {
  it.each<[string, Observation, string]>([
    ['screen', screen('aws_access_key_id = akiahoneyhoney123456'), 'on the screen'],
    ['command', event({ name: 'aws --key AKIAHONEYHONEY123456' }), 'in a command'],
    [
      'argument beyond the command line',
      event({ name: 'x', data: JSON.stringify({ argv: ['x', 'k=AKIAHONEYHONEY123456'] }) }),
      'in a command',
    ],
    ['file', event({ kind: 'file', name: 'open', path: '/srv/backup/passwords.kdbx' }), 'as a file that was used'],
    [
      'renamed file',
      event({ kind: 'file', name: 'rename', path: '/tmp/x', data: '{"from":"/srv/backup/passwords.kdbx"}' }),
      'as a file that was used',
    ],
    ['transfer', event({ kind: 'sftp', source: 'recording', path: '/srv/backup/passwords.kdbx' }), 'in a transfer'],
  ])('are found: %s', (_, observation, where) => {
    const [one, ...more] = found([observation]);
    expect(more).toEqual([]);
    expect(one).toMatchObject({ rule: { id: 'steno/honey-token', severity: 'critical' }, user: 'ann', node: 'web-1' });
    expect(one!.reason).toContain(`appeared ${where}`);
  });

  it('are told once for each place where they appear, with the row of the screen or the event', () => {
    const line = screen('AKIAHONEYHONEY123456');
    const command = event({ name: 'echo AKIAHONEYHONEY123456' });
    const all = found([line, line, command, command]);
    expect(all.map(({ row, evidence }) => [row, evidence.length])).toEqual([
      [7, 0],
      [null, 1],
    ]);
  });

  it('are never in what is said of them, whatever they are and wherever they stand', () => {
    const text = fc.string({ minLength: 8, maxLength: 60, unit: 'grapheme-ascii' }).filter((one) => one.trim() === one);
    fc.assert(
      fc.property(text, fc.string(), fc.string(), fc.boolean(), (token, before, after, shown) => {
        const watched: WatchedToken[] = [{ id: 'h-cccccccccc', kind: 'text', note: '', text: token }];
        const whole = before + token + after;
        const all = found([shown ? screen(whole) : event({ name: whole })], watched);
        expect(all).toHaveLength(1);
        expect(JSON.stringify([all[0]!.reason, all[0]!.key]).toLowerCase()).not.toContain(JSON.stringify(token).slice(1, -1).toLowerCase());
      }),
    );
  });

  it('are not found where they are not', () => {
    expect(found([screen('AKIAHONEYHONEY12345'), event({ name: 'cat /srv/backup/passwords' })])).toEqual([]);
    expect(found([screen('anything')], [])).toEqual([]);
  });
});
