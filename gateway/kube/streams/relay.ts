/**
 * Relays and records frames between a client and a container, whatever protocol either side speaks. A client frame that cannot be parsed
 * ends the session; bytes are in the spool before they are passed on.
 *
 *     client there ──nobody is demanded──► server ──► relaying ──► over
 *          └──participants are──► awaited ──all have joined──► the API server is asked ──► relaying
 *                                    └──Ctrl-C, AWAIT_MS──► over
 *
 * Participants see the output and can type into a terminal, as in sessions over SSH (../../live/). Tested in ../streaming.test.ts
 * and ../moderated.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { CHANNEL, exitCodeOf, parseClientFrame } from '#schemas/kube/remote-command.js';
import type { ClientFrame } from '#schemas/kube/remote-command.js';
import type { Moderation } from '#schemas/policy/node.js';
import type { LiveSessions } from '../../live/live-sessions.js';
import type { LiveSession, SessionAbout } from '../../sessions/live-session.js';
import { asStenoError, explainError } from '../../sessions/refusal.js';
import type { SessionTap } from '../../ssh/relay/session-recording.js';
import type { Entered } from '../requests/request.js';
import type { Counts } from '../requests/request-event.js';
import { statusOf, upstreamStatus } from '../requests/status.js';
import type { Dialled, Refused } from './dial.js';
import { Holds } from './holds.js';
import { HIGH_WATER, frame } from './peer.js';
import type { Peer } from './peer.js';
import type { PodWatch } from './pod-watch.js';

/** Maximum bytes of input held for a session without a terminal that is frozen, or has not started. */
const MAX_HELD = 4 << 20;
const CTRL_C = 0x03;
/** Ctrl-]: the key with which the user takes the keyboard back. */
const TAKE_BACK = 0x1d;

export interface RelayDeps {
  readonly counts: Counts;
  readonly entered: Entered;
  readonly tap: SessionTap;
  /** Null: no kernel recording. */
  readonly watch: PodWatch | null;
  readonly live: LiveSessions;
  /** Streams of the client. */
  readonly streams: { readonly tty: boolean; readonly stderr: boolean };
  /** Null: nobody can join the session. The relay adds the size of the terminal. */
  readonly about: Omit<SessionAbout, 'size'> | null;
}

/** Participants that must join before the API server is asked to start anything. */
export interface Awaited {
  readonly demands: readonly Moderation[];
  /** Asks the API server. Rejects KUBE_UNREACHABLE. */
  connect(): Promise<Dialled>;
}

