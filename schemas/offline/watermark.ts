/**
 * The text and drawing of a watermark: who views a recording and when, across everything that shows it. The server includes it in
 * each opening (schemas/policy/watermark.ts decides); the page and exports draw it. It is above the recorded content and is drawn
 * light and dark, so that no colour of a screen hides it. Tested in watermark.test.ts.
 */
import { z } from 'zod';
import { record } from '../endpoint/fields.js';

/** `at`: ms since 1970, by the server's clock. */
export const watermark = record({ viewer: z.string(), at: z.int() });
export type Watermark = z.output<typeof watermark>;

/** `alice, 2026-05-03 09:30 UTC`. */
export function watermarkText({ viewer, at }: Watermark): string {
  return `${viewer}, ${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** The tile in which the text is repeated, in pixels: wide enough that repetitions do not overlap, rotated so that it crosses lines of text. */
export function watermarkTile(text: string): { readonly width: number; readonly height: number; readonly angle: number } {
  return { width: Math.max(160, text.length * 8 + 48), height: 92, angle: -18 };
}

/** The two drawings of the text, one pixel apart. */
export const watermarkInks = [
  { x: 25, y: 41, fill: '#000000', opacity: 0.22 },
  { x: 24, y: 40, fill: '#ffffff', opacity: 0.26 },
] as const;

/** SVG to place over a drawing of this size. `escape`: makes the text safe in the surrounding markup. */
export function watermarkSvg(
  text: string,
  size: { readonly width: number | string; readonly height: number | string },
  escape: (text: string) => string,
): string {
  const { width, height, angle } = watermarkTile(text);
  const inks = watermarkInks.map(
    ({ x, y, fill, opacity }) => `<text x="${x}" y="${y}" fill="${fill}" fill-opacity="${opacity}">${escape(text)}</text>`,
  );
  return `<defs><pattern id="watermark" width="${width}" height="${height}" patternUnits="userSpaceOnUse" patternTransform="rotate(${angle})" font-size="13">${inks.join('')}</pattern></defs>
<rect width="${size.width}" height="${size.height}" fill="url(#watermark)"/>
`;
}
