/** Chain, checkpoints, container and verification, with a small recording that is damaged in every way with a verdict of its own. */
import { describe, expect, test } from 'vitest';
import { cutBlocks } from './block.js';
import { TAG_BYTES, chainNext, chainStart, fromHex, toHex } from './chain.js';
import { checkpointText, isSignedCheckpoint } from './checkpoint.js';
import type { Checkpoint, SignedCheckpoint } from './checkpoint.js';
import { dataFrameLength, encodeProof, encodeSeekTable, readContainer } from './container.js';
import { certificateId } from './proof.js';
import { encodeHeader, encodeLine } from './line.js';
import { exampleHeader as header } from '../testing/recordings.js';
import { verifyRecording } from './verify.js';
import type { VerifierParts } from './verify.js';

// Exists in Node and browsers, whose types are not loaded here.
declare function btoa(text: string): string;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8');
/** Replaces SHA-256, which is passed in: 32 bytes that depend on every byte and its position. FNV-1a with eight seeds. */
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const words = Uint32Array.from({ length: 8 }, (_, seed) => 0x811c9dc5 ^ (seed * 0x9e3779b9));
  for (const part of parts)
    for (const byte of part) for (let i = 0; i < 8; i++) words[i] = Math.imul(words[i]! ^ byte, 0x01000193) ^ (words[i]! >>> 15);
  return new Uint8Array(words.buffer);
};
const join = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** A zstd frame of one raw block (RFC 8878, 3.1.1.2), with its content checked by a byte sum in place of XXH64. */
function frame(content: Uint8Array): Uint8Array {
  const head = new Uint8Array(12);
  const view = new DataView(head.buffer);
  view.setUint32(0, 0xfd2fb528, true);
  head[4] = 0xa4; // four bytes of content size, single segment, checksum
  view.setUint32(5, content.length, true);
  const block = (content.length << 3) | 1;
  head.set([block & 0xff, (block >> 8) & 0xff, block >> 16], 9);
  const sum = new Uint8Array(4);
  new DataView(sum.buffer).setUint32(
    0,
    content.reduce((total, byte) => total + byte, 0),
    true,
  );
  return join(head, content, sum);
}
function unframe(bytes: Uint8Array): Uint8Array {
  const content = bytes.subarray(12, bytes.length - 4);
  const sum = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 4).getUint32(0, true);
  if (sum !== content.reduce((total, byte) => total + byte, 0)) throw new Error('checksum');
  return content;
}

/** In the form of an Ed25519 signature: string "ssh-ed25519", string of 64 bytes. */
const signatureOf = (checkpoint: Checkpoint): string => {
  const digest = sha256(encoder.encode(`key ${checkpointText(checkpoint)}`));
  return base64(join(Uint8Array.of(0, 0, 0, 11), encoder.encode('ssh-ed25519'), Uint8Array.of(0, 0, 0, 64), digest, digest));
};
const certificate = encoder.encode('certificate of gw-1');
const parts: VerifierParts = {
  sha256,
  decompress: unframe,
  checkSignature: (checkpoint, blob) =>
    decoder.decode(blob) !== decoder.decode(certificate)
      ? 'unknown issuer'
      : checkpoint.signature === signatureOf(checkpoint)
        ? null
        : 'bad signature',
  fingerprint: (blob) => `SHA256:${base64(sha256(blob)).slice(0, 43)}`,
};
const certificateProof = encodeProof({ kind: 'certificate', certificate });

interface Part {
  readonly lines: string;
  readonly bytes: Uint8Array;
}

