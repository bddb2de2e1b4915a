/**
 * The link of a terminal to its gateway, which survives the loss of the network: successive WebSockets carry one byte stream.
 *
 *     opening ──first byte: SSH──► plain ──closed──► over                         a gateway that knows no frames
 *        └──first byte: a frame──► attached ──closed or silent, with a ticket──► away ──challenge, proof, `resumed`──► attached
 *                                     └──closed without one, ended, misused──► over ◄──refused, locked, ended, time over──┘
 *
 * The ticket comes from the gateway inside SSH; its secret becomes a key that cannot be exported. `away` lasts as long as the ticket
 * says; the link retries after `RETRY_MS`, and immediately when the browser comes online. A gateway that is silent for `SILENCE_MS`
 * counts as lost. Bytes that the gateway has not confirmed are kept, up to `MAX_KEPT`. Decision 0165. Tested in
 * test/end-to-end/terminal-resume.test.ts.
 */
import { terminalCloses } from '#schemas/api/front/terminal-closes.js';
import { StenoError } from '#schemas/base/errors.js';
import { encodeFrame, FrameReader, proofInput } from '#schemas/terminal/frames.js';
import type { TerminalFrame } from '#schemas/terminal/frames.js';
import { ResumableStream } from '#schemas/terminal/resumable-stream.js';
import { NEW } from '#schemas/terminal/resumption.js';

export interface ReconnectTicket {
  readonly id: string;
  readonly secret: Uint8Array;
  /** How long the gateway keeps the session waiting; 0: not at all. */
  readonly seconds: number;
}

export interface LinkEvents {
  /** The gateway is connected: bytes may be sent. */
  opened(): void;
  bytes(bytes: Uint8Array): void;
  /** The network is lost. Bytes sent meanwhile arrive once it is back. */
  away(): void;
  back(): void;
  /** Called once; no event follows. */
  ended(why: StenoError): void;
}

/** Provided by a browser, or by a test. */
export interface LinkEnvironment {
  /** `resume`: the value of the query parameter of that name. */
  open(resume: string): WebSocket;
  /** Calls back when the browser is online again; returns a function that cancels this. */
  onOnline(callback: () => void): () => void;
  /** Like `onOnline`, for when the user leaves the page. */
  onLeave(callback: () => void): () => void;
  /** Asks why the viewer refused a WebSocket, which browsers do not reveal; null: it did not refuse, or does not answer. */
  refused(): Promise<StenoError | null>;
}

export const SILENCE_MS = 25_000;
const SAY_MS = 10_000;
const ATTEMPT_MS = 10_000;
const RETRY_MS = [0, 500, 1_000, 2_000, 4_000];
const MAX_KEPT = 24 << 20;
/** The `S` of an SSH identification. */
const PLAIN = 0x53;

interface Ticket {
  readonly id: string;
  readonly key: Promise<CryptoKey>;
  readonly seconds: number;
}

type Stage = 'opening' | 'plain' | 'attached' | 'away' | 'over';

export class TerminalLink {
  readonly #environment: LinkEnvironment;
  readonly #events: LinkEvents;
  readonly #stream: ResumableStream;
  #stage: Stage = 'opening';
  #socket: WebSocket | null = null;
  #reader = new FrameReader();
  #ticket: Ticket | null = null;
  #heardAt = performance.now();
  #saidAt = performance.now();
  #lostAt = 0;
  #attempts = 0;
  #asking = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #attempt: ReturnType<typeof setTimeout> | undefined;
  readonly #watch: ReturnType<typeof setInterval>;
  readonly #stop: readonly (() => void)[];

