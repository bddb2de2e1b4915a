import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ContentFile } from './content-file.js';

const step = fc.oneof(
  fc.record({ kind: fc.constant('reset' as const) }),
  fc.record({ kind: fc.constant('end' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({ kind: fc.constant('at' as const), offset: fc.nat(60), bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }) }),
);

test('the digest is that of the content of the file, in whatever order the pieces arrived', () => {
  const folder = mkdtempSync(join(tmpdir(), 'steno-content-'));
  let n = 0;
  try {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const path = join(folder, String((n += 1)));
        const file = new ContentFile(path);
        let size = 0;
        for (const one of steps) {
          if (one.kind === 'reset') file.reset();
          else file.write(one.kind === 'end' ? size : one.offset, Buffer.from(one.bytes));
          const now = readFileSync(path);
          size = now.length;
          expect(file.digest()).toEqual({ size, sha256: createHash('sha256').update(now).digest('hex') });
        }
        file.close();
      }),
      { numRuns: 200 },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
