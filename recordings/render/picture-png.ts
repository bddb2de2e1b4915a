/**
 * Paints the screen at one moment as PNG, and a span as GIF. resvg (WebAssembly) paints the SVG of picture-svg.ts with fonts from npm
 * packages, so that a picture is the same on every machine ([decision 0161](../../docs/decisions/0161-pictures-as-png.md)). Painting
 * can take seconds, and the same process answers searches, so a worker thread paints, one picture or frame at a time. Tested in
 * picture-png.test.ts and animation.test.ts.
 */
import { openJobThread } from '#runtime/job-thread.js';
import { StenoError } from '#schemas/base/errors.js';

const LIMIT_MS = 60_000;
/** Pictures and animations that are queued or being made; beyond this, TOO_MANY. */
const MAX_WAITING = 16;
/** Animations at a time: each holds its last frame in the thread. */
const MAX_ANIMATIONS = 2;
/** The thread's working time that one animation may take. */
const ANIMATION_LIMIT_MS = 120_000;
/** Most pixels of a picture; each takes four bytes while it is painted. */
const MAX_PIXELS = 16_000_000;
const MAX_ANIMATION_PIXELS = 2_000_000;
const ZOOM = 2;

interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** Rows of pixels from `top` up to, but not including, `bottom`, over the whole width. */
export interface Band {
  readonly top: number;
  readonly bottom: number;
}

export interface AnimationFrame {
  readonly svg: string;
  /** The areas that may differ from the previous frame; the first frame's bands cover everything. */
  readonly bands: readonly Band[];
  /** Duration, in hundredths of a second. */
  readonly centiseconds: number;
}

export type PaintOrder =
  | { readonly kind: 'png'; readonly svg: string; readonly zoom: number }
  /** `overlay`: drawn over every frame of the animation. */
  | { readonly kind: 'begin'; readonly animation: number; readonly zoom: number; readonly overlay: string | null }
  | ({ readonly kind: 'frame'; readonly animation: number; readonly zoom: number } & AnimationFrame)
  | { readonly kind: 'end' | 'forget'; readonly animation: number };

/** The scale: twice the size of the SVG, for high-resolution screens; less for a huge terminal. */
export function zoomFor({ width, height }: PictureSize, pixels = MAX_PIXELS): number {
  return Math.min(ZOOM, Math.sqrt(pixels / (width * height)));
}

/** A GIF made frame by frame: the file is the bytes of all calls in order. */
export interface Animation {
  add(frame: AnimationFrame): Promise<Uint8Array>;
  end(): Promise<Uint8Array>;
  /** Must be called whether or not the animation was completed; may be called again. */
  close(): Promise<void>;
}

export interface PicturePainter {
  /** Throws TOO_MANY if too many are waiting, TOO_LARGE for a picture that takes too long. */
  paint(svg: string, size: PictureSize): Promise<Uint8Array>;
  /** Throws as `paint` does. Pictures are painted between its frames. `overlay`: an SVG with a transparent background, drawn over each frame. */
  animate(size: PictureSize, overlay: string | null): Animation;
  close(): Promise<void>;
}

/** `module`: the thread's module. */
export function openPicturePainter(module = new URL('./picture-thread.js', import.meta.url), limitMs = LIMIT_MS): PicturePainter {
  const thread = openJobThread<PaintOrder, Uint8Array>(module, {
    ms: limitMs,
    error: () => new StenoError('TOO_LARGE', 'this picture takes too long: take it as SVG'),
  });
  let waiting = 0;
  let animations = 0;
  let numbered = 0;
  let closed = false;
  const admit = (): void => {
    if (waiting >= MAX_WAITING) throw new StenoError('TOO_MANY', 'pictures at a time');
    waiting += 1;
  };
  return {
    async paint(svg, size) {
      admit();
      return thread.run({ kind: 'png', svg, zoom: zoomFor(size) }).finally(() => (waiting -= 1));
    },
    animate(size, overlay) {
      if (animations >= MAX_ANIMATIONS) throw new StenoError('TOO_MANY', 'animations at a time');
      admit();
      animations += 1;
      const animation = (numbered += 1);
      const zoom = zoomFor(size, MAX_ANIMATION_PIXELS);
      let begun: Promise<unknown> | null = null;
      let taken = 0;
      let open = true;
      return {
        async add(frame) {
          const began = performance.now();
          begun ??= thread.run({ kind: 'begin', animation, zoom, overlay });
          await begun;
          const bytes = await thread.run({ kind: 'frame', animation, zoom, ...frame });
          taken += performance.now() - began;
          if (taken > ANIMATION_LIMIT_MS) throw new StenoError('TOO_LARGE', 'this animation takes too long: take a shorter span');
          return bytes;
        },
        end: () => thread.run({ kind: 'end', animation }),
        async close() {
          if (!open) return;
          open = false;
          waiting -= 1;
          animations -= 1;
          // A thread that ended or never started has nothing to forget.
          if (begun !== null && !closed) await thread.run({ kind: 'forget', animation }).catch(() => undefined);
        },
      };
    },
    close() {
      closed = true;
      return thread.close();
    },
  };
}
