import { describe, expect, test } from 'vitest';
import { expectCode, objectStoreConformance } from './conformance.js';
import { openS3Store } from './s3.js';
import { startVersitygw, versitygw, whyNoVersitygw } from './versitygw.js';

if (versitygw === null) {
  console.warn(`skipped: ${whyNoVersitygw}`);
  describe.skip(`object store: S3 on versitygw (${whyNoVersitygw})`, () => test('is there', () => undefined));
} else {
  objectStoreConformance('S3 on versitygw', async () => {
    const server = await startVersitygw();
    return { store: await openS3Store({ ...server.options, prefix: 'a/folder/' }), dispose: server.close };
  });

  describe('on versitygw', () => {
    test('of eight writers of different bytes, one creates the object and the others get a conflict', async () => {
      const server = await startVersitygw();
      const store = await openS3Store(server.options);
      const bodies = Array.from({ length: 8 }, (_, n) => new TextEncoder().encode(`writer ${n}`));
      const outcomes = await Promise.allSettled(bodies.map((bytes) => store.put('contested', bytes, { ifAbsent: true })));
      const won = outcomes.findIndex(({ status }) => status === 'fulfilled');
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      expect(outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [(outcome.reason as { code: string }).code] : []))).toEqual(
        Array(7).fill('STORE_CONFLICT'),
      );
      expect([...(await store.get('contested'))]).toEqual([...bodies[won]!]);
      await store.close();
      await server.close();
    });

    test('a missing bucket is unavailable, and so is a wrong credential', async () => {
      const server = await startVersitygw();
      await expectCode(openS3Store({ ...server.options, bucket: 'missing' }), 'STORE_UNAVAILABLE');
      await expectCode(
        openS3Store({ ...server.options, credentials: { accessKeyId: 'steno', secretAccessKey: 'wrong' } }),
        'STORE_UNAVAILABLE',
      );
      await server.close();
    });
  });
}
