/**
 * One session channel of the page's connection (RFC 4254 sections 5 and 6).
 *
 *     opening ──CONFIRMATION──► open ──CLOSE of either side──► closing ──CLOSE of the other──► closed
 *        └──────FAILURE──────────────────────────────────────────────────────────────────────► closed
 *
 * Windows: the other side may have `WINDOW` bytes in flight, and gets more window as received bytes are consumed. Outgoing bytes, at
 * most `MAX_INPUT`, wait for window on the other side, and until `flow` is called. Tested through its user, session.ts.
 */
import { MSG } from '#schemas/ssh/numbers.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import type { SshReader } from '#schemas/ssh/wire.js';

/** Output bytes in flight, and the largest message of output. */
export const WINDOW = 1 << 20;
const MAX_DATA = 32 * 1024;
/** The window is adjusted after this many bytes were consumed. */
const WIDEN = WINDOW / 4;
/** Bytes of a paste that may wait. */
const MAX_INPUT = 16 << 20;

export interface ChannelEvents {
  opened(): void;
  notOpened(code: number, text: string): void;
  /** `extended`: standard error. `taken`: call it once these bytes are processed; only then may as many more come. */
  data(bytes: Uint8Array, extended: boolean, taken: () => void): void;
  /** Called with the answer to the oldest request that wanted one. */
  answered(success: boolean): void;
  /** `reader`: the fields after the name and the flag. */
  requested(name: string, reader: SshReader): void;
  /** Closed by the other side; called at most once, and not after `close`. */
  closed(): void;
}

export class Channel {
  readonly #send: (payload: Uint8Array) => void;
  readonly #events: ChannelEvents;
  #stage: 'opening' | 'open' | 'closing' | 'closed' = 'opening';
  #flowing = false;
  #remoteId = 0;
  /** Bytes that the other side accepts, and the maximum for one message. */
  #room = 0;
  #packet = 0;
  /** Bytes that the other side may still send, and consumed bytes not yet returned to its window. */
  #window = WINDOW;
  #taken = 0;
  readonly #input: Uint8Array[] = [];
  #inputBytes = 0;

  constructor(id: number, send: (payload: Uint8Array) => void, events: ChannelEvents) {
    this.#send = send;
    this.#events = events;
    send(new SshWriter().byte(MSG.channelOpen).utf8('session').uint32(id).uint32(WINDOW).uint32(MAX_DATA).bytes());
  }

  /** Whether no more messages will arrive for this channel. */
  get over(): boolean {
    return this.#stage === 'closed';
  }

  /** The other side reads input now: start sending. */
  flow(): void {
    this.#flowing = true;
    this.#sendInput();
  }

