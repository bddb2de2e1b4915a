/** Verdicts on a small recording that is damaged in every way we name; its lines in part-walk.test.ts, what nobody signs in container-check.test.ts. */
import { describe, expect, test } from 'vitest';
import { exampleHeader as header } from '../testing/recordings.js';
import {
  certificateProof,
  closed,
  frame,
  join,
  output,
  record,
  recorded,
  repaired,
  sha256,
  verifierParts,
} from '../testing/signed-recording.js';
import { chainNext, chainStart, fromHex, toHex } from './chain.js';
import { encodeProof, encodeSeekTable } from './container.js';
import { encodeHeader } from './line.js';
import { verifyRecording } from './verify.js';

const encoder = new TextEncoder();
const [one, two, three] = record() as [Uint8Array, Uint8Array, Uint8Array];
const whole = recorded();
const of = (...frames: readonly Uint8Array[]): Uint8Array => closed(certificateProof, ...frames);
const changed = (file: Uint8Array, from: string, to: string): Uint8Array => {
  const place = [...file]
    .map((byte) => String.fromCharCode(byte))
    .join('')
    .indexOf(from);
  if (place < 0) throw new Error('nothing to replace');
  const bytes = Uint8Array.from(file);
  bytes.set(encoder.encode(to), place);
  return bytes;
};
function flipped(file: Uint8Array, place: number): Uint8Array {
  const bytes = Uint8Array.from(file);
  bytes[place] = bytes[place]! ^ 1;
  return bytes;
}
const stray = frame(output(0, 'x'));
const unknownFrame = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
const [withoutEnd] = record({ texts: [output(1, 'one'), ''] }) as [Uint8Array];

