import { describe, expect, test } from 'vitest';
import { certificate, certificateProof, ed25519Signature, record, sha256, verifierParts } from '../testing/signed-recording.js';
import { encodeBase64 } from '../ssh/base64.js';
import { encodeProof, readContainer } from './container.js';
import { certificateId, parseProof, proofContent } from './proof.js';
import type { PartProof } from './proof.js';

const malformed = (detail: RegExp): Error =>
  expect.objectContaining({ code: 'RECORDING_MALFORMED', detail: expect.stringMatching(detail) as string }) as Error;
const proofIn = (file: Uint8Array): PartProof => {
  for (const segment of readContainer(file)) if (segment.kind === 'proof' && segment.proof.kind === 'part') return segment.proof;
  throw new Error('no proof');
};
const written = record();
const proof = proofIn(written[0]!);
const signature = ed25519Signature(sha256(new Uint8Array(64)).slice(0, 32));

describe('the proof of a part', () => {
  test('is read as it was written', () => {
    expect(proof).toMatchObject({
      part: 1,
      first_block: 1,
      certificate: certificateId(verifierParts.fingerprint(certificate)),
      checkpoint: { block: 2, at: 1510, end: 'open', time: 1_763_800_001_510 },
    });
    for (const [i, bytes] of written.entries()) {
      const found = proofIn(bytes);
      expect(found).toMatchObject({ part: i + 1, checkpoint: { end: i === 2 ? 'complete' : 'open' } });
      expect([...bytes.subarray(-encodeProof(found).length)]).toEqual([...encodeProof(found)]);
    }
  });

  test.each<[string, Partial<PartProof>]>([
    ['no time passed, and no bytes', { checkpoint: { ...proof.checkpoint, at: 0, bytes: 0, time: 0 } }],
    ['the largest numbers', { part: 2 ** 32 - 1, checkpoint: { ...proof.checkpoint, at: 2 ** 48 - 1, bytes: 2 ** 48 - 1 } }],
    ['no block of its own', { first_block: 3, tags: new Uint8Array(0) }],
    ['an interrupted session', { checkpoint: { ...proof.checkpoint, end: 'interrupted' } }],
  ])('holds %s', (_claim, change) => {
    expect(parseProof(proofContent({ ...proof, ...change }), 0)).toEqual({ ...proof, ...change });
  });

  const withCheckpoint = (change: Partial<PartProof['checkpoint']>): Partial<PartProof> => ({
    checkpoint: { ...proof.checkpoint, ...change },
  });
  test.each<[string, Partial<PartProof>, RegExp]>([
    ['a part number of five bytes', { part: 2 ** 32 }, /number/],
    ['a negative number', withCheckpoint({ at: -1 }), /number/],
    ['a fraction', withCheckpoint({ bytes: 0.5 }), /number/],
    ['a time of seven bytes', withCheckpoint({ time: 2 ** 48 }), /number/],
    ['a first block that its tags contradict', { first_block: 2 }, /number of tags/],
    ['a certificate that is no id', { certificate: 'SHA256:x' }, /certificate/],
    ['a head of another length', withCheckpoint({ head: '00' }), /head/],
    ['a signature that is not base64', withCheckpoint({ signature: '?' }), /signature/],
    ['a signature of another algorithm', withCheckpoint({ signature: encodeBase64(new Uint8Array(83).fill(7)) }), /signature/],
    ['a signature that is too short', withCheckpoint({ signature }), /signature/],
  ])('cannot hold %s', (_claim, change, detail) => {
    expect(() => proofContent({ ...proof, ...change })).toThrow(malformed(detail));
  });
});

describe('bytes that are no proof', () => {
  const content = proofContent(proof);
  const with_ = (place: number, value: number): Uint8Array => {
    const bytes = Uint8Array.from(content);
    bytes[place] = value;
    return bytes;
  };
  test.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['another kind', with_(0, 3)],
    ['a kind and nothing else', content.subarray(0, 1)],
    ['a certificate of no bytes', Uint8Array.of(2)],
    ['an end that does not exist', with_(1, 3)],
    ['a part one byte short', content.subarray(0, 139)],
    ['part 0', with_(2, 0)],
    ['more tags than blocks', with_(6, 1)],
  ])('%s', (_claim, bytes) => {
    expect(() => parseProof(bytes, 77)).toThrow(malformed(/unreadable proof at byte 77/));
  });

  test('but a certificate is whatever follows its kind', () => {
    expect(parseProof(certificateProof.subarray(8), 0)).toEqual({ kind: 'certificate', certificate });
    expect(parseProof(Uint8Array.of(2, 9), 0)).toEqual({ kind: 'certificate', certificate: Uint8Array.of(9) });
  });
});

test('the id of a certificate is the first half of its fingerprint, and of nothing else', () => {
  const fingerprint = `SHA256:${encodeBase64(Uint8Array.from({ length: 32 }, (_, i) => i)).slice(0, 43)}`;
  expect(certificateId(fingerprint)).toBe('000102030405060708090a0b0c0d0e0f');
  for (const bad of [
    '',
    fingerprint.slice(0, -1),
    `${fingerprint}A`,
    ` ${fingerprint}`,
    fingerprint.replace('256', '512'),
    `${fingerprint.slice(0, -1)}_`,
  ])
    expect(() => certificateId(bad)).toThrow(malformed(/fingerprint/));
});
