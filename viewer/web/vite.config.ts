/** Builds the page into dist/web, which viewer/api serves. Nothing is inlined: the page's policy forbids inline code. */
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import type { Plugin } from 'vite';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/**
 * The player carries its terminal, which is WebAssembly, as base64 in a string that is decoded and compiled at every start. As a
 * separate file, it is loaded in parallel with the scripts, is compiled while it loads, and the browser caches the compiled code.
 */
function terminalAsFile(): Plugin {
  const inline = /base64Decode\("([A-Za-z0-9+/=]{1000,})"\)/;
  let file = '';
  return {
    name: 'terminal-as-file',
    apply: 'build',
    transform(code, id) {
      if (!/asciinema-player\/dist\/opts-[^/]*\.js$/.test(id)) return null;
      const found = inline.exec(code);
      if (found === null) throw new Error(`${id} no longer carries its terminal as a string: see to it`);
      file = this.emitFile({ type: 'asset', name: 'terminal.wasm', source: Buffer.from(found[1]!, 'base64') });
      return { code: code.replace(inline, `fetch(import.meta.ROLLUP_FILE_URL_${file})`), map: null };
    },
    transformIndexHtml: {
      order: 'post',
      handler(_, { bundle }) {
        const name = Object.keys(bundle ?? {}).find((each) => each.endsWith('.wasm'));
        return name === undefined
          ? []
          : [
              {
                tag: 'link',
                attrs: { rel: 'preload', as: 'fetch', href: `/${name}`, type: 'application/wasm', crossorigin: 'anonymous' },
                injectTo: 'head',
              },
            ];
      },
    },
  };
}

/**
 * xterm.js writes `<style>` elements and `style` attributes, which the page's policy forbids. The elements are replaced by that of
 * terminal/style-element.ts, and the attributes are set through CSSOM, which the policy allows.
 */
function terminalWithoutInlineStyles(): Plugin {
  const elements = /createElement\("style"\)/g;
  const attribute = /(\w+)\.setAttribute\("style",`\$\{\1\.getAttribute\("style"\)\|\|""\}\$\{(\w+)\};`\)/g;
  return {
    name: 'terminal-without-inline-styles',
    transform(code, id) {
      if (!/@xterm\/xterm\/lib\/xterm\.mjs$/.test(id)) return null;
      const found = [code.match(elements)?.length, code.match(attribute)?.length, code.match(/"style"/g)?.length].join();
      if (found !== '3,1,5') throw new Error(`${id} writes styles in other places than before (${found}): see to it`);
      return { code: code.replace(elements, 'createElement("steno-style")').replace(attribute, '$1.style.cssText+=`${$2};`'), map: null };
    },
  };
}

export default defineConfig({
  root: path('.'),
  plugins: [react(), terminalAsFile(), terminalWithoutInlineStyles()],
  resolve: { conditions: ['source', 'module', 'browser', 'import', 'default'] },
  build: {
    outDir: path('../../dist/web'),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
  },
});
