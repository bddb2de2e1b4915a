/**
 * Terminals of browsers: the bytes of one SSH connection, from the page's WebSocket to a gateway and back. The viewer does not read
 * them: the page and the gateway speak SSH with each other, so the viewer can neither see nor alter a session.
 *
 *     dialling ──a gateway took it──► relaying ──either side ended──► closed
 *        └──none did──► `unavailable`  ├──silent, misused──► closed with that code
 *                                      └──signed out──► nothing more is typed; the gateway may say why ──after 1 s──► `signedOut`
 *
 * A stream in frames (`resume`, decision 0165) outlives a lost browser at the gateway. Therefore, to end it for good, the viewer sends
 * an `end` frame of its own: the page sends one whole frame per message, so the `end` frame falls between two of them.
 *
 * Each direction stops reading while the receiver does not accept data: at most `HIGH_WATER` bytes and one message wait per direction.
 * Limits: `MAX_TERMINALS` in total and `MAX_PER_USER`; a browser that does not answer a ping within `PING_MS`, and a terminal without
 * traffic for `IDLE_MS`, are closed. The gateway enforces the roles' limits on idle sessions. Decision 0129. Tested in
 * test/end-to-end/terminal-relay.test.ts.
 */
import type { RawData, WebSocket } from 'ws';
import { terminalCloses } from '#schemas/api/front/terminal-closes.js';
import { StenoError } from '#schemas/base/errors.js';
import { encodeFrame, SAY_BYTES } from '#schemas/terminal/frames.js';
import type { Log } from '#runtime/log.js';
import { reachGateway } from './gateways.js';
import type { GatewaySource, SshStream } from './gateways.js';

const MAX_TERMINALS = 256;
export const MAX_PER_USER = 16;
export const HIGH_WATER = 256 * 1024;
const RECHECK_MS = 5_000;
const PING_MS = 30_000;
const IDLE_MS = 4 * 3_600_000;
/** A lock that signs a user out reaches the gateway at about the same time, and only the gateway can show its reason in the terminal. */
const REASON_MS = 1_000;
/** A gateway that does not read the last frame within this time is disconnected. */
const LINGER_MS = 3_000;

export interface Opening {
  readonly user: string;
  /** The browser's address, on which limits and certificates depend. */
  readonly client: string;
  /** See gateways.ts. */
  readonly resume?: string;
  /** Throws if the user is no longer signed in. */
  readonly recheck: () => Promise<void>;
}

export class TerminalRelay {
  readonly #gateways: GatewaySource;
  readonly #log: Log;
  readonly #open = new Map<() => void, string>();
  readonly #rechecks = new Set<() => void>();

  constructor(gateways: GatewaySource, log: Log) {
    this.#gateways = gateways;
    this.#log = log;
  }

  open(browser: WebSocket, { user, client, resume, recheck }: Opening): void {
    const own = [...this.#open.values()].filter((one) => one === user).length;
    if (this.#open.size >= MAX_TERMINALS || own >= MAX_PER_USER)
      return browser.close(
        terminalCloses.full,
        own >= MAX_PER_USER ? `you have ${MAX_PER_USER} terminals open` : 'too many terminals are open',
      );
    const left = new AbortController();
    let upstream: SshStream['stream'] | undefined;
    let done = false;
    let signedOut: NodeJS.Timeout | undefined;
    /** `lost`: the browser may reconnect. */
    const end = (code: number, reason: string, lost = false): void => {
      if (done) return;
      done = true;
      clearInterval(checks);
      clearInterval(pings);
      clearTimeout(signedOut);
      this.#open.delete(stop);
      this.#rechecks.delete(ask);
      left.abort();
      // Resume a paused browser, so that its close can arrive.
      browser.resume();
      browser.close(code, reason);
      if (upstream === undefined) return;
      const stream = upstream;
      if (!lost && resume !== undefined && stream.writable) stream.write(encodeFrame({ kind: 'end' }));
      // Forward the browser's last message first: it may have ended the stream itself.
      const linger = setTimeout(() => stream.destroy(), LINGER_MS);
      stream.once('close', () => clearTimeout(linger));
      stream.end(() => stream.destroy());
    };
    const stop = (): void => end(terminalCloses.unavailable, 'this server is shutting down', true);
    const ask = (): void =>
      void recheck().catch(() => {
        if (done) return;
        signedOut ??= setTimeout(() => end(terminalCloses.signedOut, 'you are no longer signed in'), REASON_MS);
      });
    this.#open.set(stop, user);
    this.#rechecks.add(ask);
    const checks = setInterval(ask, RECHECK_MS);

    let answered = true;
    let passedAt = performance.now();
    const passed = (bytes: number): void => {
      if (bytes > SAY_BYTES) passedAt = performance.now();
    };
    const pings = setInterval(() => {
      // While the browser is paused, its pongs are not read either.
      if (!answered && !browser.isPaused) return end(terminalCloses.lost, 'the browser does not answer', true);
      if (performance.now() - passedAt > IDLE_MS) return end(terminalCloses.idle, 'nothing happened for hours');
      answered = false;
      browser.ping();
    }, PING_MS);
    browser.on('pong', () => {
      answered = true;
    });
    browser.on('message', (data, binary) => {
      if (!binary) return end(terminalCloses.misuse, 'messages are binary');
      if (signedOut !== undefined) return;
      // The client speaks first, but only after the gateway accepted the connection (`pause` below).
      if (upstream === undefined) return;
      const bytes = asBytes(data);
      passed(bytes.length);
      upstream.write(bytes);
      if (upstream.writableLength > HIGH_WATER) browser.pause();
    });
    browser.on('close', () => end(terminalCloses.over, '', true));
    browser.on('error', () => end(terminalCloses.over, '', true));
    browser.pause();

    reachGateway(this.#gateways, { client, ...(resume === undefined ? {} : { resume }) }, left.signal, this.#log).then(
      ({ stream, head }) => {
        if (done) return void stream.destroy();
        upstream = stream;
        const toBrowser = (chunk: Buffer): void => {
          passed(chunk.length);
          browser.send(chunk, { binary: true }, () => {
            if (!done && browser.bufferedAmount <= HIGH_WATER && stream.isPaused()) stream.resume();
          });
          if (browser.bufferedAmount > HIGH_WATER) stream.pause();
        };
        if (head.length > 0) toBrowser(head);
        stream.on('data', toBrowser);
        stream.on('drain', () => browser.resume());
        stream.on('close', () => end(terminalCloses.over, 'the gateway ended the connection', true));
        browser.resume();
      },
      (error: unknown) => {
        if (done) return;
        if (error instanceof StenoError && error.code === 'RECONNECT_REFUSED') return end(terminalCloses.gone, 'the terminal is over');
        this.#log.warn({ err: error }, 'no gateway takes the terminal of a browser');
        end(terminalCloses.unavailable, 'no gateway can be reached');
      },
    );
  }

  /** Checks again for every terminal whether its user is still signed in, because the facts for that decision changed. */
  recheck(): void {
    for (const ask of this.#rechecks) ask();
  }

  close(): void {
    for (const stop of [...this.#open.keys()]) stop();
  }
}

function asBytes(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