/** Three parts of two or three blocks each. `change` may falsify a checkpoint before it is signed. */
function record(change: (checkpoint: Checkpoint) => Checkpoint = (same) => same, first = encodeHeader(header)): Part[] {
  const texts = [
    first + encodeLine(10, { code: 'o', data: 'one' }) + encodeLine(1500, { code: 'o', data: 'two' }),
    encodeLine(2000, { code: 'o', data: 'three' }) +
      encodeLine(2000, { code: 'o', data: 'four' }) +
      encodeLine(2000, { code: 'o', data: 'five' }),
    encodeLine(2000, { code: 'o', data: 'six' }) + encodeLine(2000, { code: 'x', data: '0' }),
  ];
  let head = chainStart(sha256, header.steno.session);
  let n = 0;
  let at = 0;
  let bytes = 0;
  return texts.map((lines, i) => {
    const firstBlock = n + 1;
    const tags: number[] = [];
    for (const block of cutBlocks(encoder.encode(lines), { n, at })) {
      head = chainNext(sha256, head, block.content);
      tags.push(...head.subarray(0, TAG_BYTES));
      n = block.n;
      at = block.until;
      bytes += block.content.length;
    }
    const checkpoint = change({
      session: header.steno.session,
      gateway: 'gw-1',
      counter: 7,
      block: n,
      bytes,
      at,
      time: 1_763_800_000_000 + at,
      head: toHex(head),
      end: i === 2 ? 'complete' : 'open',
    });
    const signed: SignedCheckpoint = { ...checkpoint, signature: signatureOf(checkpoint) };
    const proof = encodeProof({
      kind: 'part',
      part: i + 1,
      first_block: firstBlock,
      tags: Uint8Array.from(tags),
      checkpoint: signed,
      certificate: certificateId(parts.fingerprint(certificate)),
    });
    // Each part begins with a keyframe, as stored parts do.
    const keyframe = encoder.encode(encodeLine(0, { code: 'k', data: { cols: 80, rows: 24, screen: '' } }));
    return { lines, bytes: join(frame(i === 0 ? encoder.encode(lines) : join(keyframe, encoder.encode(lines))), proof) };
  });
}
const [one, two, three] = record().map(({ bytes }) => bytes) as [Uint8Array, Uint8Array, Uint8Array];
/** With the seek table that `steno export` writes. */
function closed(...frames: readonly Uint8Array[]): Uint8Array {
  const file = join(...frames);
  const entries = [...readContainer(file)].map((segment) =>
    segment.kind === 'data'
      ? { compressed: segment.bytes.length, decompressed: segment.decompressed }
      : { compressed: segment.length, decompressed: 0 },
  );
  return join(file, encodeSeekTable(entries));
}
const whole = closed(certificateProof, one, two, three);
const replaced = (file: Uint8Array, from: string, to: string): Uint8Array => {
  const text = [...file].map((byte) => String.fromCharCode(byte)).join('');
  const place = text.indexOf(from);
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

describe('a verdict', () => {
  test('on a complete recording tells its extent', () => {
    expect(verifyRecording(whole, parts)).toMatchObject({
      ok: true,
      parts: 3,
      blocks: 7,
      duration: 11_510,
      checkpoint: { end: 'complete' },
    });
  });

  const table: readonly (readonly [string, Uint8Array, string, number | null])[] = [
    [
      'a changed character, its frame check repaired',
      join(one, replaced(two, 'four', 'fuor'), three, certificateProof),
      'VERIFY_ALTERED',
      4,
    ],
    ['a changed character', join(one, replaced(two, 'three', 'thrEe'), three, certificateProof), 'VERIFY_ALTERED', 3],
    ['the last part missing', join(one, two, certificateProof), 'VERIFY_TRUNCATED', 6],
    ['its end cut off inside a part', whole.subarray(0, certificateProof.length + one.length + two.length + 40), 'VERIFY_TRUNCATED', 6],
    [
      'lines without a checkpoint at the end',
      join(one, two, frame(encoder.encode(encodeLine(0, { code: 'o', data: 'x' }))), certificateProof),
      'VERIFY_TRUNCATED',
      6,
    ],
    ['parts in another order', join(one, three, two, certificateProof), 'VERIFY_REORDERED', 6],
    ['a part twice', join(one, two, two, three, certificateProof), 'VERIFY_REORDERED', 3],
    ['a part missing in the middle', join(one, three, certificateProof), 'VERIFY_MISSING_PART', 3],
    ['the first part missing', join(two, three, certificateProof), 'VERIFY_MISSING_PART', 1],
    ['no certificate', join(one, two, three), 'VERIFY_UNSIGNED', 1],
    [
      'a certificate of somebody else',
      join(one, two, three, encodeProof({ kind: 'certificate', certificate: encoder.encode('mallory') })),
      'VERIFY_UNSIGNED',
      1,
    ],
    ['no checkpoint at all', frame(encoder.encode(encodeHeader(header))), 'VERIFY_UNSIGNED', null],
    // A proof ends with its tags, here two, preceded by the signature.
    ['a signature that is wrong', join(one, two, flipped(three, three.length - 10), certificateProof), 'VERIFY_UNSIGNED', 6],
    ['a tag that is wrong', join(one, flipped(two, two.length - 1), three, certificateProof), 'VERIFY_ALTERED', 5],
    ['nothing after its certificate', certificateProof, 'VERIFY_TRUNCATED', 1],
    ['its first part cut off before the proof', join(certificateProof, frame(encoder.encode(encodeHeader(header)))), 'VERIFY_TRUNCATED', 1],
    ['nothing in it', new Uint8Array(0), 'RECORDING_MALFORMED', null],
    ['random bytes', Uint8Array.from({ length: 100 }, (_, i) => (i * 37) & 0xff), 'RECORDING_MALFORMED', null],
    ['an unknown frame after its end', join(whole, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8])), 'VERIFY_ALTERED', 8],
    [
      'a checkpoint that covers fewer bytes',
      join(...record((c) => ({ ...c, bytes: c.bytes - 1 })).map(({ bytes }) => bytes), certificateProof),
      'VERIFY_ALTERED',
      1,
    ],
    [
      'a checkpoint of another session',
      join(...record((c) => ({ ...c, session: '01kanar9g0dtjvf0yq516zc20m' })).map(({ bytes }) => bytes), certificateProof),
      'VERIFY_UNSIGNED',
      1,
    ],
    [
      'a newer format',
      join(
        ...record((c) => c, encodeHeader({ ...header, steno: { ...header.steno, format: 2 as 1 } })).map(({ bytes }) => bytes),
        certificateProof,
      ),
      'RECORDING_VERSION',
      null,
    ],
  ];
  for (const [name, file, code, block] of table) {
    test(`on a recording with ${name}: ${code}`, () => {
      const bytes = name.includes('repaired') ? repaired(file) : file;
      expect(verifyRecording(bytes, parts)).toMatchObject({ ok: false, code, block });
    });
  }

  test('is never good if any one byte of signed lines was changed', () => {
    const length = one.length - 4;
    for (let place = 12; place < Math.min(length, 200); place += 7) {
      expect(verifyRecording(repaired(flipped(whole, certificateProof.length + place)), parts).ok).toBe(false);
    }
  });

  test('is never good for a file truncated anywhere before its last checkpoint', () => {
    for (let length = 0; length < certificateProof.length + one.length + two.length + three.length; length += 13)
      expect(verifyRecording(whole.subarray(0, length), parts).ok).toBe(false);
  });
});

