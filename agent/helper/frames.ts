/**
 * Frames between the node service and a helper: `u32 length ‖ JSON`, both ways over one socket pair.
 *
 * A frame is an object of at most MAX_FRAME bytes. Anything else (a length of zero or above the limit, text that is not
 * UTF-8 or not JSON, a value that `parse` refuses) ends the conversation: a reader that has thrown once always throws.
 * Tested in frames.test.ts.
 */

/** Maximum bytes of a frame's JSON: several times the size of a path, a host name and messages from PAM. */
export const MAX_FRAME = 16 << 10;
const HEADER = 4;

export class FrameError extends Error {}

/** Throws FrameError if the message is too large for the other end to read. */
export function encodeFrame(message: object): Buffer {
  const text = Buffer.from(JSON.stringify(message), 'utf8');
  if (text.length > MAX_FRAME) throw new FrameError(`a frame of ${text.length} bytes`);
  const header = Buffer.alloc(HEADER);
  header.writeUInt32BE(text.length);
  return Buffer.concat([header, text]);
}

/** Holds at most one frame plus the rest of the same chunk. */
export class FrameReader<Message> {
  readonly #parse: (value: unknown) => Message | null;
  readonly #text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #held = Buffer.alloc(0);
  #broken = false;

  /** `parse` returns null for anything that is not a message. */
  constructor(parse: (value: unknown) => Message | null) {
    this.#parse = parse;
  }

  /** Returns the messages that are complete now, in order. Throws FrameError, losing the messages before the fault. */
  push(chunk: Uint8Array): Message[] {
    if (this.#broken) throw new FrameError('the conversation has ended');
    this.#held = Buffer.concat([this.#held, chunk]);
    const messages: Message[] = [];
    let at = 0;
    try {
      while (this.#held.length - at >= HEADER) {
        const length = this.#held.readUInt32BE(at);
        if (length === 0 || length > MAX_FRAME) throw new FrameError(`a frame of ${length} bytes`);
        if (this.#held.length - at - HEADER < length) break;
        messages.push(this.#message(this.#held.subarray(at + HEADER, at + HEADER + length)));
        at += HEADER + length;
      }
    } catch (error) {
      this.#broken = true;
      this.#held = Buffer.alloc(0);
      throw error;
    }
    this.#held = Buffer.from(this.#held.subarray(at));
    return messages;
  }

  #message(bytes: Uint8Array): Message {
    let value: unknown;
    try {
      value = JSON.parse(this.#text.decode(bytes));
    } catch {
      throw new FrameError('a frame that is not JSON');
    }
    const message = this.#parse(value);
    if (message === null) throw new FrameError('a frame that is not a message');
    return message;
  }
}
