/**
 * Answers a client that reaches no node: every session it opens shows the reason and exits with 255, as `ssh` does when a
 * connection fails; everything else is declined with the same text.
 */
import { SshReader } from '#schemas/ssh/wire.js';
import { DISCONNECT, MSG, OPEN_REFUSED } from '#schemas/ssh/numbers.js';
import { message } from '../transport/messages.js';
import { lastMessages } from '../relay/last-messages.js';
import type { Transport } from '../transport/transport.js';

const maxSessions = 64;
/** A client that opens no session, as with `ssh -N`, is disconnected with the reason after this many milliseconds. */
const SILENCE_LIMIT_MS = 5_000;

interface LocalSession {
  readonly clientId: number;
  /** Bytes the client accepts. */
  readonly window: number;
  tty: boolean;
  over: boolean;
}

export class LocalAnswers {
  readonly #client: Transport;
  readonly #lines: readonly string[];
  readonly #sessions = new Map<number, LocalSession>();
  readonly #silence: NodeJS.Timeout | undefined;
  #nextId: () => number;

  /** `patient`: leaves a client without sessions alone, since it connected for another purpose. */
  constructor(client: Transport, lines: readonly string[], nextId: () => number, patient: boolean) {
    this.#client = client;
    this.#lines = lines;
    this.#nextId = nextId;
    if (!patient) this.#silence = setTimeout(() => client.disconnect(DISCONNECT.byApplication, lines.join(' ')), SILENCE_LIMIT_MS);
  }

  message(payload: Buffer): void {
    const reader = new SshReader(payload, 'BAD_REQUEST');
    switch (reader.byte('the type')) {
      case MSG.globalRequest:
        reader.string('the request');
        if (reader.byte('the flag') !== 0) this.#client.send(message.requestFailure());
        return;
      case MSG.channelOpen:
        return this.#open(reader);
      case MSG.channelRequest:
        return this.#request(reader);
      case MSG.channelClose: {
        this.#sessions.delete(reader.uint32('the channel'));
        return;
      }
      default:
    }
  }

  closed(): void {
    clearTimeout(this.#silence);
  }

  #open(reader: SshReader): void {
    const type = reader.utf8('the channel type', 64);
    const clientId = reader.uint32('the channel');
    const window = reader.uint32('the window');
    if (type !== 'session') return this.#client.send(message.openFailure(clientId, OPEN_REFUSED.connectFailed, this.#lines.join(' ')));
    if (this.#sessions.size >= maxSessions)
      return this.#client.send(message.openFailure(clientId, OPEN_REFUSED.shortage, 'too many sessions'));
    clearTimeout(this.#silence);
    const id = this.#nextId();
    this.#sessions.set(id, { clientId, window, tty: false, over: false });
    this.#client.send(message.openConfirmation(clientId, id, 64 * 1024, 32 * 1024));
  }

  #request(reader: SshReader): void {
    const session = this.#sessions.get(reader.uint32('the channel'));
    if (session === undefined || session.over) return;
    const type = reader.utf8('the request', 64);
    const wantsReply = reader.byte('the flag') !== 0;
    const starts = type === 'shell' || type === 'exec' || type === 'subsystem';
    const known = starts || type === 'pty-req' || type === 'env';
    if (wantsReply) this.#client.send(known ? message.success(session.clientId) : message.failure(session.clientId));
    if (type === 'pty-req') session.tty = true;
    if (!starts) return;
    session.over = true;
    for (const last of lastMessages(session.clientId, session.window, session.tty, this.#lines).messages) this.#client.send(last);
  }
}
