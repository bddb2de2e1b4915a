import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectCode, objectStoreConformance } from './conformance.js';
import type { ObjectStore } from './contract.js';
import { openS3Store } from './s3.js';
import { startS3Server } from './s3server.js';
import type { S3Server } from './s3server.js';

/** Guarantees of S3 that s3rver breaks. */
const s3rverLimits = { replacesInPlace: true, failsOnRangesOfEmptyObjects: true, listsOutOfOrder: true };

objectStoreConformance(
  'S3',
  async () => {
    const server = await startS3Server();
    return { store: await openS3Store(server.options), dispose: server.close };
  },
  s3rverLimits,
);

describe('an S3 store', () => {
  let server: S3Server;
  let store: ObjectStore;
  const bytes = new TextEncoder().encode('bytes');
  beforeAll(async () => {
    server = await startS3Server();
    store = await openS3Store(server.options);
  });
  afterAll(async () => {
    await store.close();
    await server.close();
  });
  beforeEach(() => {
    server.intercept = undefined;
    server.requests.length = 0;
  });

  const isPut = (request: IncomingMessage): boolean => request.method === 'PUT';
  const fail = (response: ServerResponse, status: number, code: string): true => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`);
    return true;
  };

  test('sends whole bodies with their MD5 and no checksum trailers', async () => {
    await store.put('plain', bytes);
    const { headers } = server.requests.find(isPut)!;
    expect(headers['content-md5']).toBe('SzpiGLs+OnMD6KFxpg/Pkg==');
    expect(headers['content-length']).toBe('5');
    expect(headers['transfer-encoding']).toBeUndefined();
    expect(Object.keys(headers).filter((name) => /checksum|trailer/.test(name))).toEqual([]);
  });

  test('two stores below different prefixes do not see each other', async () => {
    const one = await openS3Store({ ...server.options, prefix: 'one/' });
    const two = await openS3Store({ ...server.options, prefix: 'two/' });
    await one.put('k', bytes);
    await expectCode(two.get('k'), 'STORE_NOT_FOUND');
    await two.delete('k');
    await two.put('other', bytes, { ifAbsent: true });
    const listed: string[] = [];
    for await (const entry of one.list('')) listed.push(`${entry.key} ${entry.size}`);
    expect(listed).toEqual(['k 5']);
    expect((await store.get('two/other')).length).toBe(5);
    await one.close();
    await two.close();
  });

  test('creates exclusively if the server supports it: another writer in between is noticed', async () => {
    let raced = false;
    server.intercept = (request, response) => {
      if (!isPut(request) || request.headers['if-none-match'] !== '*' || raced) return false;
      raced = true;
      request.resume();
      server.intercept = undefined;
      void store.put('exclusive', new TextEncoder().encode('other')).then(() => fail(response, 412, 'PreconditionFailed'));
      return true;
    };
    await expectCode(store.put('exclusive', bytes, { ifAbsent: true }), 'STORE_CONFLICT');
    expect(new TextDecoder().decode(await store.get('exclusive'))).toBe('other');
  });

  test('works without conditional writes if the server does not support them', async () => {
    server.intercept = (request, response) => {
      if (!isPut(request) || request.headers['if-none-match'] === undefined) return false;
      request.resume();
      return fail(response, 501, 'NotImplemented');
    };
    await store.put('unconditional', bytes, { ifAbsent: true });
    expect((await store.get('unconditional')).length).toBe(5);
  });

  test('a put that was done but whose response was lost is repeated and succeeds', async () => {
    let lost = false;
    server.intercept = (request, response) => {
      if (isPut(request) && !lost) {
        lost = true;
        // The server does its work; the client never gets the response.
        response.end = ((): ServerResponse => {
          response.socket?.destroy();
          return response;
        }) as typeof response.end;
      }
      return false;
    };
    await store.put('lost', bytes, { ifAbsent: true });
    expect(lost).toBe(true);
    expect((await store.get('lost')).length).toBe(5);
  });

  test('retries a failing server a limited number of times, then reports unavailable', async () => {
    const twice = await openS3Store({ ...server.options, attempts: 2 });
    server.requests.length = 0;
    server.intercept = (request, response) => {
      request.resume();
      return fail(response, 503, 'SlowDown');
    };
    await expectCode(twice.put('trouble', bytes), 'STORE_UNAVAILABLE');
    expect(server.requests.filter(isPut)).toHaveLength(2);
    await expectCode(twice.get('trouble'), 'STORE_UNAVAILABLE');
    await expectCode(twice.size('trouble'), 'STORE_UNAVAILABLE');
    await expectCode(twice.delete('trouble'), 'STORE_UNAVAILABLE');
    await twice.close();
  });

  test('a bucket that is gone is unavailable, not empty', async () => {
    await expectCode(openS3Store({ ...server.options, bucket: 'missing' }), 'STORE_UNAVAILABLE');
  });

  test('a wrong credential is reported at the start, and its secret is not in the error', async () => {
    server.intercept = (_, response) => fail(response, 403, 'SignatureDoesNotMatch');
    const credentials = { accessKeyId: 'S3RVER', secretAccessKey: 'wrong-secret' };
    const error: unknown = await openS3Store({ ...server.options, credentials }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', detail: 'SignatureDoesNotMatch 403: bucket recordings' });
    expect((error as Error).message).not.toContain('wrong-secret');
  });

  test('a range of an empty object, which servers refuse with 416, is empty', async () => {
    await store.put('empty', new Uint8Array());
    server.intercept = (request, response) => request.headers.range !== undefined && fail(response, 416, 'InvalidRange');
    expect((await store.get('empty', { offset: 0, length: 5 })).length).toBe(0);
  });

  test('a server that is not there is unavailable', async () => {
    await expectCode(openS3Store({ ...server.options, endpoint: 'http://127.0.0.1:1', attempts: 1 }), 'STORE_UNAVAILABLE');
  });
});
