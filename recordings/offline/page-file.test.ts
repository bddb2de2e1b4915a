import { describe, expect, it } from 'vitest';
import { MAX_OFFLINE_BYTES, PART_BYTES, encodeAbout, isEmbeddable, parseAbout } from '#schemas/offline/page.js';
import { offlineApp, offlinePage, readOfflinePage, refuseOversized } from './page-file.js';
import type { OfflineContent } from './page-file.js';

const app = offlineApp('console.log("a page")', 'body { margin: 0 }');
const session = '01kqpjrpe07mhrtn7v2w02n0k8';
const told = {
  made_at: 1_777_000_000_000,
  made_by: 'ann </script><script>alert(1)</script>',
  cas: ['ssh-ed25519 AAAA'],
  unsigned: { requests: [{ id: 'r1', reason: '<!-- </script> & \u2028' }], roles: [], notes: ['one'] },
};

async function* pieces(content: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

function contentOf(recording: Buffer, events: Buffer | null, piece = 100_000): OfflineContent {
  return {
    session,
    steno: '0.1.0',
    about: async () => told,
    files: [
      { name: 'recording', content: pieces(recording, piece) },
      ...(events === null ? [] : [{ name: 'events', content: pieces(events, piece) } as const]),
    ],
  };
}

async function made(content: OfflineContent): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of offlinePage(app, content)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 7919) % 251));

describe('a page', () => {
  it.each([1, 2, 3, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])(
    'with a recording of %i bytes is read back unchanged',
    async (length) => {
      const [recording, events] = [bytes(length), bytes(77)];
      const page = await made(contentOf(recording, events));
      const read = readOfflinePage(page);
      expect(read.files.get('recording')!.equals(recording)).toBe(true);
      expect(read.files.get('events')!.equals(events)).toBe(true);
      expect(read.about).toMatchObject({ ...told, session, steno: '0.1.0' });
      expect(read.app).toEqual(app);
      expect((await made(contentOf(recording, events, 1_001))).equals(page)).toBe(true);
    },
  );

  it('contains no end tags but its own', async () => {
    const page = (await made(contentOf(bytes(10), null))).toString('utf8');
    expect(page.match(/<script/g)).toHaveLength(3);
    expect(page).not.toContain('alert(1)</script>');
    expect(page).not.toContain('<!--');
  });

  it('with any one byte changed is malformed, or its files or its code differ', async () => {
    const page = await made(contentOf(bytes(300), bytes(50)));
    const before = readOfflinePage(page);
    const passed: number[] = [];
    for (let at = 0; at < page.length; at++) {
      for (const bit of [1, 0x20]) {
        const changed = Buffer.from(page);
        changed[at]! ^= bit;
        try {
          const read = readOfflinePage(changed);
          if (read.app.script === before.app.script && read.app.style === before.app.style) passed.push(at);
        } catch (error) {
          expect(error).toMatchObject({ code: 'PAGE_MALFORMED' });
        }
      }
    }
    expect(passed).toEqual([]);
  });

  it('with bytes removed, inserted or appended is malformed', async () => {
    const page = await made(contentOf(bytes(300), null));
    const cut = [
      page.subarray(0, -1),
      page.subarray(1),
      Buffer.concat([page, Buffer.from('\n')]),
      Buffer.alloc(0),
      Buffer.from('<!DOCTYPE html>'),
    ];
    for (const each of cut) expect(() => readOfflinePage(each)).toThrow(expect.objectContaining({ code: 'PAGE_MALFORMED' }));
  });

  it('too large for a browser is refused before and while it is written', async () => {
    expect(() => refuseOversized(MAX_OFFLINE_BYTES + 1)).toThrow(/export it with/);
    async function* endless(): AsyncGenerator<Buffer> {
      for (const piece = Buffer.alloc(8 << 20); ;) yield piece;
    }
    const content = { ...contentOf(bytes(1), null), files: [{ name: 'recording' as const, content: endless() }] };
    let passed = 0;
    const write = async (): Promise<void> => {
      for await (const chunk of offlinePage(app, content)) passed += chunk.length;
    };
    await expect(write()).rejects.toMatchObject({ code: 'TOO_LARGE' });
    expect(passed).toBeGreaterThan(MAX_OFFLINE_BYTES);
  });
});

it('the about block has exactly one encoding', () => {
  const about = {
    format: 1 as const,
    session,
    steno: '0.1.0',
    ...told,
    files: [{ name: 'recording' as const, bytes: 1, sha256: 'a'.repeat(64) }],
  };
  const text = encodeAbout(about);
  expect(text).not.toMatch(/[<>&]/);
  expect(parseAbout(text)).toEqual(about);
  expect(parseAbout(text.replace(':', ': '))).toBeNull();
  expect(parseAbout(text.replace('"format":1', '"format":2'))).toBeNull();
  expect(parseAbout('{')).toBeNull();
});

it('code that would end its element is not embedded', () => {
  for (const code of ['"</script>"', '</STYLE>', '<!-- x', '"<script"', 'a\r\nb', 'a\0b']) expect(isEmbeddable(code), code).toBe(false);
  expect(isEmbeddable('if (a < b) c("x3c/script")')).toBe(true);
});
