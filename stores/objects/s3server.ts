/**
 * A real S3 server for tests: s3rver on loopback, with a hook to respond in its place.
 *
 * Limits of s3rver 3.7, none of which S3 has: it replaces an object in place (a reader may see a part of it), lists `a-b`
 * before `a`, drops the connection at a range of an empty object, and does not support conditional writes. Later forks
 * require a newer Node than Steno does.
 */
import crypto from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from 's3rver';
import type { S3Options } from './s3.js';

/** Responds and returns true, or lets the server respond. */
export type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean;

export interface S3Server {
  readonly options: S3Options;
  readonly requests: IncomingMessage[];
  intercept: Intercept | undefined;
  readonly close: () => Promise<void>;
}

export async function startS3Server(): Promise<S3Server> {
  allowSingleDes();
  const directory = await mkdtemp(join(tmpdir(), 'steno-s3-'));
  const s3rver = new S3rver({ directory, silent: true, configureBuckets: [{ name: 'recordings', configs: [] }] });
  await s3rver.configureBuckets();
  const answer = s3rver.callback();
  const http = createServer((request, response) => {
    server.requests.push(request);
    if (server.intercept?.(request, response) !== true) answer(request, response);
  });
  await new Promise<void>((resolve) => {
    http.listen(0, '127.0.0.1', resolve);
  });
  const server: S3Server = {
    options: {
      bucket: 'recordings',
      endpoint: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
      forcePathStyle: true,
      credentials: { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' },
    },
    requests: [],
    intercept: undefined,
    close: async () => {
      http.closeAllConnections();
      await new Promise<void>((resolve) => {
        http.close(() => {
          resolve();
        });
      });
      await rm(directory, { recursive: true, force: true });
    },
  };
  return server;
}

/**
 * s3rver encrypts its continuation tokens with single DES, which OpenSSL 3 has only in a provider that Node does not load.
 * Triple DES with the same key three times equals single DES and is available.
 */
function allowSingleDes(): void {
  if (singleDesAllowed) return;
  singleDesAllowed = true;
  const { createCipheriv, createDecipheriv } = crypto;
  const thrice = (key: crypto.CipherKey): Buffer => Buffer.concat([key, key, key] as Buffer[]);
  Object.assign(crypto, {
    createCipheriv: (name: string, key: crypto.CipherKey, iv: crypto.BinaryLike, options?: object) =>
      name === 'des' ? createCipheriv('des-ede3-cbc', thrice(key), iv) : createCipheriv(name, key, iv, options),
    createDecipheriv: (name: string, key: crypto.CipherKey, iv: crypto.BinaryLike, options?: object) =>
      name === 'des' ? createDecipheriv('des-ede3-cbc', thrice(key), iv) : createDecipheriv(name, key, iv, options),
  });
}
let singleDesAllowed = false;
