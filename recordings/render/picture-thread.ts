/** The thread of picture-png.ts. Fonts: those of DejaVu, which has what draws boxes and most alphabets, and no Chinese, Japanese or Korean. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { parentPort } from 'node:worker_threads';
import { Resvg, initWasm } from '@resvg/resvg-wasm';
import type { PaintOrder, Painted } from './picture-png.js';

const { resolve } = createRequire(import.meta.url);
const fonts = ['DejaVuSansMono', 'DejaVuSansMono-Bold', 'DejaVuSansMono-Oblique', 'DejaVuSansMono-BoldOblique', 'DejaVuSans'];
const family = 'DejaVu Sans Mono';

await initWasm(await readFile(resolve('@resvg/resvg-wasm/index_bg.wasm')));
const fontBuffers = await Promise.all(fonts.map((name) => readFile(resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`))));

parentPort!.on('message', ({ svg, zoom }: PaintOrder) => {
  let answer: Painted;
  try {
    answer = { kind: 'png', png: paint(svg, zoom) };
  } catch (error) {
    answer = { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
  parentPort!.postMessage(answer);
});

function paint(svg: string, zoom: number): Uint8Array {
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
}
