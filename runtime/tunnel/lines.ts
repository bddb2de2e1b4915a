/**
 * JSON messages over a stream, one per line, for conversations between two of our own services. A line that is too long or is not
 * JSON ends the stream. Tested in lines.test.ts.
 */
import type { Duplex } from 'node:stream';

const NEWLINE = 0x0a;

/** Calls `take` with each message, in order. Its exceptions end the stream as well. */
export function readLines(stream: Duplex, maxBytes: number, take: (message: unknown) => void): void {
  let held: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    for (let from = 0; from < chunk.length && !stream.destroyed;) {
      const end = chunk.indexOf(NEWLINE, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      bytes += piece.length;
      if (bytes > maxBytes) return void stream.destroy(new Error(`a line of more than ${maxBytes} bytes`));
      held.push(piece);
      if (end < 0) return;
      from = end + 1;
      const line = Buffer.concat(held);
      held = [];
      bytes = 0;
      try {
        take(JSON.parse(line.toString('utf8')));
      } catch (error) {
        return void stream.destroy(error as Error);
      }
    }
  });
}

/** Does nothing if the stream has ended. */
export function writeLine(stream: Duplex, message: object): void {
  if (stream.writable) stream.write(`${JSON.stringify(message)}\n`);
}
