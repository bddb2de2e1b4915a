/** `npm run audit` against a local registry with npm's protocol (POST /-/npm/v1/security/advisories/bulk). */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';

const script = fileURLToPath(new URL('audit.mjs', import.meta.url));
const advisory = {
  id: 1,
  url: 'https://github.com/advisories/GHSA-aaaa-bbbb-cccc',
  title: 'it breaks',
  severity: 'high',
  vulnerable_versions: '<2.0.0',
  cwe: [],
  cvss: { score: 8 },
};
let folder: string;
let close: () => Promise<void>;
let registry: string;
let answer: { readonly status: number; readonly advisories: object };
let asked: unknown;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'steno-audit-'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'x', version: '1.0.0', dependencies: { 'left-pad': '1.0.0' } }));
  writeFileSync(
    join(folder, 'package-lock.json'),
    JSON.stringify({
      name: 'x',
      version: '1.0.0',
      lockfileVersion: 3,
      requires: true,
      packages: {
        '': { name: 'x', version: '1.0.0', dependencies: { 'left-pad': '1.0.0' } },
        'node_modules/left-pad': { version: '1.0.0' },
      },
    }),
  );
  answer = { status: 200, advisories: { 'left-pad': [advisory] } };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const bulk = request.url === '/-/npm/v1/security/advisories/bulk';
      if (bulk) asked = JSON.parse((request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString());
      // Metadata of the package, with its versions.
      const metadata = {
        name: 'left-pad',
        'dist-tags': { latest: '1.0.0' },
        versions: { '1.0.0': { name: 'left-pad', version: '1.0.0', dist: { tarball: '', shasum: '' } } },
      };
      response
        .writeHead(bulk ? answer.status : 200, { 'content-type': 'application/json' })
        .end(JSON.stringify(bulk ? answer.advisories : metadata));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  registry = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
});
afterEach(async () => {
  await close();
  rmSync(folder, { recursive: true, force: true });
});

function audit(accepted: readonly object[]): Promise<{ readonly code: number | null; readonly text: string }> {
  const list = join(folder, 'accepted.json');
  writeFileSync(list, JSON.stringify(accepted));
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, folder, list], {
      env: { ...process.env, npm_config_registry: registry, npm_config_cache: join(folder, 'cache'), npm_config_fetch_retries: '0' },
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.on('close', (code) => resolve({ code, text }));
  });
}
const known = {
  advisory: 'GHSA-aaaa-bbbb-cccc',
  package: 'left-pad',
  reason: 'only reached with text that we wrote ourselves',
  until: '2999-01-01',
};

test('an advisory that is not accepted fails with the name of the package', async () => {
  expect(await audit([])).toMatchObject({
    code: 1,
    text: expect.stringContaining('GHSA-aaaa-bbbb-cccc (high) in left-pad: it breaks') as string,
  });
  expect(asked).toEqual({ 'left-pad': ['1.0.0'] });
});

test('an accepted advisory passes until its review date', async () => {
  expect(await audit([known])).toMatchObject({ code: 0, text: expect.stringContaining('1 advisories') as string });
  expect(await audit([{ ...known, until: '2020-01-01' }])).toMatchObject({ code: 1, text: expect.stringContaining('ran out') as string });
  expect(await audit([{ ...known, reason: 'no' }])).toMatchObject({ code: 1, text: expect.stringContaining('without a reason') as string });
});

test('an accepted advisory that is no longer reported fails', async () => {
  answer = { status: 200, advisories: {} };
  expect(await audit([known])).toMatchObject({ code: 1, text: expect.stringContaining('no longer reported') as string });
  expect(await audit([])).toMatchObject({ code: 0 });
});

test('a registry without audits is reported and does not fail', async () => {
  answer = { status: 405, advisories: {} };
  expect(await audit([])).toMatchObject({ code: 0, text: expect.stringContaining('skipped: npm audit') as string });
});
