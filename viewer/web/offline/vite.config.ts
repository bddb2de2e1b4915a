/**
 * Builds the standalone page into `offline/` in the page's folder: one script and one style, which `steno export --html` puts into each
 * file. Everything is inlined, including WebAssembly and the worker, because the file cannot fetch anything.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import type { Plugin } from 'vite';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const require = createRequire(import.meta.url);

/** The code stands inside an element of the page, so nothing in it may end that element or be changed by an HTML parser. */
function embeddable(): Plugin {
  return {
    name: 'embeddable',
    apply: 'build',
    enforce: 'post',
    generateBundle(_, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'chunk') continue;
        file.code = file.code
          .replace(/<(\/?script|\/style|!--)/gi, '\\x3c$1')
          .replace(/\0/g, '\\0')
          .replace(/\r\n?/g, '\n');
      }
    },
  };
}

export default defineConfig({
  root: path('.'),
  plugins: [react(), embeddable()],
  define: { 'process.env.NODE_ENV': '"production"' },
  resolve: {
    conditions: ['source', 'module', 'browser', 'import', 'default'],
    // These packages name a module that they do not contain, or one without a default export.
    alias: {
      '@xterm/headless': require.resolve('@xterm/headless'),
      '@xterm/addon-serialize': require.resolve('@xterm/addon-serialize'),
    },
  },
  worker: { format: 'iife', plugins: () => [embeddable()] },
  build: {
    outDir: path('../../../dist/web/offline'),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: () => true,
    cssCodeSplit: false,
    modulePreload: false,
    chunkSizeWarningLimit: 4000,
    lib: { entry: path('main.tsx'), formats: ['iife'], name: 'steno', fileName: () => 'page.js', cssFileName: 'page' },
  },
});
