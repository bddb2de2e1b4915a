import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { openZstd } from './zstd.js';

const cases: readonly [string, Uint8Array][] = [
  ['nothing', new Uint8Array(0)],
  ['one byte', Uint8Array.of(7)],
  ['255 bytes', randomBytes(255)],
  ['256 bytes', randomBytes(256)],
  ['text of 300 KiB', Buffer.from('the quick brown fox\r\n'.repeat(15_000))],
  ['random bytes of 512 KiB', randomBytes(512 << 10)],
  ['4 MiB of one word', Buffer.alloc(4 << 20, 'steno ')],
];

describe('zstd frames', () => {
  for (const [name, content] of cases) {
    for (const level of [1, 3, 22]) {
      it(`stock zstd reads ${name} at level ${level}, checksum included`, async () => {
        const zstd = await openZstd();
        const frame = zstd.compress(content, level);
        expect(frame[4]! & 4).toBe(4);
        const out = execFileSync('zstd', ['-dc'], { input: frame, maxBuffer: 16 << 20 });
        expect(Buffer.compare(out, content)).toBe(0);
        expect(Buffer.compare(Buffer.from(zstd.decompress(frame)), Buffer.from(content))).toBe(0);
      });
    }
  }

  it('reads what stock zstd wrote with size and checksum', async () => {
    const zstd = await openZstd();
    const content = randomBytes(5000);
    const frame = execFileSync('zstd', ['-c', '--content-size', '--stream-size=5000'], { input: content });
    expect(Buffer.compare(Buffer.from(zstd.decompress(frame)), content)).toBe(0);
  });

  it('refuses a frame with any byte changed', async () => {
    const zstd = await openZstd();
    const content = Buffer.from('attack at dawn\n'.repeat(40));
    const frame = zstd.compress(content, 3);
    for (let i = 0; i < frame.length; i++) {
      const bad = frame.slice();
      bad[i] = bad[i]! ^ 0x11;
      let out: Uint8Array | undefined;
      try {
        out = zstd.decompress(bad);
      } catch {
        continue;
      }
      // A changed bit that does not affect the content (an unused header bit) is not damage.
      expect(Buffer.compare(Buffer.from(out), content)).toBe(0);
    }
  });

  it('refuses to compress more than a reader must be able to hold', async () => {
    const zstd = await openZstd();
    expect(() => zstd.compress(new Uint8Array((4 << 20) + 1), 1)).toThrow(/4194304 bytes/);
  });

  it('refuses a frame that claims more than the bound', async () => {
    const zstd = await openZstd();
    expect(() => zstd.decompress(zstd.compress(new Uint8Array(2000), 3), 1000)).toThrow(/size/);
  });
});