describe('a verdict', () => {
  test('on a whole recording says how far it goes', () => {
    expect(verifyRecording(whole, verifierParts)).toMatchObject({
      ok: true,
      header: { steno: { session: header.steno.session } },
      parts: 3,
      blocks: 7,
      duration: 11_510,
      keyframes: 2,
      keyframesChecked: false,
      logged: false,
      checkpoint: { end: 'complete', session: header.steno.session, gateway: 'gw-1', counter: 7 },
    });
  });

  const inner = certificateProof.length + one.length + two.length;
  const table: readonly (readonly [string, Uint8Array, string, number | null, RegExp])[] = [
    [
      'a changed character, its frame check repaired',
      repaired(of(one, changed(two, 'four', 'fuor'), three)),
      'VERIFY_ALTERED',
      4,
      /block 4 is not/,
    ],
    ['a changed character', of(one, changed(two, 'three', 'thrEe'), three), 'VERIFY_ALTERED', 3, /zstd frame of part 2 is damaged/],
    ['the last part missing', of(one, two), 'VERIFY_TRUNCATED', 6, /nothing closes the recording after block 5/],
    ['its end cut off inside a part', whole.subarray(0, inner + 40), 'VERIFY_TRUNCATED', 6, /cut off after block 5/],
    ['its end cut off in the seek table', whole.subarray(0, -1), 'VERIFY_TRUNCATED', 8, /cut off after block 7/],
    ['lines without a checkpoint at the end', of(one, two, stray), 'VERIFY_TRUNCATED', 6, /nothing closes the recording after block 5/],
    ['lines after the end of the session', of(one, two, three, stray), 'VERIFY_ALTERED', 8, /nobody signed follow the end/],
    ['parts in another order', of(one, three, two), 'VERIFY_REORDERED', 6, /part 3 is in position 2/],
    ['a part twice', of(one, two, two, three), 'VERIFY_REORDERED', 3, /part 2 is in position 3/],
    ['a part twice and none before it', of(two, two, three), 'VERIFY_REORDERED', 3, /part 2 is in position 1/],
    ['a part missing in the middle', of(one, three), 'VERIFY_MISSING_PART', 3, /part 2 is missing/],
    ['the first part missing', of(two, three), 'VERIFY_MISSING_PART', 1, /part 1 is missing/],
    ['no certificate', closed(one, two, three), 'VERIFY_UNSIGNED', 1, /part 1: the certificate of the recording key is not in the file/],
    [
      'a certificate of somebody else',
      closed(encodeProof({ kind: 'certificate', certificate: encoder.encode('mallory') }), one, two, three),
      'VERIFY_UNSIGNED',
      1,
      /is not in the file/,
    ],
    ['no checkpoint at all', closed(frame(encodeHeader(header))), 'VERIFY_UNSIGNED', null, /carries no checkpoint/],
    // The last bytes of a proof are its tags, here two; before them stands the signature.
    ['a signature that is wrong', of(one, two, flipped(three, three.length - 10)), 'VERIFY_UNSIGNED', 6, /part 3: bad signature/],
    ['a tag that is wrong', of(one, flipped(two, two.length - 1), three), 'VERIFY_ALTERED', 5, /block 5 is not/],
    ['nothing after its certificate', certificateProof, 'VERIFY_TRUNCATED', 1, /inside its first part/],
    ['its first part cut off before the proof', join(certificateProof, frame(encodeHeader(header))), 'VERIFY_TRUNCATED', 1, /first part/],
    ['its first frame cut off', one.subarray(0, 20), 'VERIFY_TRUNCATED', 1, /first part/],
    ['nothing in it', new Uint8Array(0), 'RECORDING_MALFORMED', null, /holds no lines/],
    ['a seek table alone', encodeSeekTable([]), 'RECORDING_MALFORMED', null, /holds no lines/],
    ['random bytes', Uint8Array.from({ length: 100 }, (_, i) => (i * 37) & 0xff), 'RECORDING_MALFORMED', null, /unknown frame at byte 0/],
    ['an unknown frame in place of its first', join(certificateProof, unknownFrame), 'VERIFY_ALTERED', null, /unknown frame/],
    ['an unknown frame after its end', join(whole, unknownFrame), 'VERIFY_ALTERED', 8, /unknown frame/],
    [
      'a checkpoint of another session',
      recorded({ change: (c) => ({ ...c, session: '01kanar9g0dtjvf0yq516zc20m' }) }),
      'VERIFY_UNSIGNED',
      1,
      /part 1: bad signature/,
    ],
    [
      'a newer format',
      recorded({ header: { ...header, steno: { ...header.steno, format: 2 as 1 } } }),
      'RECORDING_VERSION',
      null,
      /format 2/,
    ],
    ['a checkpoint that was read over while it was open', of(withoutEnd), 'VERIFY_TRUNCATED', 2, /nothing closes/],
  ];
  test.each(table)('on a recording with %s', (_name, file, code, block, detail) => {
    expect(verifyRecording(file, verifierParts)).toMatchObject({ ok: false, code, block, detail: expect.stringMatching(detail) as string });
  });

  test('is never good if any one byte of signed lines was changed', () => {
    const length = one.length - 4;
    for (let place = 12; place < Math.min(length, 200); place += 7) {
      expect(verifyRecording(repaired(flipped(whole, certificateProof.length + place)), verifierParts).ok).toBe(false);
    }
  });

  test('is never good on a file cut anywhere before its last checkpoint', () => {
    for (let length = 0; length < inner + three.length; length += 13)
      expect(verifyRecording(whole.subarray(0, length), verifierParts).ok).toBe(false);
  });

  test.each<[string, Uint8Array, number]>([
    ['a part is missing after it', of(one, two), 7_510],
    ['one of its blocks was altered', repaired(of(one, changed(two, 'four', 'fuor'), three)), 3_510],
    // Whoever alters a part can make its tags right: they count only below a good signature.
    ['the last signature is wrong', of(one, two, flipped(three, three.length - 10)), 7_510],
    ['nothing certifies it', closed(one, two, three), 0],
    ['a checkpoint says something else', recorded({ change: (c) => ({ ...c, bytes: c.bytes - 1 }) }), 0],
    ['it holds no lines', frame('no lines'), 0],
  ])('says how far a recording is as it was signed where %s', (_claim, file, goodUntil) => {
    expect(verifyRecording(file, verifierParts)).toMatchObject({ ok: false, goodUntil });
  });
});

test('the chain is as documented, and depends on every part', () => {
  const start = chainStart(sha256, 'abc');
  expect(toHex(start)).toBe(toHex(sha256(encoder.encode('steno-recording/1\nabc'))));
  expect(toHex(chainNext(sha256, start, encoder.encode('xy')))).toBe(
    toHex(sha256(start, Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 2]), encoder.encode('xy'))),
  );
  expect(fromHex(toHex(start), 32)).toEqual(start);
  for (const bad of ['', 'zz', 'AB', 'abc']) expect(fromHex(bad, 1)).toBeNull();
});