/** The same file with corrected frame checksums, as an attacker would write it. */
function repaired(file: Uint8Array): Uint8Array {
  const out = Uint8Array.from(file);
  for (const segment of readContainer(out)) {
    if (segment.kind === 'data') out.set(frame(segment.bytes.subarray(12, segment.bytes.length - 4)), segment.offset);
  }
  return out;
}

describe('the container', () => {
  test('is read back frame by frame', () => {
    expect([...readContainer(whole)].map((segment) => (segment.kind === 'proof' ? segment.proof.kind : segment.kind))).toEqual([
      'certificate',
      'data',
      'part',
      'data',
      'part',
      'data',
      'part',
      'seek-table',
    ]);
    const table = [...readContainer(whole)].at(-1)!;
    expect(table).toMatchObject({ entries: { length: 7, 0: { compressed: certificateProof.length, decompressed: 0 } } });
  });

  test('truncated anywhere yields the complete frames before the cut, then reports it', () => {
    const ends = [...readContainer(whole)].map((segment) => segment.offset);
    for (let length = 1; length < whole.length; length += 11) {
      if (ends.includes(length)) continue;
      const seen: number[] = [];
      expect(() => {
        for (const segment of readContainer(whole.subarray(0, length))) seen.push(segment.offset);
      }).toThrow(expect.objectContaining({ detail: 'cut off' }) as Error);
      expect(seen).toEqual(ends.slice(0, seen.length));
    }
  });

  test('parses a proof as it was written, and refuses to write one that does not fit', () => {
    const [, , found] = [...readContainer(whole)];
    if (found?.kind !== 'proof' || found.proof.kind !== 'part') throw new Error('no proof');
    const { proof } = found;
    expect(encodeProof(proof)).toEqual(whole.subarray(found.offset, found.offset + found.length));
    expect(proof).toMatchObject({
      part: 1,
      first_block: 1,
      certificate: certificateId(parts.fingerprint(certificate)),
      checkpoint: { block: 2, at: 1510, end: 'open' },
    });
    for (const bad of [
      { part: 2 ** 32 },
      { first_block: 2 },
      { certificate: 'SHA256:x' },
      { checkpoint: { ...proof.checkpoint, signature: base64(encoder.encode('ecdsa')) } },
    ]) {
      expect(() => encodeProof({ ...proof, ...bad })).toThrow(expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error);
    }
  });

  test('knows the length of a data frame from its block headers alone', () => {
    const bytes = frame(encoder.encode('content'));
    expect(dataFrameLength(join(bytes, bytes))).toBe(bytes.length);
  });
});

describe('a checkpoint', () => {
  const checkpoint: Checkpoint = {
    session: header.steno.session,
    gateway: 'gw-1',
    counter: 42,
    block: 17,
    bytes: 81_920,
    at: 61_250,
    time: 1_763_800_000_123,
    head: '9f'.repeat(32),
    end: 'open',
  };
  test('is signed as the text in its specification', () => {
    expect(checkpointText(checkpoint)).toBe(
      `steno-checkpoint/1\nsession 01kanar9g0dtjvf0yq516zc20n\ngateway gw-1\ncounter 42\nblock 17\nbytes 81920\nat 61250\ntime 1763800000123\nhead ${'9f'.repeat(32)}\nend open\n`,
    );
  });
  const signed = { ...checkpoint, signature: 'AAAA' };
  test('is recognized', () => expect(isSignedCheckpoint(signed)).toBe(true));
  for (const [name, change] of [
    ['a newline in the gateway', { gateway: 'gw\n1' }],
    ['a negative block', { block: -1 }],
    ['a fraction', { at: 0.5 }],
    ['a head in capitals', { head: '9F'.repeat(32) }],
    ['an invalid end', { end: 'maybe' }],
    ['no signature', { signature: undefined }],
    ['a huge signature', { signature: 'A'.repeat(3000) }],
  ] as const) {
    test(`with ${name} is refused`, () => expect(isSignedCheckpoint({ ...signed, ...change })).toBe(false));
  }
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