  /** False: too much is already waiting, and none of these bytes were taken. */
  write(bytes: Uint8Array): boolean {
    if (this.#stage === 'closing' || this.#stage === 'closed') return true;
    if (this.#inputBytes + bytes.length > MAX_INPUT) return false;
    this.#input.push(bytes);
    this.#inputBytes += bytes.length;
    this.#sendInput();
    return true;
  }

  request(name: string, wantsReply: boolean, fields: (writer: SshWriter) => SshWriter = (writer) => writer): void {
    if (this.#stage !== 'open') return;
    const writer = new SshWriter()
      .byte(MSG.channelRequest)
      .uint32(this.#remoteId)
      .utf8(name)
      .byte(wantsReply ? 1 : 0);
    this.#send(fields(writer).bytes());
  }

  /** Stops sending; data that still arrives is dropped. */
  close(): void {
    this.#input.length = 0;
    this.#inputBytes = 0;
    if (this.#stage === 'open') this.#sendClose();
    // While the channel is opening, wait for the answer: a channel whose number is unknown cannot be closed.
    if (this.#stage !== 'closed') this.#stage = 'closing';
  }

  message(type: number, reader: SshReader): void {
    if (type === MSG.channelOpenConfirmation || type === MSG.channelOpenFailure) return this.#answerToOpen(type, reader);
    if (this.#stage === 'opening' || this.#remoteIdUnknown) reader.fail('it uses a channel that it has not opened');
    switch (type) {
      case MSG.channelData:
        return this.#data(reader, false);
      case MSG.channelExtendedData:
        reader.uint32('the kind of data');
        return this.#data(reader, true);
      case MSG.channelWindowAdjust:
        // RFC 4254 section 5.2: at most 2^32 - 1.
        this.#room = Math.min(this.#room + reader.uint32('the window'), 0xffff_ffff);
        return this.#sendInput();
      case MSG.channelRequest:
        return this.#requested(reader);
      case MSG.channelSuccess:
      case MSG.channelFailure:
        if (this.#stage === 'open') this.#events.answered(type === MSG.channelSuccess);
        return;
      case MSG.channelEof:
        return;
      case MSG.channelClose: {
        const byOther = this.#stage === 'open';
        if (byOther) this.#sendClose();
        this.#stage = 'closed';
        if (byOther) this.#events.closed();
        return;
      }
      default:
        reader.fail(`message ${type} is none of a channel`);
    }
  }

  #remoteIdUnknown = true;

  #answerToOpen(type: number, reader: SshReader): void {
    if (!this.#remoteIdUnknown || this.#stage === 'closed') reader.fail('it answers twice to the opening of a channel');
    if (type === MSG.channelOpenFailure) {
      const code = reader.uint32('the reason');
      const text = new TextDecoder().decode(reader.string('the text', 4096));
      const wanted = this.#stage === 'opening';
      this.#stage = 'closed';
      if (wanted) this.#events.notOpened(code, text);
      return;
    }
    this.#remoteIdUnknown = false;
    this.#remoteId = reader.uint32('its channel');
    this.#room = reader.uint32('its window');
    this.#packet = Math.min(reader.uint32('its packet size'), MAX_DATA);
    if (this.#packet < 1) reader.fail('it takes no data');
    if (this.#stage === 'closing') return this.#sendClose();
    this.#stage = 'open';
    this.#events.opened();
  }

  #data(reader: SshReader, extended: boolean): void {
    const bytes = reader.string('the data', MAX_DATA);
    reader.end('the data');
    this.#window -= bytes.length;
    if (this.#window < 0) reader.fail('it sends more than the window holds');
    if (bytes.length === 0 || this.#stage !== 'open') return;
    let counted = false;
    this.#events.data(bytes, extended, () => {
      if (counted || this.#stage !== 'open') return;
      counted = true;
      this.#taken += bytes.length;
      if (this.#taken < WIDEN) return;
      this.#window += this.#taken;
      this.#send(new SshWriter().byte(MSG.channelWindowAdjust).uint32(this.#remoteId).uint32(this.#taken).bytes());
      this.#taken = 0;
    });
  }

  #requested(reader: SshReader): void {
    const name = reader.utf8('the request', 128);
    const wantsReply = reader.byte('the flag') !== 0;
    if (this.#stage !== 'open') return;
    this.#events.requested(name, reader);
    // `keepalive@openssh.com` and any other request that wants a reply: RFC 4254 section 5.4.
    if (wantsReply) this.#send(new SshWriter().byte(MSG.channelFailure).uint32(this.#remoteId).bytes());
  }

  #sendInput(): void {
    while (this.#flowing && this.#stage === 'open' && this.#room > 0 && this.#input.length > 0) {
      const first = this.#input[0]!;
      const piece = first.subarray(0, Math.min(first.length, this.#room, this.#packet));
      if (piece.length === first.length) this.#input.shift();
      else this.#input[0] = first.subarray(piece.length);
      this.#inputBytes -= piece.length;
      this.#room -= piece.length;
      this.#send(new SshWriter().byte(MSG.channelData).uint32(this.#remoteId).string(piece).bytes());
    }
  }

  #sendClose(): void {
    this.#send(new SshWriter().byte(MSG.channelClose).uint32(this.#remoteId).bytes());
  }
}
