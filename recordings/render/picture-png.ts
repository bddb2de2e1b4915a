/**
 * The screen at one moment as PNG: the SVG of picture-svg.ts, painted by resvg (WebAssembly) with fonts that come along, so that a picture is the same
 * on every machine ([decision 0161](../../docs/decisions/0161-pictures-as-png.md)).
 *
 * Painting takes up to seconds, and what draws it also answers searches: so it is done in a thread, which takes one picture at a time, starts with the first
 * one and ends after a minute without work. A picture that takes longer than `LIMIT_MS` ends its thread. Tested in picture-png.test.ts.
 */
import { Worker } from 'node:worker_threads';
import { StenoError } from '#schemas/base/errors.js';

const IDLE_MS = 60_000;
const LIMIT_MS = 60_000;
/** Pictures that wait; beyond them TOO_MANY. */
const MAX_WAITING = 16;
/** Pixels of a picture, four bytes each while it is painted. */
const MAX_PIXELS = 16_000_000;
const ZOOM = 2;

export interface PaintOrder {
  readonly svg: string;
  readonly zoom: number;
}
export type Painted = { readonly kind: 'png'; readonly png: Uint8Array } | { readonly kind: 'failed'; readonly message: string };

/** Twice as large as the SVG, for screens of today; less where the terminal was huge. */
export function zoomFor({ width, height }: { readonly width: number; readonly height: number }): number {
  return Math.min(ZOOM, Math.sqrt(MAX_PIXELS / (width * height)));
}

export interface PicturePainter {
  /** Throws TOO_MANY when others wait already, TOO_LARGE for a picture that takes too long. */
  paint(svg: string, size: { readonly width: number; readonly height: number }): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** `thread`: the module of the worker. */
export function openPicturePainter(thread = new URL('./picture-thread.js', import.meta.url), limitMs = LIMIT_MS): PicturePainter {
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();

  const stop = async (): Promise<void> => {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  };
  const ask = (order: PaintOrder): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      clearTimeout(idle);
      const painter = (worker ??= new Worker(thread));
      const settle = (outcome: () => void): void => {
        clearTimeout(late);
        painter.off('message', onMessage).off('error', onError).off('exit', onExit);
        idle = setTimeout(() => void stop(), IDLE_MS);
        idle.unref();
        outcome();
      };
      const onMessage = (answer: Painted): void =>
        settle(() => (answer.kind === 'png' ? resolve(answer.png) : reject(new StenoError('INTERNAL', answer.message))));
      const onError = (error: Error): void => {
        worker = undefined;
        settle(() => reject(error));
      };
      const onExit = (): void => {
        worker = undefined;
        settle(() => reject(new StenoError('INTERNAL', 'the thread that paints pictures ended')));
      };
      const late = setTimeout(() => {
        settle(() => reject(new StenoError('TOO_LARGE', 'this picture takes too long: take it as SVG')));
        void stop();
      }, limitMs);
      painter.on('message', onMessage).on('error', onError).on('exit', onExit);
      painter.postMessage(order);
    });
  return {
    async paint(svg, size) {
      if (waiting >= MAX_WAITING) throw new StenoError('TOO_MANY', 'pictures at a time');
      waiting += 1;
      const next = last.then(() => ask({ svg, zoom: zoomFor(size) })).finally(() => (waiting -= 1));
      last = next.catch(() => undefined);
      return next;
    },
    close: stop,
  };
}
