import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { certificateKey, encodeManifest, manifestKey, parseManifest, partKey, partNumber, recordingPrefix, sealedKey } from '#schemas/recording/layout.js';
import type { Manifest } from '#schemas/recording/layout.js';

const session = '01kg9ys7g0wxx9rrbgrb31199a';
const startedAt = Date.UTC(2026, 0, 31, 23, 59, 59, 999);
const prefix = recordingPrefix(session, startedAt);
const whole: Manifest = {
  version: 1, session, started_at: startedAt, duration: 900, cols: 80, rows: 24, blocks: 4, bytes: 1000, head: 'a'.repeat(64), end: 'complete',
  certificates: [`SHA256:${'A'.repeat(43)}`],
  objects: [{ key: partKey(prefix, 1), bytes: 100 }, { key: partKey(prefix, 2), bytes: 100 }],
  frames: [
    { object: 0, offset: 0, compressed: 50, decompressed: 500, segments: [{ offset: 0, start: 0, first_block: 1 }, { offset: 250, start: 300, first_block: 2 }] },
    { object: 1, offset: 0, compressed: 60, decompressed: 500, segments: [{ offset: 0, start: 300, first_block: 3 }] },
  ],
};

test('keys are where the header says', () => {
  expect(prefix).toBe(`recordings/2026/01/31/${session}/`);
  expect([partKey(prefix, 7), sealedKey(prefix), manifestKey(prefix)]).toEqual([`${prefix}part-000007.cast.zst`, `${prefix}recording.cast.zst`, `${prefix}manifest.json`]);
  expect([partNumber(partKey(prefix, 1_234_567)), partNumber(sealedKey(prefix)), partNumber('part-1.cast.zst')]).toEqual([1_234_567, null, null]);
});

test('a certificate lies under its fingerprint in hex', () => {
  for (let i = 0; i < 20; i++) {
    const digest = createHash('sha256').update(String(i)).digest();
    expect(certificateKey(`SHA256:${digest.toString('base64').replace('=', '')}`)).toBe(`gateways/${digest.toString('hex')}.cert`);
  }
  expect(() => certificateKey('SHA256:../../x')).toThrow();
});

test('what was encoded is what is parsed', () => {
  expect(parseManifest(encodeManifest(whole))).toEqual(whole);
});

const broken: readonly [string, unknown][] = [
  ['an unknown field', { ...whole, more: 1 }],
  ['an object of another session', { ...whole, objects: [{ key: 'recordings/2026/01/31/other/part-000001.cast.zst', bytes: 100 }, whole.objects[1]] }],
  ['a frame beyond its object', { ...whole, frames: [{ ...whole.frames[0], compressed: 101 }] }],
  ['frames that overlap', { ...whole, frames: [whole.frames[0], { ...whole.frames[0], offset: 40, segments: whole.frames[1]!.segments }] }],
  ['a segment that begins in the middle', { ...whole, frames: [{ ...whole.frames[0], segments: [{ offset: 1, start: 0, first_block: 1 }] }] }],
  ['segments out of order', { ...whole, frames: [whole.frames[1], whole.frames[0]] }],
  ['a block that is not there', { ...whole, blocks: 2 }],
  ['nothing', null],
];
for (const [name, value] of broken) {
  test(`refused: ${name}`, () => expect(() => parseManifest(Buffer.from(JSON.stringify(value)))).toThrow(/manifest/));
}
test('a newer version is refused as such', () => {
  expect(() => parseManifest(Buffer.from(JSON.stringify({ ...whole, version: 2 })))).toThrow(/version/);
});