export class ContainerRelay {
  readonly #deps: RelayDeps;
  readonly #holds = new Holds();
  readonly #size = { cols: 80, rows: 24 };
  #server: Peer | undefined;
  #client: Peer | undefined;
  #live: LiveSession | undefined;
  /** Client frames not yet sent to the container, in order. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Output that may not be shown yet, and the close code of the API server after it. */
  #unshown: Buffer[] = [];
  #serverClosed: Parameters<Peer['close']>[0] | undefined;
  /** The last resize, kept for the time when the API server is connected. */
  #resize: Buffer | undefined;
  #ended: StenoError | undefined;
  #finish: (() => void) | undefined;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
  }

  /** Resolves when the session is over. `client`: uses the same protocol as the API server, which is connected now or later. */
  run(client: Peer, target: { readonly kind: 'there'; readonly server: Peer } | ({ readonly kind: 'awaited' } & Awaited)): Promise<void> {
    const { entered, tap, about, streams } = this.#deps;
    if (target.kind === 'there') this.#server = target.server;
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.#client = client;
      const live = entered.access.begin(
        tap.recorder,
        {
          end: (error) => this.end(error),
          notice: (words) => this.#notice(words),
          announce: (words) => this.#announce(words),
          reopened: () => this.#deliverHeld(),
          ...(streams.tty ? { type: (bytes) => this.#type(bytes) } : {}),
        },
        about === null ? null : { ...about, size: () => (streams.tty ? this.#size : null) },
      );
      this.#live = live;
      tap.shown = (bytes) => live.shown(bytes);
      client.start({
        ready: () => (target.kind === 'there' ? this.#begin(target.server) : this.#await(live, target)),
        frame: (bytes) => this.#fromClient(bytes),
        broken: (what) => this.end(new StenoError('KUBE_REQUEST_REFUSED', what)),
        closed: (code) => this.#close(code),
      });
      if (this.#ended !== undefined) this.end(this.#ended);
    });
  }

  /** Waits for participants. The client is read in the meantime, since it may give up. */
  #await(live: LiveSession, { demands, connect }: Awaited): void {
    if (this.#finish === undefined || this.#ended !== undefined) return;
    this.#client!.resume();
    this.#deps.live.begin(live, demands, () => {
      connect().then(
        (answer) => {
          if (answer.kind === 'refused') return this.#refused(answer);
          if (this.#finish === undefined) return answer.peer.close(1000);
          this.#begin(answer.peer);
        },
        (error: unknown) => this.end(asStenoError(error)),
      );
    });
  }

  /** Starts the command; the client has all its streams by now. */
  #begin(server: Peer): void {
    if (this.#finish === undefined || this.#ended !== undefined) return;
    server.start({
      ready: () => {
        this.#server = server;
        server.resume();
        this.#client!.resume();
        if (this.#resize !== undefined) this.#toServer(this.#resize);
        if (this.#live?.gate.open === true) this.#deliverHeld();
      },
      frame: (bytes) => this.#awaitKernel(bytes),
      broken: () => this.#endOfServer(1011),
      closed: (code) => this.#endOfServer(code === 1002 ? 1011 : 1000),
    });
  }

  /** Shows the reason as the last output and as the final Status, and ends both sides. */
  end(error: StenoError): void {
    this.#ended ??= error;
    const { tap, streams } = this.#deps;
    if (this.#client === undefined || this.#finish === undefined) return;
    const lines = explainError(error);
    const words = Buffer.from(streams.tty ? `\r\n${lines.join('\r\n')}\r\n` : `${lines.join('\n')}\n`);
    tap.recorder.output(streams.tty ? 'out' : 'err', words);
    tap.recorder.exit(255);
    this.#live?.leave(error);
    this.#client.send(frame(streams.tty ? CHANNEL.stdout : CHANNEL.stderr, words));
    this.#client.send(frame(CHANNEL.error, Buffer.from(statusOf(error).body)));
    this.#close(1000);
  }

  /** Handles a refusal by the API server after the client was accepted: the client gets it as the final Status. */
  #refused({ code, body }: Refused): void {
    if (this.#client === undefined || this.#finish === undefined) return;
    this.#deps.counts.answered(code);
    this.#deps.tap.recorder.exit(1);
    this.#client.send(frame(CHANNEL.error, upstreamStatus(code, body)));
    this.#close(1000);
  }

  #notice(words: string): void {
    if (this.#deps.streams.tty) this.#tell('out', `\r\nsteno: ${words}\r\n`);
  }

  #announce(words: string): void {
    if (this.#deps.streams.tty) this.#notice(words);
    else if (this.#deps.streams.stderr) this.#tell('err', `steno: ${words}\n`);
  }

  #tell(stream: 'out' | 'err', text: string): void {
    if (this.#client === undefined || this.#finish === undefined) return;
    const line = Buffer.from(text);
    this.#deps.tap.output(stream, line);
    this.#client.send(frame(stream === 'out' ? CHANNEL.stdout : CHANNEL.stderr, line));
  }

  #fromClient(bytes: Buffer): void {
    if (this.#finish === undefined) return;
    const { counts, entered, tap, streams } = this.#deps;
    counts.bytesIn += bytes.length;
    const parsed = parseClientFrame(bytes, this.#client!.protocol);
    if (parsed === null) return this.end(new StenoError('KUBE_REQUEST_REFUSED', 'a frame that no client sends'));
    entered.access.active();
    if (parsed.kind === 'resize') {
      tap.recorder.resize(parsed.cols, parsed.rows);
      Object.assign(this.#size, { cols: parsed.cols, rows: parsed.rows });
      this.#live?.watcher?.resized(parsed.cols, parsed.rows);
      this.#resize = bytes;
      return this.#toServer(bytes);
    }
    // Both peers open their channels with an empty frame.
    if (parsed.kind === 'stdin' && parsed.data.length === 0) return this.#toServer(bytes);
    if (this.#live?.gate.open !== false && this.#server !== undefined) return this.#input(bytes);
    if (streams.tty && parsed.kind === 'stdin' && this.#live?.gate.open === false) return this.#discard(parsed, this.#live);
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > MAX_HELD) this.end(new StenoError('LOCKED', 'the session is frozen, and more input arrived than can be held'));
  }

  /** Discards terminal input while the input gate is closed. */
  #discard({ data }: Extract<ClientFrame, { kind: 'stdin' }>, { gate, watcher }: LiveSession): void {
    // A user who waits for participants may give up.
    if (this.#server === undefined && data.includes(CTRL_C)) return this.end(new StenoError('MODERATION_AWAITED'));
    if (gate.holds('keyboard') && data.includes(TAKE_BACK)) watcher?.takeBack();
    else gate.discard();
  }

  #input(bytes: Buffer): void {
    if (bytes[0] === CHANNEL.stdin && !this.#deps.tap.input(bytes.subarray(1))) this.#awaitSpool(this.#client!);
    this.#toServer(bytes);
  }

  /** Handles input of a participant. Returns how many bytes were taken. */
  #type(bytes: Buffer): number {
    if (this.#finish === undefined || this.#server === undefined) return bytes.length;
    if (this.#server.unread > HIGH_WATER) {
      this.#server.onDrain(() => this.#live?.watcher?.roomy());
      return 0;
    }
    this.#deps.entered.access.active();
    this.#input(frame(CHANNEL.stdin, bytes));
    return bytes.length;
  }

  #deliverHeld(): void {
    if (this.#server === undefined) return;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const bytes of held) this.#input(bytes);
  }

  /** Holds the output of a strict session until the agent has seen the command start. */
  #awaitKernel(bytes: Buffer): void {
    const { watch } = this.#deps;
    if (this.#finish === undefined) return;
    if (this.#unshown.length === 0 && watch?.passes(bytes) !== false) return this.#fromServer(bytes);
    this.#unshown.push(bytes);
    if (this.#unshown.length > 1) return;
    this.#holds.add(this.#server!, (resume) =>
      watch!.onReady(() => {
        const unshown = this.#unshown;
        this.#unshown = [];
        for (const one of unshown) this.#fromServer(one);
        if (this.#serverClosed !== undefined) this.#close(this.#serverClosed);
        resume();
      }),
    );
  }

  #endOfServer(code: Parameters<Peer['close']>[0]): void {
    if (this.#unshown.length > 0) this.#serverClosed = code;
    else this.#close(code);
  }

  #fromServer(bytes: Buffer): void {
    if (this.#finish === undefined) return;
    const { counts, entered, tap, streams } = this.#deps;
    const data = bytes.subarray(1);
    counts.bytesOut += bytes.length;
    if (bytes[0] === CHANNEL.stdout || bytes[0] === CHANNEL.stderr) {
      if (!streams.tty) entered.access.active();
      if (data.length > 0 && !tap.output(bytes[0] === CHANNEL.stdout ? 'out' : 'err', data)) this.#awaitSpool(this.#server!);
      // If a strict recording has just failed, output that it lacks is not shown.
      if (this.#ended !== undefined) return;
    } else if (bytes[0] === CHANNEL.error) {
      if (data.length > 0) tap.recorder.exit(exitCodeOf(data) ?? 255);
    } else if (data.length > 0) return; // Data of channels that are not recorded is not passed on.
    this.#send(this.#client!, bytes, this.#server!);
  }

  #toServer(bytes: Buffer): void {
    if (this.#server !== undefined) this.#send(this.#server, bytes, this.#client!);
  }

  /** Sends bytes, and stops reading `from` while too many of them wait. */
  #send(to: Peer, bytes: Buffer, from: Peer): void {
    to.send(bytes);
    if (to.unread > HIGH_WATER) this.#holds.add(from, (resume) => to.onDrain(resume));
  }

  /** Stops reading this side until the spool has room. */
  #awaitSpool(side: Peer): void {
    this.#holds.add(side, (resume) => this.#deps.tap.recorder.onReady(resume));
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
