/** The frames of an animation and its bounds. viewer/api/export/animation.test.ts tests that its pixels are those of the pictures. */
import { afterAll, expect, test } from 'vitest';
import { encodeLine } from '#schemas/recording/line.js';
import { animationGif, framesBetween } from './animation.js';
import type { Span, TimedSegment } from './animation.js';
import { openPicturePainter } from './picture-png.js';
import type { PicturePainter } from './picture-png.js';

const encoder = new TextEncoder();
const keyframe = (screen: string): string => encodeLine(0, { code: 'k', data: { cols: 20, rows: 4, screen } });
const out = (interval: number, data: string): string => encodeLine(interval, { code: 'o', data });
const segment = (start: number, ...lines: readonly string[]): TimedSegment => ({
  start,
  lines: encoder.encode(lines.map((line) => `${line.trimEnd()}\n`).join('')),
});
async function* read(...segments: readonly TimedSegment[]): AsyncGenerator<TimedSegment> {
  yield* segments;
}
async function frames(span: Span, ...segments: readonly TimedSegment[]): Promise<readonly (readonly [number, string])[]> {
  const found: (readonly [number, string])[] = [];
  for await (const { at, picture } of framesBetween(read(...segments), span))
    found.push([at, picture.lines.map((runs) => runs.map(({ text }) => text).join('')).join('|')]);
  return found;
}

// Node runs a thread's module without the test runner, so use the compiled file.
const painter = openPicturePainter(new URL('../../dist/recordings/render/picture-thread.js', import.meta.url));
afterAll(() => painter.close());
async function bytesOf(gif: AsyncGenerator<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of gif) parts.push(part);
  return Buffer.concat(parts);
}

test('the first frame is the screen at the start of the span, each later one is at a change, and none is from after the end', async () => {
  const one = segment(0, keyframe(''), out(500, 'a'), out(1_000, 'b'), out(700, 'c'), out(9_000, 'd'));
  expect(await frames({ from: 1_000, to: 5_000 }, one)).toEqual([
    [1_000, 'a|||'],
    [1_500, 'ab|||'],
    [2_200, 'abc|||'],
  ]);
  expect(await frames({ from: 1_000, to: 1_499 }, one)).toEqual([[1_000, 'a|||']]);
  expect(await frames({ from: 60_000, to: 61_000 }, one)).toEqual([[60_000, 'abcd|||']]);
});

test('changes within a tenth of a second after a frame become one frame that shows the last of them', async () => {
  const typed = segment(0, keyframe(''), out(1_000, 'a'), out(10, 'b'), out(10, 'c'), out(300, 'd'), out(10, 'e'));
  expect(await frames({ from: 900, to: 2_000 }, typed)).toEqual([
    [900, '|||'],
    [1_000, 'a|||'],
    [1_100, 'abc|||'],
    [1_320, 'abcd|||'],
    [1_420, 'abcde|||'],
  ]);
  // A frame that is still due when the span ends is shown at its end.
  expect(await frames({ from: 900, to: 1_050 }, typed)).toEqual([
    [900, '|||'],
    [1_000, 'a|||'],
    [1_050, 'abc|||'],
  ]);
});

test('a minute of constant change gives at most 300 frames', async () => {
  const busy = segment(0, keyframe(''), ...Array.from({ length: 6_000 }, (_, i) => out(10, `\r${i}`)));
  const found = await frames({ from: 0, to: 60_000 }, busy);
  expect(found.length).toBeLessThanOrEqual(301);
  expect(found.length).toBeGreaterThan(290);
  expect(found.at(-1)).toEqual([60_000, '5999|||']);
});

test('an animation continues over several segments, whose keyframes repeat the screen', async () => {
  const found = await frames(
    { from: 0, to: 5_000 },
    segment(0, keyframe(''), out(1_000, 'one')),
    segment(1_000, keyframe('one'), out(1_000, ' two')),
  );
  expect(found).toEqual([
    [0, '|||'],
    [1_000, 'one|||'],
    [2_000, 'one two|||'],
  ]);
});

test('too much output is refused, and the painter accepts the next animation', async () => {
  const much = 'x'.repeat(60_000);
  async function* endless(): AsyncGenerator<TimedSegment> {
    for (let i = 0; i < 2_000; i++) yield segment(i, keyframe(''), out(0, much));
  }
  await expect(bytesOf(animationGif(painter, endless, { from: 0, to: 5_000 }))).rejects.toMatchObject({ code: 'TOO_LARGE' });
  const gif = await bytesOf(animationGif(painter, () => read(segment(0, keyframe('x'))), { from: 0, to: 1_000 }));
  expect(gif.subarray(0, 6).toString()).toBe('GIF89a');
  expect(gif.at(-1)).toBe(0x3b);
});

test('concurrent animations are limited; an abandoned one frees its slot, and pictures are painted between frames', async () => {
  const busy = segment(0, keyframe(''), ...Array.from({ length: 20 }, (_, i) => out(200, `${i} `)));
  const begin = (of: PicturePainter): AsyncGenerator<Uint8Array> => animationGif(of, () => read(busy), { from: 0, to: 10_000 });
  const [one, two, three] = [begin(painter), begin(painter), begin(painter)];
  await Promise.all([one.next(), two.next()]);
  await expect(three.next()).rejects.toMatchObject({ code: 'TOO_MANY' });
  expect(
    (await painter.paint('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', { width: 9, height: 9 })).length,
  ).toBeGreaterThan(50);
  await one.return(undefined);
  expect((await bytesOf(begin(painter))).length).toBeGreaterThan(500);
  expect((await two.next()).done).toBe(false);
  await two.return(undefined);
});

test('an animation whose thread ended fails instead of ending early', async () => {
  const own = openPicturePainter(new URL('../../dist/recordings/render/picture-thread.js', import.meta.url));
  const busy = segment(0, keyframe(''), ...Array.from({ length: 20 }, (_, i) => out(200, `${i} `)));
  const gif = animationGif(own, () => read(busy), { from: 0, to: 10_000 });
  await gif.next();
  await own.close();
  await expect(bytesOf(gif)).rejects.toMatchObject({ code: 'INTERNAL' });
  await own.close();
});
