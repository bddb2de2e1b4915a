/** Texts that the viewer sends as a stream. Tested with `steno play` and `steno join`, which read them. */
import type { Readable } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';

const MAX_TEXT = 64 << 20;

/** Throws TOO_LARGE, and NOT_RUNNING when the answer is cut off. `what`: for people. */
export async function readText(body: Readable, what: string): Promise<string> {
  body.setEncoding('utf8');
  let text = '';
  try {
    for await (const chunk of body as AsyncIterable<string>) {
      text += chunk;
      if (text.length > MAX_TEXT) throw new StenoError('TOO_LARGE', what);
    }
  } catch (cause) {
    throw cause instanceof StenoError ? cause : new StenoError('NOT_RUNNING', 'the answer was cut off', { cause });
  }
  return text;
}
