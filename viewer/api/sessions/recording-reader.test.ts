import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeProof, encodeSeekTable, readContainer } from '#schemas/recording/container.js';
import { manifestKey, parseManifest, partKey, recordingPrefix, sealedKey } from '#schemas/recording/layout.js';
import type { PartProof } from '#schemas/recording/proof.js';
import { encodeIndex } from '#schemas/recording/sealed.js';
import type { LineBody } from '#schemas/recording/line.js';
import { RecordingReader, scanFrame } from '#recordings/read/recording-reader.js';
import { record } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
beforeAll(async () => {
  stand = await openStand();
});
afterAll(() => stand.close());

function* ticks(): Generator<readonly [number, LineBody]> {
  for (let i = 0; i < 9; i++) yield [i * 1100, { code: 'o', data: `tick ${i}\r\n` }];
}

test.each(['sealed', 'repacked'] as const)('the index of parts and the index of what is %s say the same', async (state) => {
  const reader = new RecordingReader(stand.objects, stand.zstd);
  const made = await record(stand, { state: 'parts', blocksPerPart: 2, lines: ticks() });
  const walked = (await reader.index(made.id, made.startedAt))!;
  const sealed = await record(stand, { state, blocksPerPart: 2, lines: ticks() });
  const read = (await reader.index(sealed.id, sealed.startedAt))!;
  const shape = (index: typeof walked) => [
    index.cols,
    index.rows,
    index.duration,
    index.block,
    index.segments.map(({ start, firstBlock, begin }) => [start, firstBlock, begin]),
  ];
  expect(shape(walked)).toEqual(shape(read));
  expect([walked.sealed, read.sealed, walked.segments.length]).toEqual([false, true, 5]);
});

test('parts that come while a session is live extend its index; a hole ends it', async () => {
  const reader = new RecordingReader(stand.objects, stand.zstd);
  const made = await record(stand, { state: 'live', storedParts: 2, blocksPerPart: 2, lines: ticks() });
  expect((await reader.index(made.id, made.startedAt))!.block).toBe(4);
  await made.seal();
  expect((await reader.index(made.id, made.startedAt))!.block).toBe(9);
  await stand.objects.delete(partKey(recordingPrefix(made.id, made.startedAt), 3));
  expect((await reader.index(made.id, made.startedAt))!.block).toBe(4);
});

test('nothing stored is no index; a damaged part or manifest is an error, not an empty recording', async () => {
  const reader = new RecordingReader(stand.objects, stand.zstd);
  const made = await record(stand, { state: 'live', lines: ticks() });
  const prefix = recordingPrefix(made.id, made.startedAt);
  expect(await reader.index(made.id, made.startedAt)).toBeNull();
  await stand.objects.put(partKey(prefix, 1), Buffer.from('garbage!'));
  await expect(reader.index(made.id, made.startedAt)).rejects.toMatchObject({ code: 'RECORDING_MALFORMED' });
  await stand.objects.put(manifestKey(prefix), Buffer.from('{"version":99}'));
  await expect(reader.index(made.id, made.startedAt)).rejects.toMatchObject({ code: 'RECORDING_VERSION' });
});

test('a recording that was repacked under a reader is read anew', async () => {
  const reader = new RecordingReader(stand.objects, stand.zstd);
  const made = await record(stand, { state: 'sealed', blocksPerPart: 2, lines: ticks() });
  const before = await reader.index(made.id, made.startedAt);
  const prefix = recordingPrefix(made.id, made.startedAt);
  const manifest = parseManifest(await stand.objects.get(manifestKey(prefix)));
  const frames: Uint8Array[] = [];
  const proofs: PartProof[] = [];
  for (const { key } of manifest.objects) {
    for (const segment of readContainer(await stand.objects.get(key))) {
      if (segment.kind === 'data') frames.push(segment.bytes);
      if (segment.kind === 'proof' && segment.proof.kind === 'part') proofs.push(segment.proof);
    }
  }
  const proof = encodeProof({ ...proofs.at(-1)!, part: 1, first_block: 1, tags: Buffer.concat(proofs.map(({ tags }) => tags)) });
  const table = encodeSeekTable(manifest.frames.map(({ compressed, decompressed }) => ({ compressed, decompressed })));
  await stand.objects.put(sealedKey(prefix), Buffer.concat([...frames, proof, encodeIndex(manifest, manifest.frames), table]));
  for (const { key } of manifest.objects) await stand.objects.delete(key);
  const { start, lines } = await reader.segment(made.id, made.startedAt, 1);
  expect([start, Buffer.from(lines).toString().includes('tick 2')]).toEqual([before!.segments[1]!.start, true]);
  expect((await reader.index(made.id, made.startedAt))!.objects).toEqual([sealedKey(prefix)]);
});

test('a frame splits at its keyframes, wherever they stand', () => {
  const text = '[0,"k",{"cols":1,"rows":1,"screen":""}]\n[1,"o","a"]\n[2,"o","b"]\n[0,"k",{"cols":1,"rows":1,"screen":"b"}]\n[3,"o","c"]\n';
  const { segments, n, at } = scanFrame(Buffer.from(text), { n: 4, at: 500 });
  expect(segments.map(({ start, firstBlock }) => [start, firstBlock])).toEqual([
    [500, 5],
    [3500, 7],
  ]);
  expect([n, at]).toEqual([7, 6500]);
  expect(() => scanFrame(Buffer.from('[1,"o","a"]'), { n: 1, at: 0 })).toThrow();
});

test('keyframes that somebody put at the beginning are not drawn: the first segment begins with an empty screen', async () => {
  const forged = '[0,"k",{"cols":9,"rows":9,"screen":"forged"}]\n';
  const reader = new RecordingReader(stand.objects, stand.zstd);
  // Before the header, after it, and after the first line: no block begins at these places.
  const lines: readonly (readonly [number, LineBody])[] = [
    [10, { code: 'o', data: 'a' }],
    [20, { code: 'o', data: 'b' }],
    [1900, { code: 'o', data: 'c' }],
  ];
  for (const place of [0, 1, 2]) {
    const made = await record(stand, { state: 'parts', lines });
    const key = partKey(recordingPrefix(made.id, made.startedAt), 1);
    const object = Buffer.concat(
      [...readContainer(await stand.objects.get(key))].flatMap((segment) => {
        if (segment.kind !== 'data') return segment.kind === 'proof' ? [encodeProof(segment.proof)] : [];
        const lines = Buffer.from(stand.zstd.decompress(segment.bytes))
          .toString()
          .split(/(?<=\n)/);
        return [stand.zstd.compress(Buffer.from(lines.toSpliced(place, 0, forged).join('')), 3)];
      }),
    );
    await stand.objects.put(key, object);
    const index = (await reader.index(made.id, made.startedAt))!;
    // None of them begins a segment either.
    expect(index.segments.map(({ start }) => start)).toEqual([0]);
    const segment = await reader.segment(made.id, made.startedAt, 0);
    const [first, second] = Buffer.from(segment.lines).toString().split('\n');
    expect(first).toBe('[0,"k",{"cols":80,"rows":24,"screen":""}]');
    if (place < 2) expect(second).toMatch(/^\[[\d.]+,"o"/);
  }
});
