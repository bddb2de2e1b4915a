/**
 * Reconstructs from a recording's lines what passed through the session's streams: the bytes of each direction in order, and the
 * facts between them. Valid UTF-8 is stored as text in `o` and `i` lines, everything else in `b` lines (gateway/recorder/streams.ts).
 * Throws RECORDING_MALFORMED for anything that is not a line. Tested in recorded-files.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { parseHeader, parseLine } from '#schemas/recording/line.js';
import type { Gap, RecordingHeader, StreamFact, StreamName } from '#schemas/recording/line.js';

export type Passed =
  | { readonly kind: 'header'; readonly header: RecordingHeader }
  | PassedBytes
  | { readonly kind: 'fact'; readonly at: number; readonly fact: StreamFact }
  | { readonly kind: 'gap'; readonly at: number; readonly gap: Gap };

export interface PassedBytes {
  readonly kind: 'bytes';
  readonly at: number;
  readonly stream: StreamName;
  /** Set for a forwarded connection. */
  readonly channel: number | undefined;
  readonly bytes: Buffer;
  /** Whether the recording stores them as bytes rather than text. */
  readonly raw: boolean;
}

const NEWLINE = 0x0a;

/** `chunks`: decompressed frames of a recording, whole lines each. Times are ms of session time. */
export async function* passedBytes(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Passed> {
  let at = 0;
  let begun = false;
  let current: 'out' | 'err' = 'out';
  for await (const chunk of chunks) {
    const lines = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    for (let start = 0; start < lines.length;) {
      const end = lines.indexOf(NEWLINE, start);
      if (end < 0) throw new StenoError('RECORDING_MALFORMED', 'the last line has no newline');
      const text = lines.toString('utf8', start, end);
      start = end + 1;
      if (!begun) {
        begun = true;
        yield { kind: 'header', header: parseHeader(text) };
        continue;
      }
      const line = parseLine(text);
      if (line === null) continue;
      at += line.interval;
      switch (line.code) {
        case 'o':
          yield { kind: 'bytes', at, stream: current, channel: undefined, bytes: Buffer.from(line.data), raw: false };
          break;
        case 'i':
          yield { kind: 'bytes', at, stream: 'in', channel: undefined, bytes: Buffer.from(line.data), raw: false };
          break;
        case 'b':
          // It has the exact bytes of the `o` or `i` line before it, which were yielded already.
          if (line.data.replaces) break;
          yield {
            ...{ kind: 'bytes', at, stream: line.data.stream, channel: line.data.channel, raw: true },
            bytes: Buffer.from(line.data.base64, 'base64'),
          };
          break;
        case 's':
          if (line.data.fact === 'stream') current = line.data.name === 'stderr' ? 'err' : 'out';
          yield { kind: 'fact', at, fact: line.data };
          break;
        case 'g':
          yield { kind: 'gap', at, gap: line.data };
          break;
        default:
          break;
      }
    }
  }
}
