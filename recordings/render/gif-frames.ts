/**
 * Makes an animated GIF from painted pictures. Each frame has its own palette; after the first, a frame contains only pixels that
 * differ from the previous picture, and the others are transparent. A picture of a terminal has a few colours that cover large areas,
 * which are kept exactly, and many shades at the edges of glyphs: if these do not all fit into a palette, similar shades are merged.
 * Tested in animation.test.ts.
 */
import gifenc from 'gifenc';
import type { Colour } from 'gifenc';
import type { Band } from './picture-png.js';

const PALETTE = 256;
/** Number of the most frequent colours that are kept exactly. */
const KEPT = 64;
/** Above this number of colours, only six bits of each channel are distinguished. */
const EXACT = 4_096;

export interface Painting {
  readonly width: number;
  readonly height: number;
  /** Four bytes per pixel: red, green, blue, and alpha, which is always opaque. */
  readonly pixels: Uint8Array;
}

export class GifFrames {
  readonly #encoder = gifenc.GIFEncoder();
  readonly #overlay: Uint8Array | null;
  #shown: Uint32Array | null = null;

  /** `overlay`: pixels drawn over each frame, premultiplied by their alpha. */
  constructor(overlay: Uint8Array | null) {
    this.#overlay = overlay;
  }

  /** `bands`: in pixels of the painting. Returns the bytes to append to the file. */
  add({ width, height, pixels }: Painting, bands: readonly Band[], centiseconds: number): Uint8Array {
    const shown = this.#shown;
    const own = pixels.slice();
    if (shown !== null && shown.length * 4 !== own.length) throw new Error('a frame is of another size than the first');
    if (this.#overlay !== null) drawOver(own, this.#overlay);
    const painted = new Uint32Array(own.buffer);
    const changed = changedPixels(shown, painted, bands, width);
    const palette = paletteOf(painted, changed);
    const transparentIndex = palette.length;
    const indexes = new Uint8Array(width * height).fill(transparentIndex);
    const indexOf = indexer(palette);
    for (const at of changed) indexes[at] = indexOf(painted[at]!);
    this.#encoder.writeFrame(indexes, width, height, {
      palette: [...palette, [0, 0, 0]],
      delay: centiseconds * 10,
      ...{ transparent: shown !== null, transparentIndex, dispose: 1, repeat: 0 },
    });
    if (shown === null) this.#shown = painted;
    else for (const at of changed) shown[at] = painted[at]!;
    return this.#taken();
  }

  end(): Uint8Array {
    this.#encoder.finish();
    return this.#taken();
  }

  #taken(): Uint8Array {
    const bytes = this.#encoder.bytes();
    this.#encoder.stream.reset();
    return bytes;
  }
}

function drawOver(pixels: Uint8Array, overlay: Uint8Array): void {
  if (overlay.length !== pixels.length) throw new Error('what is drawn over a frame is of another size');
  for (let at = 0; at < pixels.length; at += 4) {
    const alpha = overlay[at + 3]!;
    if (alpha !== 0)
      for (let i = at; i < at + 3; i++) pixels[i] = Math.min(255, overlay[i]! + Math.round((pixels[i]! * (255 - alpha)) / 255));
  }
}

/** The pixels of the bands that differ from the shown picture; all of them for the first frame. */
function changedPixels(shown: Uint32Array | null, painted: Uint32Array, bands: readonly Band[], width: number): Uint32Array {
  const changed = new Uint32Array(painted.length);
  let count = 0;
  for (const { top, bottom } of shown === null ? [{ top: 0, bottom: painted.length / width }] : bands)
    for (let at = top * width; at < Math.min(bottom * width, painted.length); at++)
      if (shown === null || shown[at] !== painted[at]) changed[count++] = at;
  return changed.subarray(0, count);
}

const red = (pixel: number): number => pixel & 0xff;
const green = (pixel: number): number => (pixel >>> 8) & 0xff;
const blue = (pixel: number): number => (pixel >>> 16) & 0xff;
const colourOf = (pixel: number): Colour => [red(pixel), green(pixel), blue(pixel)];

/** One to 255 colours, which leaves one index for unchanged pixels. */
function paletteOf(painted: Uint32Array, changed: Uint32Array): readonly Colour[] {
  const counts = new Map<number, number>();
  for (const at of changed) counts.set(painted[at]!, (counts.get(painted[at]!) ?? 0) + 1);
  if (counts.size === 0) return [[0, 0, 0]];
  const most = PALETTE - 1;
  if (counts.size <= most) return [...counts.keys()].map(colourOf);
  const frequent = [...counts].sort((a, b) => b[1] - a[1]);
  const kept = new Set(frequent.slice(0, KEPT).map(([pixel]) => pixel));
  const rest = Uint32Array.from(
    changed.filter((at) => !kept.has(painted[at]!)),
    (at) => painted[at]!,
  );
  return [...[...kept].map(colourOf), ...gifenc.quantize(new Uint8Array(rest.buffer), most - KEPT)];
}

/** Finds the nearest colour of a palette, once for each colour. */
function indexer(palette: readonly Colour[]): (pixel: number) => number {
  const known = new Map<number, number>();
  const [reds, greens, blues] = [0, 1, 2].map((i) => Int16Array.from(palette, (colour) => colour[i]!)) as [
    Int16Array,
    Int16Array,
    Int16Array,
  ];
  return (pixel) => {
    const key = known.size < EXACT || known.has(pixel) ? pixel : (pixel & 0xfcfcfc) | 0x0100_0000;
    const found = known.get(key);
    if (found !== undefined) return found;
    let [nearest, least] = [0, Number.POSITIVE_INFINITY];
    for (let i = 0; i < reds.length; i++) {
      const distance = (reds[i]! - red(pixel)) ** 2 + (greens[i]! - green(pixel)) ** 2 + (blues[i]! - blue(pixel)) ** 2;
      if (distance < least) [nearest, least] = [i, distance];
    }
    known.set(key, nearest);
    return nearest;
  };
}
