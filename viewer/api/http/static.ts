/**
 * The built page. Its files are read into memory at start and looked up by exact path, so a request cannot name
 * anything else on this machine. Each is compressed when it is first requested, once: all of them would take half a second of every
 * start. Paths of the page's own views are answered with the page. Tested in viewer/api/main.test.ts.
 */
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { momentOf, openingPath } from '#schemas/api/recordings/opening.js';
import { once } from '#runtime/once.js';

export interface StaticFile {
  readonly type: string;
  readonly bytes: Buffer;
  /** Null: too small, or compressed already. */
  readonly gzip: (() => Promise<Buffer>) | null;
  readonly etag: string;
  readonly cacheControl: string;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};
const MAX_BYTES = 32 << 20;
const compress = promisify(gzip);

/**
 * The data that the page at this address will request first, for a `Link` header: the browser then fetches it while it loads the
 * scripts. It depends on the address alone; access is checked when the data is requested.
 */
export function openingOf(url: string): string | null {
  const match = /^\/sessions\/([0-9a-z]{26})(?:\?(.*))?$/.exec(url);
  return match === null ? null : openingPath(match[1]!, momentOf(new URLSearchParams(match[2] ?? '').get('t')));
}

/** Files by path, including `/index.html`; empty if the page was not built. */
export async function loadPage(root: string): Promise<ReadonlyMap<string, StaticFile>> {
  const files = new Map<string, StaticFile>();
  let total = 0;
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const type = types[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path);
    total += bytes.length;
    if (total > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes of page under ${root}`);
    const url = `/${relative(root, path).split(sep).join('/')}`;
    files.set(url, {
      type,
      bytes,
      gzip: bytes.length > 1024 && !type.startsWith('image/png') ? once(() => compress(bytes)) : null,
      etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
      // Names under assets/ carry a hash of the content.
      cacheControl: url.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    });
  }
  return files;
}

/** First parts of the addresses of views; `viewer/api/page.test.ts` compares them with the links and routes of the page. */
const heads =
  'account|audit|cases|compare|confirm|findings|invitation|join|login|nodes|patterns|requests|rules|search|sessions|sign-in|sql|terminal';
const views = new RegExp(`^/(?:(?:${heads})(?:/[0-9a-z-]{1,64}){0,3})?$`);

export function findFile(files: ReadonlyMap<string, StaticFile>, path: string): StaticFile | undefined {
  return files.get(views.test(path) ? '/index.html' : path);
}
