import { inflateSync } from 'node:zlib';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPicturePainter, zoomFor } from './picture-png.js';
import type { PicturePainter } from './picture-png.js';
import { pictureSize, pictureSvg } from './picture-svg.js';
import type { Run } from './picture.js';

// Node runs a thread's module without the test runner, so use the compiled file.
const thread = new URL('../../dist/recordings/render/picture-thread.js', import.meta.url);
let painter: PicturePainter;
let folder: string;
beforeAll(async () => {
  painter = openPicturePainter(thread);
  folder = await mkdtemp(join(tmpdir(), 'steno-png-'));
});
afterAll(async () => {
  await painter.close();
  await rm(folder, { recursive: true, force: true });
});

const run = (text: string, more: Partial<Run> = {}): Run => ({
  ...{ text, width: text.length, fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false },
  ...more,
});
const screen = { cols: 10, rows: 2, lines: [[run('XXXXXXXXXX')], [run('          ', { bg: '#ff0000' })]] };
const mark = { viewer: 'ann', at: 0 };
const paint = (): Promise<Uint8Array> => painter.paint(pictureSvg(screen, 't'), pictureSize(screen));

interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly at: (x: number, y: number) => readonly number[];
}

/** Eight bits of red, green, blue and alpha, not interlaced: what resvg writes. */
function decode(png: Buffer): Pixels {
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at))
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  expect([...png.subarray(24, 29)]).toEqual([8, 6, 0, 0, 0]);
  const raw = inflateSync(Buffer.concat(parts));
  const row = width * 4;
  const out = Buffer.alloc(row * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)]!;
    for (let x = 0; x < row; x++) {
      const left = x < 4 ? 0 : out[y * row + x - 4]!;
      const up = y === 0 ? 0 : out[(y - 1) * row + x]!;
      const corner = x < 4 || y === 0 ? 0 : out[(y - 1) * row + x - 4]!;
      const guess = left + up - corner;
      const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
      const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
      out[y * row + x] = raw[y * (row + 1) + 1 + x]! + [0, left, up, (left + up) >> 1, paeth][filter]!;
    }
  }
  return { width, height, at: (x, y) => [...out.subarray(y * row + x * 4, y * row + x * 4 + 3)] };
}

test('text is painted with the bundled fonts, and colours are in their places', async () => {
  const { width, height, at } = decode(Buffer.from(await paint()));
  expect([width, height]).toEqual([216, 120]);
  expect(at(2, 2)).toEqual([0x10, 0x11, 0x14]);
  expect(at(100, 24 + 36 + 18)).toEqual([255, 0, 0]);
  const letters = Array.from({ length: 168 * 36 }, (_, i) => at(24 + (i % 168), 24 + Math.floor(i / 168)));
  const bright = letters.filter(([red]) => red! > 0xa0).length / letters.length;
  expect(bright).toBeGreaterThan(0.05);
  expect(bright).toBeLessThan(0.6);
});

test('a watermark is visible on a screen of any single colour', async () => {
  for (const colour of ['#000000', '#ffffff', '#4d4d4d', '#ff0000']) {
    const row = [run(' '.repeat(60), { bg: colour })];
    const one = { cols: 60, rows: 12, lines: Array.from({ length: 12 }, () => row) };
    const svg = (shown: typeof mark | undefined): string => pictureSvg(one, 't', shown);
    const [plain, marked] = await Promise.all([svg(undefined), svg(mark)].map((each) => painter.paint(each, pictureSize(one))));
    const [a, b] = [decode(Buffer.from(plain!)), decode(Buffer.from(marked!))];
    let differing = 0;
    for (let y = 40; y < a.height - 40; y += 1)
      for (let x = 40; x < a.width - 40; x += 1) if (a.at(x, y).some((value, i) => Math.abs(value - b.at(x, y)[i]!) > 25)) differing += 1;
    expect(differing, colour).toBeGreaterThan(500);
  }
});

test('the picture of a huge terminal is scaled down to fit the memory limit', () => {
  expect(zoomFor({ width: 700, height: 460 })).toBe(2);
  const size = pictureSize({ cols: 1000, rows: 1000 });
  const zoom = zoomFor(size);
  expect(size.width * zoom * size.height * zoom).toBeLessThanOrEqual(16_000_001);
});

test('an SVG that cannot be painted is an error, and the next picture is painted', async () => {
  await expect(painter.paint('<svg', { width: 1, height: 1 })).rejects.toMatchObject({ code: 'INTERNAL' });
  expect((await paint()).length).toBeGreaterThan(100);
});

test('a thread that does not answer is terminated, and a thread that ends is reported', async () => {
  const file = (name: string, code: string): URL => {
    writeFileSync(join(folder, name), code);
    return pathToFileURL(join(folder, name));
  };
  const silent = openPicturePainter(
    file('silent.mjs', "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => undefined);"),
    1,
  );
  await expect(silent.paint('<svg/>', { width: 1, height: 1 })).rejects.toMatchObject({ code: 'TOO_LARGE' });
  await silent.close();
  const dying = openPicturePainter(
    file('dying.mjs', "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(3));"),
  );
  await expect(dying.paint('<svg/>', { width: 1, height: 1 })).rejects.toMatchObject({ code: 'INTERNAL' });
  await dying.close();
});

test('the queue is bounded', async () => {
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => paint()));
  expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(16);
  expect(all.filter((one) => one.status === 'rejected').map(({ reason }) => (reason as { code: string }).code)).toEqual(
    Array(4).fill('TOO_MANY'),
  );
});
