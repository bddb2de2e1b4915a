/**
 * The watch on the authority: a snapshot that is kept up to date by changes, over connections that come and go.
 *
 *     connecting ──snapshot, or resumed──► current ──closed──► away (the last snapshot still counts) ──backoff──► connecting
 *
 * While the authority is away, stages decide by the last snapshot: admission goes on, what needs a signature does not.
 * The authority pings every few seconds; silence for thirty is a lost connection. After it, only what was missed is sent,
 * where the authority still knows. To a service that was removed it answers 403. Tested in `authority/authority-client.test.ts`, against a real authority.
 */
import { WebSocket } from 'ws';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import { WATCH_HEADER, WatchReader, formatWatch } from '#schemas/watch.js';
import type { SnapshotDelta, WatchMessage } from '#schemas/watch.js';
import type { Log } from '../log.js';
import type { ServiceIdentity } from './identity.js';

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
/** Without a first snapshot nothing can be admitted, and everybody waits for it. */
const LONGEST_FIRST_MS = 250;
const SILENCE_MS = 30_000;
const MAX_SNAPSHOT = 64 << 20;

/** `delta`: what turned the last snapshot into this one; null where a whole one came. */
export type SnapshotListener = (snapshot: Snapshot, delta: SnapshotDelta | null) => void;

export class SnapshotWatch {
  readonly ready: Promise<void>;
  /** Resolves with SERVICE_REMOVED when the authority says so of this service. */
  readonly removed: Promise<StenoError>;
  #removed: ((error: StenoError) => void) | undefined;
  readonly #urls: readonly string[];
  #attempt = 0;
  readonly #identity: ServiceIdentity;
  readonly #log: Log;
  readonly #listeners = new Set<SnapshotListener>();
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  readonly #reader = new WatchReader();
  #socket: WebSocket | undefined;
  #backoff = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(urls: readonly string[], identity: ServiceIdentity, log: Log) {
    this.#urls = urls;
    this.#identity = identity;
    this.#log = log;
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.removed = new Promise((resolve) => {
      this.#removed = resolve;
    });
    // Who does not wait for it does not care that it never came.
    this.ready.catch(() => undefined);
    this.#connect();
  }

  current(): Snapshot {
    const { snapshot } = this.#reader;
    if (snapshot === undefined) throw new StenoError('NOT_RUNNING', 'nothing was heard of the authority yet');
    return snapshot;
  }

  onChange(callback: SnapshotListener): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#socket?.terminate();
    this.#settle?.reject(new StenoError('NOT_RUNNING', 'closed before anything was heard of the authority'));
    this.#listeners.clear();
  }

  #connect(): void {
    if (this.#closed) return;
    const socket = new WebSocket(this.#urls[this.#attempt % this.#urls.length]!, {
      ...this.#identity.tlsClientOptions(['authority']),
      headers: { [WATCH_HEADER]: formatWatch(this.#reader.position) },
      maxPayload: MAX_SNAPSHOT,
      perMessageDeflate: false,
      handshakeTimeout: 10_000,
    });
    this.#socket = socket;
    const heard = (): void => {
      clearTimeout(this.#silence);
      this.#silence = setTimeout(() => socket.terminate(), SILENCE_MS);
      this.#silence.unref();
    };
    socket.on('open', heard);
    socket.on('ping', heard);
    socket.on('message', (data: Buffer) => {
      heard();
      this.#take(data, socket);
    });
    socket.on('unexpected-response', (_request, { statusCode }) => {
      if (statusCode === 403) this.#over();
      socket.terminate();
    });
    socket.on('error', (error) => this.#log.debug({ err: error }, 'the watch on the authority failed'));
    socket.on('close', () => {
      clearTimeout(this.#silence);
      if (this.#closed) return;
      this.#attempt += 1;
      this.#timer = setTimeout(() => this.#connect(), this.#backoff * (0.5 + Math.random() / 2));
      this.#backoff = Math.min(this.#backoff * 2, this.#reader.snapshot === undefined ? LONGEST_FIRST_MS : LONGEST_BACKOFF_MS);
    });
  }

  /** This service was removed: nothing will be heard any more. */
  #over(): void {
    const error = new StenoError('SERVICE_REMOVED');
    this.#settle?.reject(error);
    this.#settle = undefined;
    this.#removed?.(error);
    this.close();
  }

  #take(data: Buffer, socket: WebSocket): void {
    let snapshot: Snapshot | null;
    let delta: SnapshotDelta | null;
    try {
      const message = JSON.parse(data.toString('utf8')) as WatchMessage | Snapshot;
      snapshot = this.#reader.take(message);
      delta = 'kind' in message && message.kind === 'delta' ? message : null;
    } catch (error) {
      this.#log.warn({ err: error }, 'the authority sent what does not follow; asking for everything again');
      socket.terminate();
      return;
    }
    this.#backoff = FIRST_BACKOFF_MS;
    if (snapshot === null) return;
    this.#settle?.resolve();
    this.#settle = undefined;
    for (const listener of this.#listeners) {
      try {
        listener(snapshot, delta);
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of the snapshot failed');
      }
    }
  }
}
