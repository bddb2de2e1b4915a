import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openS3Store } from './s3.js';
import { startS3Server } from './s3server.js';
import type { S3Server } from './s3server.js';
import { openObjects, parseBucket } from './open.js';

describe('the address of a bucket', () => {
  test.each([
    ['s3://rec', 'rec', ''],
    ['s3://rec/', 'rec', ''],
    ['s3://rec/p', 'rec', 'p/'],
    ['s3://rec/p/', 'rec', 'p/'],
    ['s3://rec/p//', 'rec', 'p/'],
    ['s3://rec/a/b', 'rec', 'a/b/'],
  ])('%s names a bucket and a folder', (url, bucket, prefix) => expect(parseBucket(url)).toEqual({ bucket, prefix }));

  test.each(['rec/p', 's3://', 's3://r', 's3://rec//p', 's3://rec/../p', 's3://rec/P', 's3://rec/a b'])('%s is refused', (url) => {
    expect(() => parseBucket(url)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('objects below a prefix', () => {
  let server: S3Server;
  const before = { ...process.env };
  const bytes = new TextEncoder().encode('bytes');
  const keys = async (url: string, prefix = '', said: string[] = []): Promise<readonly string[]> => {
    const store = await openObjects(url, '', (line) => said.push(line));
    const found: string[] = [];
    for await (const { key } of store.list(prefix)) found.push(key);
    await store.close();
    return found;
  };
  beforeAll(async () => {
    server = await startS3Server();
    const { endpoint, credentials } = server.options;
    Object.assign(process.env, {
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_ACCESS_KEY_ID: credentials!.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials!.secretAccessKey,
    });
  });
  afterEach(() => {
    server.intercept = undefined;
  });
  afterAll(async () => {
    process.env = before;
    await server.close();
  });

  test.each(['s3://recordings/new', 's3://recordings/new/'])('%s writes into the folder', async (url) => {
    const store = await openObjects(url, '');
    await store.put('recordings/k', bytes);
    await store.close();
    const whole = await openS3Store(server.options);
    expect((await whole.get('new/recordings/k')).length).toBe(bytes.length);
    await whole.close();
  });

  test.each([
    ['s3://recordings/p', 'p'],
    ['s3://recordings/q/', 'q'],
  ])('objects written without the slash are read by %s, deleted, and reported', async (url, bare) => {
    const older = await openS3Store({ ...server.options, prefix: bare });
    await older.put('recordings/old', bytes);
    await older.put('gateways/old.cert', bytes);
    await older.close();
    const said: string[] = [];
    expect(await keys(url, 'recordings/', said)).toEqual(['recordings/old']);
    expect(said).toEqual([expect.stringContaining(`s3://recordings/${bare}recordings/`)]);
    const store = await openObjects(url, '');
    expect((await store.get('gateways/old.cert')).length).toBe(bytes.length);
    await store.put('recordings/new', bytes);
    await store.delete('recordings/old');
    await store.delete('gateways/old.cert');
    await store.close();
    const quiet: string[] = [];
    expect(await keys(url, '', quiet)).toEqual(['recordings/new']);
    expect(quiet).toEqual([]);
  });

  test('a policy that allows only the folder is sufficient', async () => {
    server.intercept = (request, response) => {
      if (!/[?&]prefix=[^&]*/.test(request.url ?? '') || /prefix=narrow%2F/.test(request.url ?? '')) return false;
      response.writeHead(403, { 'content-type': 'application/xml' });
      response.end('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>');
      return true;
    };
    expect(await keys('s3://recordings/narrow')).toEqual([]);
  });
});
