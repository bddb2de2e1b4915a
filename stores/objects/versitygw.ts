/**
 * A second real S3 server for tests: versitygw, on loopback over a folder. It has none of the limits of s3rver. It is not an
 * npm package: `test/peers/versitygw` builds it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { S3Options } from './s3.js';
import { freePort } from '#runtime/http/free-port.js';

/** Found from the sources and from `dist/`; null if it was not built. */
export const versitygw: string | null =
  ['../../node_modules/.cache/bin/versitygw', '../../../node_modules/.cache/bin/versitygw']
    .map((path) => fileURLToPath(new URL(path, import.meta.url)))
    .find((path) => existsSync(path)) ?? null;
export const whyNoVersitygw = 'versitygw is not built: run test/peers/versitygw, which needs Go';

export interface VersityServer {
  readonly options: S3Options;
  readonly close: () => Promise<void>;
}

/** Starts a server with one empty bucket, `recordings`. Throws if the server ends before it listens. */
export async function startVersitygw(): Promise<VersityServer> {
  if (versitygw === null) throw new Error(whyNoVersitygw);
  const folder = await mkdtemp(join(tmpdir(), 'steno-versitygw-'));
  await Promise.all(['root/recordings', 'attributes'].map((name) => mkdir(join(folder, name), { recursive: true })));
  const credentials = { accessKeyId: 'steno', secretAccessKey: 'test-only-secret' };
  const port = await freePort();
  // Keep attributes in separate files, since not every file system has extended attributes.
  const child = spawn(versitygw, ['--port', `127.0.0.1:${port}`, 'posix', '--sidecar', join(folder, 'attributes'), join(folder, 'root')], {
    env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const gone = once(child, 'exit');
  await new Promise<void>((resolve, reject) => {
    let said = '';
    const take = (chunk: Buffer): void => {
      said += chunk.toString();
      if (said.includes('listening on')) resolve();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`versitygw ended with ${code}:\n${said}`)));
  });
  return {
    options: { bucket: 'recordings', endpoint: `http://127.0.0.1:${port}`, forcePathStyle: true, credentials },
    close: async () => {
      child.kill('SIGTERM');
      await gone;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
