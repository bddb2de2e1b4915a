import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LineBody, RecordingMode, StreamName } from '#schemas/recording/line.js';
import type { Follows } from '../streams/observing/observer.js';
import type { SignedLog } from '../spool/signed-log.js';
import { HOLD_MS, PAUSE_MS, Streams } from './streams.js';
import { TAIL_BYTES, Tail } from './tail.js';

/** The lines that streams write; text is not split. */
class Lines {
  readonly lines: LineBody[] = [];
  line(body: LineBody): void {
    this.lines.push(body);
  }
  text(code: 'o' | 'i', bytes: Uint8Array): void {
    this.lines.push({ code, data: Buffer.from(bytes).toString('utf8') });
  }
}

interface Direction {
  readonly stream: StreamName;
  readonly channel?: number | undefined;
}
const keyOf = ({ stream, channel }: Direction): string => `${stream} ${channel ?? ''}`;

/** The kept bytes of each direction at their offsets; null where a gap says that some are missing. */
function readBack(
  lines: readonly LineBody[],
): Map<string, { at: number; kept: [at: number, bytes: Buffer][]; missing: number; open: boolean; total: number; sha256: string }> {
  const found = new Map<string, ReturnType<typeof readBack> extends Map<string, infer T> ? T : never>();
  const of = (direction: Direction) => {
    const key = keyOf(direction);
    return found.get(key) ?? found.set(key, { at: 0, kept: [], missing: 0, open: false, total: -1, sha256: '' }).get(key)!;
  };
  const keep = (direction: Direction, bytes: Buffer): void => {
    const one = of(direction);
    if (one.open) throw new Error('bytes are kept before a gap is closed');
    one.kept.push([one.at, bytes]);
    one.at += bytes.length;
  };
  let current: 'out' | 'err' = 'out';
  for (const line of lines) {
    if (line.code === 'o') keep({ stream: current }, Buffer.from(line.data));
    else if (line.code === 'i') keep({ stream: 'in' }, Buffer.from(line.data));
    else if (line.code === 'b') keep(line.data, Buffer.from(line.data.base64, 'base64'));
    else if (line.code === 's' && line.data.fact === 'stream') current = line.data.name === 'stderr' ? 'err' : 'out';
    else if (line.code === 's' && line.data.fact === 'total')
      Object.assign(of(line.data), { total: line.data.bytes, sha256: line.data.sha256 });
    else if (line.code === 'g') {
      const one = of({ stream: line.data.stream!, channel: line.data.channel });
      expect(one.open).toBe(line.data.bytes !== undefined);
      one.open = line.data.bytes === undefined;
      one.at += line.data.bytes ?? 0;
      one.missing += line.data.bytes ?? 0;
    }
  }
  return found;
}

type Step =
  | {
      readonly kind: 'bytes';
      readonly stream: StreamName;
      readonly channel: number | undefined;
      readonly length: number;
      readonly text: boolean;
    }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'follow'; readonly follows: Follows };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('bytes' as const),
        stream: fc.constantFrom<StreamName>('in', 'out', 'err'),
        channel: fc.constantFrom(undefined, undefined, 1, 2),
        length: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 3 * TAIL_BYTES })),
        text: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 50, 200, 999, PAUSE_MS, 5_000) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('follow' as const), follows: fc.constantFrom<Follows>('in', 'out', 'both', 'neither') }),
    },
  ),
  { maxLength: 40 },
);
const modes: fc.Arbitrary<RecordingMode> = fc.record({
  mode: fc.constant('strict' as const),
  streams: fc.constantFrom('limited', 'commands', 'full'),
  limit: fc.constantFrom(0, 10, 5_000),
});

