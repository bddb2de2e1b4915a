/**
 * The screen at one moment as PNG. resvg (WebAssembly) paints the SVG of picture-svg.ts with fonts from npm packages, so that a picture is the same on
 * every machine ([decision 0161](../../docs/decisions/0161-pictures-as-png.md)). Painting takes up to seconds, and the same process answers searches:
 * a worker thread paints, one picture at a time. Tested in picture-png.test.ts.
 */
import { openJobThread } from '#runtime/job-thread.js';
import { StenoError } from '#schemas/base/errors.js';

const LIMIT_MS = 60_000;
/** Pictures in the queue; beyond this, TOO_MANY. */
const MAX_WAITING = 16;
/** Pixels of a picture: four bytes each while it is painted. */
const MAX_PIXELS = 16_000_000;
const ZOOM = 2;

export interface PaintOrder {
  readonly svg: string;
  readonly zoom: number;
}

/** Twice as large as the SVG, for high-density screens; less for a huge terminal. */
export function zoomFor({ width, height }: { readonly width: number; readonly height: number }): number {
  return Math.min(ZOOM, Math.sqrt(MAX_PIXELS / (width * height)));
}

export interface PicturePainter {
  /** Rejects with TOO_MANY if the queue is full, with TOO_LARGE if painting takes longer than `LIMIT_MS`. */
  paint(svg: string, size: { readonly width: number; readonly height: number }): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** `module`: the module of the thread. */
export function openPicturePainter(module = new URL('./picture-thread.js', import.meta.url), limitMs = LIMIT_MS): PicturePainter {
  const thread = openJobThread<PaintOrder, Uint8Array>(module, {
    ms: limitMs,
    error: () => new StenoError('TOO_LARGE', 'this picture takes too long: take it as SVG'),
  });
  let waiting = 0;
  return {
    async paint(svg, size) {
      if (waiting >= MAX_WAITING) throw new StenoError('TOO_MANY', 'pictures at a time');
      waiting += 1;
      return thread.run({ svg, zoom: zoomFor(size) }).finally(() => (waiting -= 1));
    },
    close: () => thread.close(),
  };
}