  constructor(environment: LinkEnvironment, events: LinkEvents) {
    this.#environment = environment;
    this.#events = events;
    this.#stream = new ResumableStream({
      bytes: (bytes) => events.bytes(bytes.slice()),
      frame: (frame) => this.#transmit(frame),
      acknowledged: () => undefined,
      ended: () => this.#end(new StenoError('GATEWAY_LOST', 'the gateway ended the connection')),
    });
    this.#watch = setInterval(() => this.#look(), SAY_MS / 2);
    this.#stop = [
      environment.onOnline(() => {
        if (this.#stage === 'attached' && performance.now() - this.#heardAt > SAY_MS) this.#lost();
        else if (this.#stage === 'away') this.#tryNow();
      }),
      environment.onLeave(() => this.close()),
    ];
    const socket = environment.open(NEW);
    this.#use(socket);
    socket.addEventListener('message', ({ data }) => this.#arrived(socket, new Uint8Array(data as ArrayBuffer)));
  }

  get away(): boolean {
    return this.#stage === 'away';
  }

  send(bytes: Uint8Array): void {
    if (this.#stage === 'plain') return this.#transmit(bytes);
    if (this.#stage !== 'attached' && this.#stage !== 'away') return;
    this.#stream.send(bytes);
    if (this.#stream.kept > MAX_KEPT) this.#end(new StenoError('GATEWAY_LOST', 'too much waits for the network'));
  }

  /** Ends the stream for good. */
  close(): void {
    if (this.#stage === 'attached') this.#stream.end();
    this.#end(new StenoError('GATEWAY_LOST'));
  }

  ticket({ id, secret, seconds }: ReconnectTicket): void {
    if (this.#ticket?.id === id) this.#ticket = { ...this.#ticket, seconds };
    else {
      const key = crypto.subtle.importKey('raw', secret as Uint8Array<ArrayBuffer>, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
      this.#ticket = { id, key, seconds };
    }
  }

  #use(socket: WebSocket): void {
    this.#socket = socket;
    this.#reader = new FrameReader();
    this.#heardAt = performance.now();
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('close', ({ code, reason }) => {
      if (socket === this.#socket) this.#closed(code, reason);
    });
  }

  #arrived(socket: WebSocket, bytes: Uint8Array): void {
    if (socket !== this.#socket || this.#stage === 'over' || bytes.length === 0) return;
    this.#heardAt = performance.now();
    if (this.#stage === 'opening') {
      this.#stage = bytes[0] === PLAIN ? 'plain' : 'attached';
      this.#events.opened();
    }
    if (this.#stage === 'plain') return this.#events.bytes(bytes);
    try {
      this.#reader.put(bytes);
      this.#frames(socket);
    } catch (error) {
      this.#end(error instanceof StenoError ? error : new StenoError('SSH_PROTOCOL'));
    }
  }

  #frames(socket: WebSocket): void {
    for (let frame = this.#reader.next(); frame !== null; frame = this.#reader.next()) {
      if (this.#stage === 'away') this.#handshake(socket, frame);
      else this.#stream.take(frame);
      if (socket !== this.#socket) return;
    }
  }

  #handshake(socket: WebSocket, frame: TerminalFrame): void {
    const ticket = this.#ticket!;
    if (frame.kind === 'refused') return this.#end(new StenoError('RECONNECT_REFUSED'));
    if (frame.kind === 'challenge') {
      const { received } = this.#stream;
      void ticket.key
        .then((key) => crypto.subtle.sign('HMAC', key, proofInput(ticket.id, frame.nonce, received) as Uint8Array<ArrayBuffer>))
        .then((mac) => {
          if (socket === this.#socket) this.#transmit(encodeFrame({ kind: 'proof', received, mac: new Uint8Array(mac) }));
        });
      return;
    }
    if (frame.kind !== 'resumed') throw new StenoError('SSH_PROTOCOL', `${frame.kind} before the stream goes on`);
    clearTimeout(this.#attempt);
    this.#attempts = 0;
    this.#stage = 'attached';
    this.#stream.attach(frame.received);
    this.#events.back();
  }

  #closed(code: number, reason: string): void {
    const goesOn = (this.#stage === 'attached' || this.#stage === 'away') && this.#mayResume(code);
    if (!goesOn) return this.#end(closeError(code, reason));
    if (this.#stage === 'away') void this.#askWhy();
    this.#lost();
  }

  /** Ends the link if the viewer refuses the user, since further attempts would fail. */
  async #askWhy(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const why = await this.#environment.refused();
    this.#asking = false;
    if (why !== null && this.#stage === 'away') this.#end(why);
  }

  #mayResume(code: number): boolean {
    const { signedOut, misuse, idle, gone } = terminalCloses;
    return this.#ticket !== null && this.#ticket.seconds > 0 && ![signedOut, misuse, idle, gone].some((one) => one === code);
  }

  /** The current WebSocket is lost. */
  #lost(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    clearTimeout(this.#attempt);
    if (this.#ticket === null || this.#ticket.seconds === 0) return this.#end(new StenoError('GATEWAY_LOST'));
    if (this.#stage !== 'away') {
      this.#stage = 'away';
      this.#stream.detach();
      this.#lostAt = performance.now();
      this.#attempts = 0;
      this.#events.away();
    }
    this.#later();
  }

  #later(): void {
    clearTimeout(this.#retry);
    const wait = RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)]!;
    this.#attempts += 1;
    if (performance.now() - this.#lostAt + wait > this.#ticket!.seconds * 1000)
      return this.#end(new StenoError('GATEWAY_LOST', `for ${this.#ticket!.seconds} s`));
    this.#retry = setTimeout(() => this.#tryNow(), wait);
  }

  #tryNow(): void {
    clearTimeout(this.#retry);
    if (this.#stage !== 'away' || this.#socket !== null) return;
    const socket = this.#environment.open(this.#ticket!.id);
    this.#use(socket);
    this.#attempt = setTimeout(() => this.#lost(), ATTEMPT_MS);
    socket.addEventListener('message', ({ data }) => this.#arrived(socket, new Uint8Array(data as ArrayBuffer)));
  }

  #look(): void {
    if (this.#stage !== 'attached') return;
    const now = performance.now();
    if (now - this.#heardAt > SILENCE_MS) return this.#lost();
    if (now - this.#saidAt < SAY_MS) return;
    this.#saidAt = now;
    this.#stream.say();
  }

  #transmit(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (socket?.readyState === socket?.OPEN) socket?.send(bytes as Uint8Array<ArrayBuffer>);
  }

  #end(why: StenoError): void {
    if (this.#stage === 'over') return;
    this.#stage = 'over';
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    clearTimeout(this.#attempt);
    for (const stop of this.#stop) stop();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#events.ended(why);
  }
}

/** Why the WebSocket ended, unless SSH has given a reason. */
function closeError(code: number, reason: string): StenoError {
  switch (code) {
    case terminalCloses.signedOut:
      return new StenoError('NOT_SIGNED_IN', reason);
    case terminalCloses.unavailable:
      return new StenoError('GATEWAY_UNREACHABLE', reason);
    case terminalCloses.full:
      return new StenoError('TOO_MANY', reason);
    case terminalCloses.idle:
      return new StenoError('SESSION_IDLE', reason);
    case terminalCloses.gone:
      return new StenoError('RECONNECT_REFUSED');
    default:
      return new StenoError('GATEWAY_LOST', reason === '' ? undefined : reason);
  }
}
