/** The lines of a recording as a verifier walks them: parts, blocks, keyframes, and the rows of an event log. */
import { describe, expect, test } from 'vitest';
import { exampleHeader as header } from '../testing/recordings.js';
import { certificateProof, closed, frame, join, keyframe, output, record, recorded, verifierParts } from '../testing/signed-recording.js';
import type { Recorded } from '../testing/signed-recording.js';
import { encodeProof, readContainer } from './container.js';
import { MAX_LINE_BYTES, encodeHeader, encodeLine } from './line.js';
import type { RecordingHeader } from './line.js';
import type { PartProof } from './proof.js';
import { verifyRecording } from './verify.js';
import type { VerifierParts } from './verify.js';

const verdict = (file: Uint8Array, parts: VerifierParts = verifierParts): string => {
  const found = verifyRecording(file, parts);
  return found.ok ? 'good' : `${found.code} ${found.block}: ${found.detail}`;
};
const told = (options: Recorded, parts?: VerifierParts): string => verdict(recorded(options), parts);
const lead = output(1000, 'a');
const with_ = (steno: Partial<RecordingHeader['steno']>): RecordingHeader => ({ ...header, steno: { ...header.steno, ...steno } });
/** The frames of a part of which a proof says what `change` makes of it. */
const reproved = (part: Uint8Array, change: (proof: PartProof) => Partial<PartProof>): Uint8Array =>
  join(
    ...[...readContainer(part)].map((segment) => {
      if (segment.kind === 'data') return segment.bytes;
      if (segment.kind !== 'proof' || segment.proof.kind !== 'part') throw new Error('another frame');
      return encodeProof({ ...segment.proof, ...change(segment.proof) });
    }),
  );

