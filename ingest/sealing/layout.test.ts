import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  certificateKey,
  encodeManifest,
  manifestKey,
  parseManifest,
  partKey,
  partNumber,
  recordingPrefix,
  sealedKey,
} from '#schemas/recording/layout.js';
import { encodeProof, encodeSeekTable } from '#schemas/recording/container.js';
import { certificateId } from '#schemas/recording/proof.js';
import { encodeIndex, readSealed } from '#schemas/recording/sealed.js';
import type { Manifest } from '#schemas/recording/layout.js';

const session = '01kg9ys7g0wxx9rrbgrb31199a';
const startedAt = Date.UTC(2026, 0, 31, 23, 59, 59, 999);
const prefix = recordingPrefix(session, startedAt);
const whole: Manifest = {
  version: 1,
  session,
  started_at: startedAt,
  duration: 900,
  cols: 80,
  rows: 24,
  blocks: 4,
  bytes: 1000,
  head: 'a'.repeat(64),
  end: 'complete',
  certificates: ['a'.repeat(32)],
  objects: [
    { key: partKey(prefix, 1), bytes: 100 },
    { key: partKey(prefix, 2), bytes: 100 },
  ],
  frames: [
    {
      object: 0,
      offset: 0,
      compressed: 50,
      decompressed: 500,
      segments: [
        { offset: 0, start: 0, first_block: 1 },
        { offset: 250, start: 300, first_block: 2 },
      ],
    },
    { object: 1, offset: 0, compressed: 60, decompressed: 500, segments: [{ offset: 0, start: 300, first_block: 3 }] },
  ],
};

test('keys are where the header says', () => {
  expect(prefix).toBe(`recordings/2026/01/31/${session}/`);
  expect([partKey(prefix, 7), sealedKey(prefix), manifestKey(prefix)]).toEqual([
    `${prefix}part-000007.cast.zst`,
    `${prefix}recording.cast.zst`,
    `${prefix}manifest.json`,
  ]);
  expect([partNumber(partKey(prefix, 1_234_567)), partNumber(sealedKey(prefix)), partNumber('part-1.cast.zst')]).toEqual([
    1_234_567,
    null,
    null,
  ]);
});

test('a certificate lies under the start of its fingerprint in hex', () => {
  for (let i = 0; i < 20; i++) {
    const digest = createHash('sha256').update(String(i)).digest();
    expect(certificateKey(certificateId(`SHA256:${digest.toString('base64').replace('=', '')}`))).toBe(
      `gateways/${digest.subarray(0, 16).toString('hex')}.cert`,
    );
  }
  expect(() => certificateId('SHA256:../../x')).toThrow();
  expect(() => certificateKey('../../x')).toThrow();
});

test('what was encoded is what is parsed', () => {
  expect(parseManifest(encodeManifest(whole))).toEqual(whole);
});

const broken: readonly [string, unknown][] = [
  ['an unknown field', { ...whole, more: 1 }],
  [
    'an object of another session',
    { ...whole, objects: [{ key: 'recordings/2026/01/31/other/part-000001.cast.zst', bytes: 100 }, whole.objects[1]] },
  ],
  ['a frame beyond its object', { ...whole, frames: [{ ...whole.frames[0], compressed: 101 }] }],
  ['frames that overlap', { ...whole, frames: [whole.frames[0], { ...whole.frames[0], offset: 40, segments: whole.frames[1]!.segments }] }],
  [
    'a segment that begins in the middle',
    { ...whole, frames: [{ ...whole.frames[0], segments: [{ offset: 1, start: 0, first_block: 1 }] }] },
  ],
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

/** A sealed object around frames that are never opened here: four bytes of magic, then a placeholder for their bytes. */
const signature = Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from('ssh-ed25519'),
  Buffer.from([0, 0, 0, 64]),
  Buffer.alloc(64),
]).toString('base64');
const proof = encodeProof({
  kind: 'part',
  part: 1,
  first_block: 1,
  tags: new Uint8Array(4),
  certificate: 'a'.repeat(32),
  checkpoint: { block: 4, bytes: 1000, at: 900, time: startedAt, head: 'a'.repeat(64), end: 'complete', signature },
});
const sealedFrames = whole.frames.map((frame, i) => ({ ...frame, object: 0, offset: [0, 50][i]! }));
const sealedWhole = (index: Uint8Array): Buffer => Buffer.concat([Buffer.alloc(110), proof, index, encodeSeekTable(sealedFrames)]);
const open = (object: Buffer): Promise<Manifest> =>
  readSealed({ session, startedAt, size: object.length }, (offset, length) => Promise.resolve(object.subarray(offset, offset + length)));

test('a sealed object says of itself what a manifest would', async () => {
  const object = sealedWhole(encodeIndex(whole, sealedFrames));
  expect(await open(object)).toEqual({ ...whole, frames: sealedFrames, objects: [{ key: sealedKey(prefix), bytes: object.length }] });
});

const damaged: readonly [string, Buffer][] = [
  ['cut off', sealedWhole(encodeIndex(whole, sealedFrames)).subarray(0, -1)],
  ['without index', sealedWhole(new Uint8Array(0))],
  ['with a frame that no segment begins', sealedWhole(encodeIndex(whole, sealedFrames.slice(0, 1)))],
  [
    'with a segment beyond its blocks',
    sealedWhole(encodeIndex(whole, [sealedFrames[0]!, { segments: [{ offset: 0, start: 300, first_block: 5 }] }])),
  ],
  ['of nothing', Buffer.alloc(0)],
  [
    'of a million frames that are not there',
    Buffer.concat([Buffer.alloc(20), encodeSeekTable([]).subarray(0, 8), Buffer.from([0, 0, 255, 255, 0, 0xb1, 0xea, 0x92, 0x8f])]),
  ],
];
for (const [name, object] of damaged)
  test(`refused: a sealed object ${name}`, () => expect(open(object)).rejects.toMatchObject({ code: 'RECORDING_MALFORMED' }));
