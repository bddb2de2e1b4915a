/** The worker thread of picture-png.ts. The DejaVu fonts have box-drawing characters and most alphabets, but no Chinese, Japanese or Korean. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Resvg, initWasm } from '@resvg/resvg-wasm';
import { serveJobs } from '#runtime/job-thread.js';
import type { PaintOrder } from './picture-png.js';

const { resolve } = createRequire(import.meta.url);
const fonts = ['DejaVuSansMono', 'DejaVuSansMono-Bold', 'DejaVuSansMono-Oblique', 'DejaVuSansMono-BoldOblique', 'DejaVuSans'];
const family = 'DejaVu Sans Mono';

await initWasm(await readFile(resolve('@resvg/resvg-wasm/index_bg.wasm')));
const fontBuffers = await Promise.all(fonts.map((name) => readFile(resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`))));

serveJobs(({ svg, zoom }: PaintOrder): Uint8Array => {
  const drawing = new Resvg(svg, {
    font: { fontBuffers, defaultFontFamily: family, monospaceFamily: family },
    fitTo: { mode: 'zoom', value: zoom },
  });
  try {
    const image = drawing.render();
    try {
      return image.asPng();
    } finally {
      image.free();
    }
  } finally {
    drawing.free();
  }
});