describe('a part', () => {
  test.each<[string, Recorded]>([
    ['of several frames', { texts: [[lead, output(1, 'b'), lead], lead] }],
    ['whose block goes on in the next frame', { texts: [[output(1, 'a'), output(1, 'b')]] }],
    ['without lines that closes the session', { texts: [lead, []] }],
    ['of one line as long as lines may be', { texts: [output(0, 'x'.repeat(MAX_LINE_BYTES - output(0, '').length))] }],
  ])('%s is good', (_claim, options) => {
    expect(told(options)).toBe('good');
  });

  test.each<[string, string, Recorded]>([
    [
      'that closes the session before another',
      'VERIFY_ALTERED 1: part 1 closes the session, and another follows',
      { change: (c) => ({ ...c, end: 'complete' }) },
    ],
    ['without lines that closes nothing', 'VERIFY_ALTERED 3: part 2 is empty', { texts: [lead, [], lead] }],
    [
      'of a line longer than lines may be',
      'VERIFY_ALTERED 1: a frame is not made of whole lines',
      { texts: [output(0, 'x'.repeat(MAX_LINE_BYTES))] },
    ],
  ])('%s is refused', (_claim, expected, options) => {
    expect(told(options)).toBe(expected);
  });

  // The header is a block by itself where the first line comes a second later: these are three blocks and one.
  const [one, two] = record({ texts: [lead + output(1000, 'b'), output(1000, 'c')] }) as [Uint8Array, Uint8Array];
  const of = (...parts: readonly Uint8Array[]): Uint8Array => closed(certificateProof, ...parts);
  test('names the block it starts at', () => {
    const later = reproved(two, (proof) => ({ first_block: 3, tags: Uint8Array.of(0, ...proof.tags) }));
    expect(verdict(of(one, later))).toBe('VERIFY_ALTERED 4: part 2 claims to start at block 3');
  });

  test.each<[string, Partial<PartProof['checkpoint']>]>([
    ['bytes', { bytes: 1 }],
    ['session time', { at: 1 }],
    ['head', { head: '00'.repeat(32) }],
  ])('whose checkpoint says other %s is refused', (_claim, change) => {
    const wrong = reproved(two, ({ checkpoint }) => ({ checkpoint: { ...checkpoint, ...change } }));
    expect(verdict(of(one, wrong))).toBe('VERIFY_ALTERED 4: the checkpoint of part 2 does not match its blocks');
  });

  test('with a block more than its lines is refused', () => {
    const wrong = reproved(two, ({ checkpoint, tags }) => ({ tags: Uint8Array.of(...tags, 0), checkpoint: { ...checkpoint, block: 5 } }));
    expect(verdict(of(one, wrong))).toBe('VERIFY_ALTERED 4: the checkpoint of part 2 does not match its blocks');
  });

  test('whose lines do not end is refused', () => {
    expect(verdict(of(join(frame(`${encodeHeader(header)}[1,"o","a"]`), one)))).toBe(
      'VERIFY_ALTERED 1: a frame is not made of whole lines',
    );
  });

  test('is refused at the block that could not be read', () => {
    expect(verdict(of(join(frame('[1,"o","a"]\n'), one)))).toBe('VERIFY_ALTERED 1: the recording does not begin with its header');
    expect(verdict(of(one, join(frame('no line\n'), two)))).toBe('VERIFY_ALTERED 4: part 2 is not made of recording lines');
    expect(verdict(of(one, join(frame(output(0, 'x')), frame('no line\n'), two)))).toBe(
      'VERIFY_ALTERED 4: part 2 is not made of recording lines',
    );
    expect(verdict(of(one, join(frame(encodeHeader(header)), two)))).toBe('VERIFY_ALTERED 4: part 2 is not made of recording lines');
  });

  test('says whether the session has an event log', () => {
    const kernel = (log: object): string =>
      encodeLine(0, { code: 's', data: { fact: 'kernel', classes: ['exec'], error_ms: 1, ...log } as never });
    const logged = (...lines: readonly string[]): boolean | null => {
      const found = verifyRecording(recorded({ texts: [lines.join('')] }), verifierParts);
      return found.ok ? found.logged : null;
    };
    expect(logged(kernel({ log: true }))).toBe(true);
    expect(logged(kernel({ log: true }), kernel({}))).toBe(true);
    expect(logged(kernel({}))).toBe(false);
    expect(logged(output(0, kernel({ log: true })))).toBe(false);
    expect(logged(encodeLine(0, { code: 's', data: { fact: 'typist', user: `"fact":"kernel","log":true` } }))).toBe(false);
    // A line as long as this is not written by a gateway.
    expect(logged(encodeLine(0, { code: 's', data: { fact: 'kernel', classes: ['x'.repeat(1_000)], error_ms: 1, log: true } }))).toBe(
      false,
    );
  });
});

