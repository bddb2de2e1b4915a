/** What no signature covers is recomputed: order of frames, certificates, seek tables and the index. */
import { expect, test } from 'vitest';
import { exampleHeader as header } from '../testing/recordings.js';
import { certificateProof, closed, join, keyframe, output, record, verifierParts } from '../testing/signed-recording.js';
import { encodeProof, encodeSeekTable, readContainer, skippable } from './container.js';
import type { SeekEntry } from './container.js';
import { encodeIndex } from './sealed.js';
import { verifyRecording } from './verify.js';

const verdict = (file: Uint8Array): string => {
  const found = verifyRecording(file, verifierParts);
  return found.ok ? 'good' : `${found.code}: ${found.detail}`;
};
const parts = record();
const [one] = parts as [Uint8Array];
const other = encodeProof({ kind: 'certificate', certificate: Uint8Array.of(1) });

/** One part of two frames, and a keyframe in the second: segments begin at byte 0 of both, and at the keyframe. */
const lead = output(1000, 'c');
const [sealed] = record({ texts: [[output(10, 'a') + output(1500, 'b'), keyframe + lead + keyframe + output(1000, 'd')]] }) as [Uint8Array];
const segments = [
  { segments: [{ offset: 0, start: 0, first_block: 1 }] },
  {
    segments: [
      { offset: 0, start: 1510, first_block: 3 },
      { offset: (keyframe + lead).length, start: 2510, first_block: 4 },
    ],
  },
];
const dataEntries = (file: Uint8Array): SeekEntry[] =>
  [...readContainer(file)].flatMap((segment) =>
    segment.kind === 'data' ? [{ compressed: segment.bytes.length, decompressed: segment.decompressed }] : [],
  );
/** As stored: frames, proof, index and a seek table of the data frames alone. */
const object = (index = encodeIndex(header.term, segments), table = encodeSeekTable(dataEntries(sealed))): Uint8Array =>
  join(certificateProof, sealed, index, table);
const stored = (part: Uint8Array): Uint8Array => join(part, encodeSeekTable(dataEntries(part)));

test.each<[string, Uint8Array]>([
  ['an exported recording', closed(certificateProof, ...parts)],
  ['stored parts one after the other', join(certificateProof, ...parts.map(stored))],
  ['a sealed object', object()],
  ['a sealed object, exported with one table for all', closed(certificateProof, sealed, encodeIndex(header.term, segments))],
  ['an index that leaves out a keyframe', object(encodeIndex(header.term, [segments[0]!, { segments: [segments[1]!.segments[0]!] }]))],
  ['parts without an index', closed(certificateProof, sealed)],
])('%s is good', (_claim, file) => {
  expect(verdict(file)).toBe('good');
});

const misplaced = 'VERIFY_ALTERED: a frame is in an impossible position';
const wrongCertificates = 'VERIFY_ALTERED: the certificates are not those that the proofs name, in their order';
const table = closed(certificateProof, ...parts).subarray(join(certificateProof, ...parts).length);
const emptyTable = encodeSeekTable([]);
test.each<[string, Uint8Array, string]>([
  ['no seek table', join(certificateProof, ...parts), 'VERIFY_TRUNCATED: the seek table at the end is missing'],
  ['two tables at the end', join(closed(certificateProof, ...parts), emptyTable), misplaced],
  ['a table before all lines', closed(certificateProof, emptyTable, ...parts), misplaced],
  ['a certificate behind lines', closed(...parts, certificateProof), misplaced],
  ['an index of several parts', closed(certificateProof, ...parts, encodeIndex(header.term, segments)), misplaced],
  ['two indexes', closed(certificateProof, sealed, encodeIndex(header.term, segments), encodeIndex(header.term, segments)), misplaced],
  ['its certificate twice', closed(certificateProof, certificateProof, ...parts), wrongCertificates],
  ['a certificate that no proof names', closed(certificateProof, other, ...parts), wrongCertificates],
  ['such a certificate before the right one', closed(other, certificateProof, ...parts), wrongCertificates],
])('a recording with %s', (_claim, file, expected) => {
  expect(verdict(file)).toBe(expected);
});

const notListed = /^VERIFY_ALTERED: the seek table at byte \d+ does not list the frames before it$/;
const everything = [...readContainer(join(certificateProof, ...parts, table))].at(-1)!;
const entries = everything.kind === 'seek-table' ? everything.entries : [];
const changedAt = (at: number, change: Partial<SeekEntry>): SeekEntry[] =>
  entries.map((entry, i) => (i === at ? { ...entry, ...change } : entry));
test.each<[string, readonly SeekEntry[]]>([
  ['without its last frame', entries.slice(0, -1)],
  ['with a frame too many', [...entries, { compressed: 9, decompressed: 0 }]],
  ['with another length', changedAt(1, { compressed: 1 })],
  ['with another content length', changedAt(1, { decompressed: 1 })],
  ['with content of a proof', changedAt(0, { decompressed: 1 })],
  ['of the data frames alone, though it is of several parts', dataEntries(join(certificateProof, ...parts))],
])('a seek table %s is refused', (_claim, list) => {
  expect(verdict(join(certificateProof, ...parts, encodeSeekTable(list)))).toMatch(notListed);
});

test('a seek table begins anew behind the one before, and lists each frame of its object', () => {
  const [first, second, third] = parts.map(stored) as [Uint8Array, Uint8Array, Uint8Array];
  const twice = encodeSeekTable([...dataEntries(one), ...dataEntries(one)]);
  expect(verdict(join(certificateProof, first, parts[1]!, twice, third))).toMatch(notListed);
  expect(verdict(join(certificateProof, one, encodeSeekTable([{ ...dataEntries(one)[0]!, compressed: 1 }]), second, third))).toMatch(
    notListed,
  );
});

const wrongIndex = 'VERIFY_ALTERED: the index does not say where segments begin';
const [first, second] = segments as [(typeof segments)[number], (typeof segments)[number]];
const [begin, middle] = second.segments as [(typeof second.segments)[number], (typeof second.segments)[number]];
const indexOf = (...list: readonly (typeof begin)[]): Uint8Array => encodeIndex(header.term, [first, { segments: list }]);
test.each<[string, Uint8Array]>([
  ['of another width', encodeIndex({ ...header.term, cols: 81 }, segments)],
  ['of another height', encodeIndex({ ...header.term, rows: 25 }, segments)],
  ['without the beginning of a frame', indexOf(middle)],
  ['with nothing', encodeIndex(header.term, [first])],
  ['with another byte', indexOf(begin, { ...middle, offset: middle.offset + 1 })],
  ['with another time', indexOf(begin, { ...middle, start: middle.start + 1 })],
  ['with another block', indexOf(begin, { ...middle, first_block: 5 })],
  ['with another frame', encodeIndex(header.term, [first, { segments: [begin] }, { segments: [middle] }])],
  ['with a segment twice', indexOf(begin, middle, middle)],
  ['in another order', indexOf(middle, begin)],
  ['that is cut', skippable(0x184d2a5c, encodeIndex(header.term, segments).slice(8, -1))],
  ['that is empty', skippable(0x184d2a5c, new Uint8Array(0))],
])('an index %s is refused', (_claim, index) => {
  expect(verdict(object(index))).toBe(wrongIndex);
});
