/**
 * Answers streamed from an async generator, which ends with the answer, however early the caller leaves. Wrapping it in another
 * generator is not enough: `return` passes through a wrapper only once the wrapper has reached the inner one. Tested in
 * streamed.test.ts.
 */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';

/** Streams `taken`, the values already read from `rest`, and then `rest`, which ends at the latest when the stream closes. */
export function streamOf<T extends string | Uint8Array>(taken: readonly T[], rest: AsyncGenerator<T, void>): Readable {
  const stream = Readable.from(
    (async function* () {
      yield* taken;
      yield* rest;
    })(),
    { objectMode: false },
  );
  stream.once('close', () => void rest.return().catch(() => undefined));
  return stream;
}

/** The line that reports a failure after the first line, when the status has been sent. */
interface FailureLine {
  readonly kind: 'error';
  readonly code: string;
  readonly detail: string;
}

/**
 * Streams JSON lines (application/x-ndjson). Throws what the generator throws before its first line; a later failure is the last line,
 * and is logged with `what` unless it is a StenoError.
 */
export async function streamLines<T extends { readonly kind: string }>(
  lines: AsyncGenerator<T, void>,
  log: Log,
  what: string,
): Promise<Readable> {
  const texts = written(lines, log, what);
  const { done, value } = await texts.next();
  return streamOf(done === true ? [] : [value], texts);
}

async function* written<T>(lines: AsyncIterable<T>, log: Log, what: string): AsyncGenerator<string, void> {
  const text = (line: T | FailureLine): string => `${JSON.stringify(line)}\n`;
  let begun = false;
  try {
    for await (const line of lines) {
      begun = true;
      yield text(line);
    }
  } catch (error) {
    if (!begun) throw error;
    const known = error instanceof StenoError;
    if (!known) log.error({ err: error }, what);
    yield text({ kind: 'error', code: known ? error.code : 'INTERNAL', detail: known ? (error.detail ?? '') : '' });
  }
}

/** Calls `act` when the caller's connection has closed, or at once if it closed while the request was being authorized. */
export function onceGone({ raw }: FastifyReply, act: () => void): void {
  if (raw.destroyed) act();
  else raw.once('close', act);
}
