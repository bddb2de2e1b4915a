import { describe, expect, it } from 'vitest';
import { exampleEventRow, exampleScreenRow, exampleSessionRow } from '#stores/events/examples.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation } from '../detection/detector.js';
import { recorderDetectors } from './recorder-rules.js';
import { recordingDetector } from './recording.js';
import { unshownDetector } from './unshown.js';

const event = (facts: Partial<EventRow>, data: unknown = {}): Observation => ({
  kind: 'event',
  row: exampleEventRow({ ...facts, data: JSON.stringify(data) }),
});
const found = async (
  detector: Detector,
  observations: readonly Observation[],
  facts: Partial<SessionRow> = {},
): Promise<readonly Detection[]> => {
  const session = exampleSessionRow(facts);
  const run = await detector.open(session);
  const all: readonly Observation[] = [{ kind: 'start', session }, ...observations, { kind: 'end', session }];
  return all.flatMap((one) => run.take(one));
};
const ids = (detections: readonly Detection[]): readonly string[] => detections.map(({ rule }) => rule.id.replace('steno/', ''));

describe('what only the recorder knows', () => {
  it.each<[string, readonly Observation[], readonly string[]]>([
    ['a gap', [event({ kind: 'gap', reason: 'recorder_failed' })], ['recording-gapped']],
    ['a password that did not echo', [event({ kind: 'gap', reason: 'input_not_echoed' })], []],
    [
      'a way out of the session',
      [event({ kind: 'escape', source: 'kernel', reason: 'systemd', path: '/usr/bin/systemd-run' })],
      ['escape-from-session'],
    ],
    [
      'a forwarding that carried much',
      [
        event({ kind: 'forward', outcome: 'opened' }, { channel: 3 }),
        event({ kind: 'stream', size: 60 * 2 ** 20, reason: '' }, { channel: 3 }),
      ],
      ['forwarding-as-tunnel'],
    ],
    [
      'much of another channel',
      [
        event({ kind: 'forward', outcome: 'opened' }, { channel: 3 }),
        event({ kind: 'stream', size: 60 * 2 ** 20, reason: '' }, { channel: 4 }),
      ],
      [],
    ],
    [
      'hundreds of forwarded connections',
      Array.from({ length: 250 }, (_, i) => event({ kind: 'forward', outcome: 'opened' }, { channel: i })),
      ['forwarding-as-tunnel'],
    ],
    ['input without an echo', [event({ kind: 'stream', reason: 'unechoed', size: 9_000 })], ['input-without-echo']],
    [
      'encoded lines',
      Array.from({ length: 80 }, (_, index): Observation => ({
        kind: 'screen',
        row: exampleScreenRow({ index, text: Buffer.from(`line ${index}`.repeat(9)).toString('base64').slice(0, 76).padEnd(76, 'A') }),
      })),
      ['data-over-terminal'],
    ],
    [
      'text',
      Array.from({ length: 80 }, (_, index): Observation => ({
        kind: 'screen',
        row: exampleScreenRow({ index, text: 'a line of a log with words in it' }),
      })),
      [],
    ],
  ])('%s', async (_, observations, expected) => {
    expect(ids(await found(recordingDetector(), observations))).toEqual(expected);
  });

  it('a terminal that showed far more than a person reads', async () => {
    expect(ids(await found(recordingDetector(), [], { bytes_out: 2 ** 30, tty: true }))).toEqual(['bulk-over-terminal']);
    expect(ids(await found(recordingDetector(), [], { bytes_out: 2 ** 30, tty: false }))).toEqual([]);
  });
});

describe('a program that never appeared on the screen', () => {
  const kernel = (kind: EventRow['kind'], path: string, data: unknown): Observation =>
    event({ kind, source: 'kernel', outcome: 'success', path }, data);
  const shell = [kernel('exec', '/bin/bash', { pid: 5, argv: ['-bash'] })];
  const started = (child: number, path: string): readonly Observation[] => [
    kernel('fork', '', { pid: 5, child }),
    kernel('exec', path, { pid: child, argv: [path] }),
  ];
  const screen = (text: string): Observation => ({ kind: 'screen', row: exampleScreenRow({ text }) });

  it('is told of at the end, and what was shown is not', async () => {
    const all = [
      ...shell,
      screen('ann@web:~$ ls -la'),
      ...started(6, '/bin/ls'),
      ...started(7, '/tmp/miner'),
      screen('python3 run.py'),
      ...started(8, '/usr/bin/python3.11'),
    ];
    const detections = await found(unshownDetector(), all, { kind: 'shell', tty: true });
    expect(detections.map(({ reason }) => reason)).toEqual(['/tmp/miner ran, and miner was on no line of the screen']);
  });

  it('is not told of without a terminal, or of what programs start', async () => {
    expect(await found(unshownDetector(), [...shell, ...started(7, '/tmp/miner')], { kind: 'exec', tty: false })).toEqual([]);
    const nested = [
      ...shell,
      ...started(6, '/usr/bin/make'),
      screen('$ make'),
      kernel('fork', '', { pid: 6, child: 9 }),
      kernel('exec', '/usr/bin/cc', { pid: 9 }),
    ];
    expect(await found(unshownDetector(), nested, { kind: 'shell', tty: true })).toEqual([]);
  });
});

describe('every one of these rules', () => {
  it('has its own id, a technique and advice', () => {
    const rules = recorderDetectors().flatMap((detector) => detector.rules);
    expect(new Set(rules.map(({ id }) => id)).size).toBe(rules.length);
    for (const { techniques, advice } of rules) expect([techniques.length > 0, advice !== '']).toEqual([true, true]);
  });
});
