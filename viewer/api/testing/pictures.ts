/**
 * Pictures of pages that tests have brought to a state worth looking at: in `STENO_TEST_PICTURES` each at every size and in both schemes, for people who
 * change the page; with `STENO_DOCS_PICTURES` those of the documentation into `docs/` (`npm run docs:pictures`).
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';

/** Of `docs/`, by the name that the test gives the picture. */
export const documented: Readonly<Record<string, string>> = {
  'replay-processes': 'viewer.png',
  compare: 'compare.png',
  patterns: 'patterns.png',
  watermark: 'watermark.png',
};

const folder = process.env['STENO_TEST_PICTURES'];
const isForDocs = process.env['STENO_DOCS_PICTURES'] !== undefined;
const docs = fileURLToPath(new URL('../../../docs/', import.meta.url));
/** Two frames: what the last change brought is drawn then. */
const DRAWN = 'new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))';

/** Leaves the page at 1440 by 900, by day. */
export async function takePicture(page: Page, name: string): Promise<void> {
  const file = documented[name];
  await page.evaluate('scrollTo(0, 0)');
  if (isForDocs && file !== undefined) {
    await page.evaluate(DRAWN);
    await page.screenshot({ path: join(docs, file) });
  }
  if (folder === undefined) return;
  for (const [width, height, colorScheme] of [
    [1440, 900, 'light'],
    [1440, 900, 'dark'],
    [1024, 768, 'light'],
    [390, 844, 'dark'],
  ] as const) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    await page.evaluate(DRAWN);
    await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), fullPage: width < 1440 });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1440, height: 900 });
}
