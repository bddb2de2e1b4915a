/** Reads the code of offline pages, which the build puts beside the viewer's page. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import { isEmbeddable } from '#schemas/offline/page.js';
import type { OfflineApp } from '#schemas/offline/page.js';
import { offlineApp } from './page-file.js';

/** `webRoot`: folder of the built page. Throws NOT_FOUND if the offline page was not built. */
export async function loadOfflineApp(webRoot: string): Promise<OfflineApp> {
  const [script, style] = await Promise.all(['page.js', 'page.css'].map((name) => readFile(join(webRoot, 'offline', name), 'utf8'))).catch(
    (cause: unknown) => {
      throw new StenoError('NOT_FOUND', 'the offline page was not built: run `npm run build`', { cause });
    },
  );
  if (!isEmbeddable(script!) || !isEmbeddable(style!))
    throw new StenoError('INTERNAL', 'the offline page holds code that ends its element');
  return offlineApp(script!, style!);
}