describe('streams of any bytes, in pieces of any size', () => {
  test('keep every byte at its offset or count it in a gap, and hash them all', () => {
    fc.assert(
      fc.property(modes, steps, fc.integer(), (mode, script, seed) => {
        const log = new Lines();
        const streams = new Streams(log as unknown as SignedLog, mode);
        const passed = new Map<string, Buffer[]>();
        const whole = new Set<string>();
        let now = 0,
          next = seed,
          follows: Follows = 'neither';
        const limitedEver = new Set<string>();
        for (const step of script) {
          if (step.kind === 'wait') {
            now += step.ms;
            streams.expire(now);
            // Only the rest of a character may still be waiting.
            if (step.ms >= PAUSE_MS) expect([now + HOLD_MS, Infinity]).toContain(streams.dueAt);
          } else if (step.kind === 'follow') {
            follows = step.follows;
            streams.follow(follows);
          } else {
            const { stream, channel, length } = step;
            const text = 'grün 漢字 🙂 ';
            const bytes = step.text
              ? Buffer.from(text.repeat(Math.ceil(length / 20) + 1)).subarray(0, length)
              : Buffer.from(Array.from({ length }, () => (next = (next * 1_103_515_245 + 12_345) & 0x7fff_ffff) >> 16));
            streams.take(stream, bytes, channel, now);
            const key = keyOf({ stream, channel });
            passed.set(key, [...(passed.get(key) ?? []), bytes]);
            const limited =
              mode.streams === 'limited' ||
              (mode.streams === 'commands' && (channel !== undefined || follows === 'both' || follows === stream));
            if (limited) limitedEver.add(key);
            else whole.add(key);
          }
        }
        streams.total(now);
        const found = readBack(log.lines);
        expect([...found.keys()].sort()).toEqual([...passed.keys()].sort());
        for (const [key, pieces] of passed) {
          const all = Buffer.concat(pieces);
          const { at, kept, missing, open, total, sha256 } = found.get(key)!;
          expect({ at, open, total }).toEqual({ at: all.length, open: false, total: all.length });
          expect(sha256).toBe(createHash('sha256').update(all).digest('hex'));
          for (const [start, bytes] of kept) expect(all.subarray(start, start + bytes.length).equals(bytes)).toBe(true);
          if (!limitedEver.has(key)) expect(missing).toBe(0);
          if (missing > 0) {
            // The end is always kept: the last byte, and everything that the tail holds before it.
            const last = kept.at(-1)!;
            expect(last[0] + last[1].length).toBe(all.length);
            const tailAt = Math.max(0, all.length - TAIL_BYTES);
            const ofTail = kept.reduce((sum, [start, bytes]) => sum + Math.max(0, start + bytes.length - Math.max(start, tailAt)), 0);
            expect(ofTail).toBeGreaterThan(0);
          }
        }
      }),
      {
        numRuns: 400,
        // The direction is no longer followed, one byte over its limit: its last piece begins before the tail.
        examples: [
          [
            { mode: 'strict', streams: 'commands', limit: 0 },
            [
              { kind: 'follow', follows: 'in' },
              { kind: 'bytes', stream: 'in', channel: undefined, length: TAIL_BYTES + 1, text: false },
              { kind: 'follow', follows: 'out' },
              { kind: 'bytes', stream: 'in', channel: undefined, length: TAIL_BYTES + 1, text: false },
            ],
            0,
          ],
        ],
      },
    );
  });

  test('a tail keeps the end of the bytes pushed, and counts the rest', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 * TAIL_BYTES }), { maxLength: 12 }), (lengths) => {
        const tail = new Tail(0);
        const all: Buffer[] = [];
        let value = 0;
        for (const length of lengths) {
          const bytes = Buffer.from(Array.from({ length }, () => value++ % 251));
          tail.push(bytes, 0);
          all.push(bytes);
        }
        const whole = Buffer.concat(all);
        expect(tail.dropped).toBe(Math.max(0, whole.length - TAIL_BYTES));
        expect(tail.bytes().equals(whole.subarray(tail.dropped))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a direction over its limit', () => {
  const limited: RecordingMode = { mode: 'strict', streams: 'limited', limit: 4 };
  const run = (script: (streams: Streams) => void, mode = limited): readonly unknown[] => {
    const log = new Lines();
    const streams = new Streams(log as unknown as SignedLog, mode);
    script(streams);
    return log.lines.map(({ code, data }) => [
      code,
      typeof data === 'string' && data.length > 20 ? `${data.slice(0, 3)}…${data.length}` : data,
    ]);
  };

  test('reports the first byte that it drops, and keeps its end when it pauses', () => {
    expect(
      run((streams) => {
        streams.take('in', Buffer.from('head'), undefined, 0);
        streams.take('in', Buffer.from('-'.repeat(50_000)), undefined, 10);
        streams.expire(900);
        streams.take('in', Buffer.from('+'.repeat(TAIL_BYTES)), undefined, 900);
        streams.expire(1_899);
        streams.expire(1_900);
        streams.take('in', Buffer.from('id\n'), undefined, 5_000);
        streams.expire(6_000);
      }),
    ).toEqual([
      ['i', 'head'],
      ['g', { reason: 'body_limit', stream: 'in' }],
      ['g', { reason: 'body_limit', stream: 'in', bytes: 50_000 }],
      ['i', `+++…${TAIL_BYTES}`],
      ['i', 'id\n'],
    ]);
  });

  test('is kept whole as long as the data fits, with or without pauses', () => {
    const lines = run((streams) => {
      for (let at = 0; at < 20_000; at += 100) {
        streams.take('out', Buffer.from('tick\n'), undefined, at);
        streams.expire(at);
      }
    });
    expect(lines.some((line) => (line as [string])[0] === 'g')).toBe(false);
    expect(lines.length).toBeGreaterThan(18);
  });

  test('is kept whole from the moment its protocol is no longer followed, with the bytes held before', () => {
    const commands: RecordingMode = { ...limited, streams: 'commands' };
    expect(
      run((streams) => {
        streams.follow('both');
        streams.take('in', Buffer.alloc(40_000, '-'), undefined, 0);
        streams.follow('neither');
        streams.take('in', Buffer.from('bash\n'), undefined, 1);
        streams.take('in', Buffer.alloc(20_000, '+'), undefined, 2);
      }, commands),
    ).toEqual([
      ['i', '----'],
      ['g', { reason: 'body_limit', stream: 'in' }],
      ['g', { reason: 'body_limit', stream: 'in', bytes: 40_000 - 4 - TAIL_BYTES }],
      ['i', `---…${TAIL_BYTES}`],
      ['i', 'bash\n'],
      ['i', '+++…20000'],
    ]);
  });

  test('standard error of a followed stream is kept whole', () => {
    expect(
      run(
        (streams) => {
          streams.follow('both');
          streams.take('err', Buffer.alloc(40_000, 'x'), undefined, 0);
        },
        { ...limited, streams: 'commands' },
      ),
    ).toEqual([
      ['s', { fact: 'stream', name: 'stderr' }],
      ['o', 'xxx…40000'],
    ]);
  });
});
