/**
 * Frames between a client and a container, with the recording between them: whatever protocol either side speaks. What the client
 * sends is understood or ends the session; bytes are in the spool before they go on. Tested in ../streaming.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { CHANNEL, exitCodeOf, parseClientFrame } from '#schemas/kube/remote-command.js';
import type { LiveSession } from '../../sessions/live-session.js';
import { explainError } from '../../sessions/refusal.js';
import type { SessionTap } from '../../ssh/relay/session-recording.js';
import type { Entered } from '../requests/request.js';
import type { Counts } from '../requests/request-event.js';
import { statusOf } from '../requests/status.js';
import { Holds } from './holds.js';
import { HIGH_WATER, frame } from './peer.js';
import type { Peer } from './peer.js';

/** Of a frozen session without a terminal. */
const MAX_HELD = 4 << 20;

export class ContainerRelay {
  readonly #counts: Counts;
  readonly #entered: Entered;
  readonly #tap: SessionTap;
  readonly #tty: boolean;
  readonly #server: Peer;
  readonly #holds = new Holds();
  #client: Peer | undefined;
  #live: LiveSession | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #ended: StenoError | undefined;
  #finish: (() => void) | undefined;

  constructor(counts: Counts, entered: Entered, tap: SessionTap, tty: boolean, server: Peer) {
    this.#counts = counts;
    this.#entered = entered;
    this.#tap = tap;
    this.#tty = tty;
    this.#server = server;
  }

  /** Resolves when the session is over. `client`: accepted by the same protocol as the API server's. */
  run(client: Peer): Promise<void> {
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.#client = client;
      this.#live = this.#entered.access.begin(this.#tap.recorder, {
        end: (error) => this.end(error),
        notice: (words) => this.#notice(words),
        reopened: () => this.#deliverHeld(),
      });
      client.start({
        ready: () => this.#begin(),
        frame: (bytes) => this.#fromClient(bytes),
        broken: (what) => this.end(new StenoError('KUBE_REQUEST_REFUSED', what)),
        closed: (code) => this.#close(code),
      });
      if (this.#ended !== undefined) this.end(this.#ended);
    });
  }

  /** Nothing runs before the client has all its streams. */
  #begin(): void {
    if (this.#finish === undefined || this.#ended !== undefined) return;
    this.#server.start({
      ready: () => {
        this.#server.resume();
        this.#client!.resume();
      },
      frame: (bytes) => this.#fromServer(bytes),
      broken: () => this.#close(1011),
      closed: (code) => this.#close(code === 1002 ? 1011 : 1000),
    });
  }

  /** Tells the reason as the last words and as the final Status, and ends both sides. */
  end(error: StenoError): void {
    this.#ended ??= error;
    const client = this.#client;
    if (client === undefined || this.#finish === undefined) return;
    const lines = explainError(error);
    const words = Buffer.from(this.#tty ? `\r\n${lines.join('\r\n')}\r\n` : `${lines.join('\n')}\n`);
    this.#tap.recorder.output(this.#tty ? 'out' : 'err', words);
    this.#tap.recorder.exit(255);
    client.send(frame(this.#tty ? CHANNEL.stdout : CHANNEL.stderr, words));
    client.send(frame(CHANNEL.error, Buffer.from(statusOf(error).body)));
    this.#close(1000);
  }

  #notice(words: string): void {
    if (!this.#tty || this.#client === undefined) return;
    const line = Buffer.from(`\r\nsteno: ${words}\r\n`);
    this.#tap.output('out', line);
    this.#client.send(frame(CHANNEL.stdout, line));
  }

  #fromClient(bytes: Buffer): void {
    if (this.#finish === undefined) return;
    this.#counts.bytesIn += bytes.length;
    const parsed = parseClientFrame(bytes, this.#client!.protocol);
    if (parsed === null) return this.end(new StenoError('KUBE_REQUEST_REFUSED', 'a frame that no client sends'));
    this.#entered.access.active();
    if (parsed.kind === 'resize') {
      this.#tap.recorder.resize(parsed.cols, parsed.rows);
      return this.#toServer(bytes);
    }
    // Both peers open their channels with an empty frame.
    if (parsed.kind === 'stdin' && parsed.data.length === 0) return this.#toServer(bytes);
    if (this.#live?.gate.open === false) {
      if (this.#tty && parsed.kind === 'stdin') return this.#live.gate.discard();
      this.#held.push(bytes);
      this.#heldBytes += bytes.length;
      if (this.#heldBytes > MAX_HELD) this.end(new StenoError('LOCKED', 'the session is frozen, and more input arrived than can be held'));
      return;
    }
    this.#input(bytes);
  }

  #input(bytes: Buffer): void {
    if (bytes[0] === CHANNEL.stdin && !this.#tap.input(bytes.subarray(1))) this.#awaitSpool(this.#client!);
    this.#toServer(bytes);
  }

  #deliverHeld(): void {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const bytes of held) this.#input(bytes);
  }

  #fromServer(bytes: Buffer): void {
    if (this.#finish === undefined) return;
    const data = bytes.subarray(1);
    this.#counts.bytesOut += bytes.length;
    if (bytes[0] === CHANNEL.stdout || bytes[0] === CHANNEL.stderr) {
      if (!this.#tty) this.#entered.access.active();
      if (data.length > 0 && !this.#tap.output(bytes[0] === CHANNEL.stdout ? 'out' : 'err', data)) this.#awaitSpool(this.#server);
      // A strict recording that failed just now: what it lacks is not shown.
      if (this.#ended !== undefined) return;
    } else if (bytes[0] === CHANNEL.error) {
      if (data.length > 0) this.#tap.recorder.exit(exitCodeOf(data) ?? 255);
    } else if (data.length > 0) return; // Of channels that nobody records, the client gets nothing.
    this.#send(this.#client!, bytes, this.#server);
  }

  #toServer(bytes: Buffer): void {
    this.#send(this.#server, bytes, this.#client!);
  }

  /** Sends, and does not read `from` while too much of it waits. */
  #send(to: Peer, bytes: Buffer, from: Peer): void {
    to.send(bytes);
    if (to.unread > HIGH_WATER) this.#holds.add(from, (resume) => to.onDrain(resume));
  }

  /** The spool is behind: this side is not read until it has room. */
  #awaitSpool(side: Peer): void {
    this.#holds.add(side, (resume) => this.#tap.recorder.onReady(resume));
  }

  #close(code: 1000 | 1001 | 1002 | 1011): void {
    const finish = this.#finish;
    if (finish === undefined) return;
    this.#finish = undefined;
    this.#live?.leave();
    for (const side of [this.#server, this.#client]) side?.close(code === 1001 ? 1000 : code);
    finish();
  }
}