describe('a keyframe', () => {
  test.each<[string, string, Recorded]>([
    ['before a line that begins a block', 'good', { texts: [output(1, 'a') + keyframe + lead + keyframe + lead] }],
    ['inside a block', 'VERIFY_ALTERED 1: a keyframe is inside a block', { texts: [output(1, 'a') + keyframe + output(1, 'b')] }],
    [
      'twice at one place',
      'VERIFY_ALTERED 2: a keyframe is in an impossible position',
      { texts: [output(1, 'a'), keyframe + keyframe + lead] },
    ],
    ['at the end of a part', 'VERIFY_ALTERED 1: part 1 ends with a keyframe', { texts: [output(1, 'a') + keyframe, lead] }],
    [
      'in a session without a terminal',
      'VERIFY_ALTERED 1: a keyframe is in an impossible position',
      { texts: [output(1, 'a') + keyframe + lead], header: with_({ tty: false }) },
    ],
  ])('%s: %s', (_claim, expected, options) => {
    expect(told(options)).toBe(expected);
  });

  test('is no keyframe unless it is written as keyframes are', () => {
    const loose = keyframe.replace('"rows":24', '"rows": 24');
    expect(told({ texts: [output(1, 'a') + loose + lead] })).toBe('VERIFY_ALTERED 1: part 1 is not made of recording lines');
  });

  /** A terminal of one line, which knows the text that was put out last. */
  const screens = (): NonNullable<VerifierParts['screens']> => () => {
    let last = '';
    return {
      line: (line) => {
        last = new TextDecoder('utf-8').decode(line).trim();
      },
      keyframe: ({ screen }) => (screen === last ? null : 'the text'),
    };
  };
  const drawn = (screen: string): string => encodeLine(0, { code: 'k', data: { cols: 80, rows: 24, screen } });
  const shown = (text: string): string => output(1000, text).trim();

  test('is compared with what the lines before it draw, by a verifier with a terminal', () => {
    const story = output(1, 'a') + drawn('[0.001,"o","a"]') + lead + encodeLine(1, { code: 'r', data: '90x30' });
    const good = { texts: [story + encodeLine(1, { code: 'i', data: 'x' }) + drawn('[0.001,"r","90x30"]') + lead] };
    expect(told(good, { ...verifierParts, screens: screens() })).toBe('good');
    expect(verifyRecording(recorded(good), { ...verifierParts, screens: screens() })).toMatchObject({
      keyframes: 2,
      keyframesChecked: true,
    });
    expect(verifyRecording(recorded(good), verifierParts)).toMatchObject({ keyframes: 2, keyframesChecked: false });
  });

  test('that shows something else is told of once the lines are known to be signed, the first of several', () => {
    const forged = [lead + drawn('x') + lead + drawn(shown('a')) + lead + drawn('y') + lead];
    const altered =
      'VERIFY_ALTERED 3: the keyframe before block 3 does not match the screen drawn by the preceding lines: the text differs';
    expect(told({ texts: forged }, { ...verifierParts, screens: screens() })).toBe(altered);
    expect(told({ texts: forged })).toBe('good');
    expect(verdict(closed(...record({ texts: forged })), { ...verifierParts, screens: screens() })).toMatch(/^VERIFY_UNSIGNED/);
  });

  test('of a session without a terminal is not drawn', () => {
    const never = (): never => {
      throw new Error('there is no screen');
    };
    const parts = { ...verifierParts, screens: never };
    expect(told({ header: with_({ tty: false }), texts: [lead] }, parts)).toBe('good');
    expect(told({ header: with_({ stream: 'events' }), texts: [[]] }, parts)).not.toBe('good');
  });
});

describe('an event log', () => {
  const row = (...fields: readonly unknown[]): string => encodeLine(0, { code: 'e', data: fields });
  const events = with_({ stream: 'events' });
  test.each<[string, string, string, RecordingHeader?]>([
    ['rows in the order of their places', 'good', row(1, 0, 'x') + row(1, 1) + row(2, 0)],
    ['a row longer than a line of a recording', 'good', row(1, 0, 'x'.repeat(MAX_LINE_BYTES))],
    ['a row twice', 'VERIFY_ALTERED 1: a line is not a row, or its position does not ascend', row(1, 0) + row(1, 0)],
    ['a row put in later', 'VERIFY_ALTERED 1: a line is not a row, or its position does not ascend', row(2, 0) + row(1, 5)],
    ['a row without a place', 'VERIFY_ALTERED 1: a line is not a row, or its position does not ascend', row('x')],
    ['a line of a recording', 'VERIFY_ALTERED 1: a line is not a row, or its position does not ascend', output(0, 'x')],
    ['a keyframe', 'VERIFY_ALTERED 1: a line is not a row, or its position does not ascend', row(1, 0) + keyframe + row(1, 1)],
    ['rows, but is a recording', 'good', row(2, 0) + row(1, 0), header],
  ])('with %s: %s', (_claim, expected, text, of = events) => {
    expect(told({ header: of, texts: [text] })).toBe(expected);
  });

  test('goes on where the part before ended', () => {
    expect(told({ header: events, texts: [row(1, 5), row(1, 6)] })).toBe('good');
    expect(told({ header: events, texts: [row(1, 5), row(1, 5)] })).toMatch(/its position does not ascend/);
  });
});
