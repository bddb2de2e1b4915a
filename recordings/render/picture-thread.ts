/** The worker thread of picture-png.ts. The DejaVu fonts have box-drawing characters and most alphabets, but no Chinese, Japanese or Korean. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Resvg, initWasm } from '@resvg/resvg-wasm';
import { serveJobs } from '#runtime/job-thread.js';
import { GifFrames } from './gif-frames.js';
import type { PaintOrder } from './picture-png.js';

const { resolve } = createRequire(import.meta.url);
const fonts = ['DejaVuSansMono', 'DejaVuSansMono-Bold', 'DejaVuSansMono-Oblique', 'DejaVuSansMono-BoldOblique', 'DejaVuSans'];
const family = 'DejaVu Sans Mono';

await initWasm(await readFile(resolve('@resvg/resvg-wasm/index_bg.wasm')));
const fontBuffers = await Promise.all(fonts.map((name) => readFile(resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`))));

const animations = new Map<number, GifFrames>();

serveJobs(carryOut);

function carryOut(order: PaintOrder): Uint8Array {
  switch (order.kind) {
    case 'png':
      return painted(order.svg, order.zoom, (image) => image.asPng());
    case 'begin': {
      const { animation, zoom, overlay } = order;
      animations.set(animation, new GifFrames(overlay === null ? null : painted(overlay, zoom, ({ pixels }) => pixels)));
      return new Uint8Array(0);
    }
    case 'frame': {
      const { animation, svg, zoom, bands, centiseconds } = order;
      return painted(svg, zoom, ({ width, height, pixels }) =>
        framesOf(animation).add(
          { width, height, pixels },
          bands.map((band) => enlarged(band, zoom)),
          centiseconds,
        ),
      );
    }
    case 'end':
      return framesOf(order.animation).end();
    case 'forget':
      animations.delete(order.animation);
      return new Uint8Array(0);
  }
}

function framesOf(animation: number): GifFrames {
  const frames = animations.get(animation);
  if (frames === undefined) throw new Error('the thread that held this animation ended');
  return frames;
}

const enlarged = ({ top, bottom }: { readonly top: number; readonly bottom: number }, zoom: number) => ({
  top: Math.floor(top * zoom),
  bottom: Math.ceil(bottom * zoom),
});

function painted(svg: string, zoom: number, take: (image: ReturnType<InstanceType<typeof Resvg>['render']>) => Uint8Array): Uint8Array {
  const drawing = new Resvg(svg, {
    font: { fontBuffers, defaultFontFamily: family, monospaceFamily: family },
    fitTo: { mode: 'zoom', value: zoom },
  });
  try {
    const image = drawing.render();
    try {
      return take(image);
    } finally {
      image.free();
    }
  } finally {
    drawing.free();
  }
}
