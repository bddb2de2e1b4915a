/** The page of the viewer for tests, built from its sources as it is shipped. */
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

/** Into `outDir`. `part`: the page itself, or the one that verifies itself offline. */
export async function buildPage(outDir: string, part: 'page' | 'offline' = 'page'): Promise<void> {
  // The test runner's own environment would build it for development.
  process.env['NODE_ENV'] = 'production';
  const config = part === 'page' ? '../../web/vite.config.ts' : '../../web/offline/vite.config.ts';
  await build({ configFile: fileURLToPath(new URL(config, import.meta.url)), logLevel: 'error', build: { outDir } });
}
