/**
 * Pictures of pages in the state that a test has reached. With `STENO_TEST_PICTURES=FOLDER`, every picture in three widths and both
 * colour schemes, for people who change the page; with `STENO_DOCS_PICTURES`, the pictures of `docs/` (`npm run docs:pictures`).
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';

/** Pictures of `docs/`, by the name that a test gives the picture. */
export const documented: Readonly<Record<string, string>> = {
  'replay-processes': 'viewer.png',
  compare: 'compare.png',
  patterns: 'patterns.png',
  watermark: 'watermark.png',
};

const folder = process.env['STENO_TEST_PICTURES'];
const isForDocs = process.env['STENO_DOCS_PICTURES'] !== undefined;
const docs = fileURLToPath(new URL('../../../docs/', import.meta.url));
/** Two frames: the last change has been painted by then. */
const DRAWN = 'new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))';

/** Leaves the viewport as it was, in the light scheme. */
export async function takePicture(page: Page, name: string): Promise<void> {
  const file = isForDocs ? documented[name] : undefined;
  if (file !== undefined) {
    await page.evaluate('scrollTo(0, 0)');
    await page.evaluate(DRAWN);
    await page.screenshot({ path: join(docs, file) });
  }
  if (folder === undefined) return;
  const before = page.viewportSize();
  await page.evaluate('scrollTo(0, 0)');
  for (const [width, height] of [
    [1440, 900],
    [1024, 768],
    [390, 844],
  ] as const)
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.evaluate(DRAWN);
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: width < 1440 });
    }
  await page.emulateMedia({ colorScheme: 'light' });
  if (before !== null) await page.setViewportSize(before);
}
