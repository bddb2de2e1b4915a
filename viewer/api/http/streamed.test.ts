import { EventEmitter, once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { onceGone, streamLines, streamOf } from './streamed.js';

const log = pino({ level: 'silent' });

interface Line {
  readonly kind: 'row' | 'end';
  readonly n: number;
}

/** Lines 0 to `count`-1, with what happened to the generator. */
function counting(count: number, failure?: { readonly at: number; readonly error: unknown }) {
  const state = { ended: false };
  const lines = (async function* (): AsyncGenerator<Line, void> {
    try {
      for (let n = 0; n < count; n++) {
        if (failure?.at === n) throw failure.error;
        yield { kind: 'row', n };
      }
    } finally {
      state.ended = true;
    }
  })();
  return { state, lines };
}

async function closed(stream: Readable): Promise<void> {
  const close = once(stream, 'close');
  stream.destroy();
  await close;
  // `return` of the generator settles in a microtask after the event.
  await new Promise((resolve) => setImmediate(resolve));
}

describe('a stream whose reader leaves ends its generator', () => {
  test('before anything was read', async () => {
    const { state, lines } = counting(10);
    await closed(await streamLines(lines, log, ''));
    expect(state.ended).toBe(true);
  });

  test('at any line', async () => {
    for (let left = 1; left < 8; left++) {
      const { state, lines } = counting(1_000_000);
      const stream = await streamLines(lines, log, '');
      for (let n = 0; n < left; n++) await once(stream, 'readable').then(() => stream.read(8) as unknown);
      await closed(stream);
      expect(state.ended).toBe(true);
    }
  });

  test('while what was taken from its front is sent', async () => {
    let ended = false;
    const rest = (async function* () {
      try {
        yield 'a';
        yield 'b';
      } finally {
        ended = true;
      }
    })();
    const { value } = await rest.next();
    await closed(streamOf([value as string], rest));
    expect(ended).toBe(true);
  });
});

test('what was taken comes first, and every line once', async () => {
  const { lines } = counting(3);
  expect(await text(await streamLines(lines, log, ''))).toBe('{"kind":"row","n":0}\n{"kind":"row","n":1}\n{"kind":"row","n":2}\n');
  expect(await text(await streamLines(counting(0).lines, log, ''))).toBe('');
});

test('a failure before the first line is thrown, a later one is the last line, without what is internal', async () => {
  const error = new StenoError('QUERY_TOO_HEAVY', 'time');
  await expect(streamLines(counting(3, { at: 0, error }).lines, log, '')).rejects.toBe(error);
  expect(await text(await streamLines(counting(3, { at: 1, error }).lines, log, ''))).toBe(
    '{"kind":"row","n":0}\n{"kind":"error","code":"QUERY_TOO_HEAVY","detail":"time"}\n',
  );
  const secret = new Error('/a/path');
  expect(await text(await streamLines(counting(3, { at: 1, error: secret }).lines, log, ''))).toBe(
    '{"kind":"row","n":0}\n{"kind":"error","code":"INTERNAL","detail":""}\n',
  );
});

test('a connection that closed before the handler ran counts as closed', () => {
  let gone = 0;
  const raw = Object.assign(new EventEmitter(), { destroyed: false });
  onceGone({ raw } as never, () => (gone += 1));
  expect(gone).toBe(0);
  raw.emit('close');
  onceGone({ raw: { destroyed: true } } as never, () => (gone += 1));
  expect(gone).toBe(2);
});
