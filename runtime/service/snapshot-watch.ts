/**
 * The watch on the authority: a snapshot kept up to date by deltas, across reconnects.
 *
 *     connecting ──snapshot, or resumed──► current ──closed──► away (the last snapshot still counts) ──backoff──► connecting
 *
 * While the authority is unreachable, stages decide by the last snapshot: admission continues, but nothing that needs a
 * signature does. The authority pings every few seconds; thirty seconds of silence mean a lost connection. After a reconnect
 * the authority sends only the missed changes if it still has them. It answers 403 to a removed service. Tested in
 * `authority/authority-client.test.ts`, against a real authority.
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
/** Short, because nobody can be admitted before the first snapshot. */
const LONGEST_FIRST_MS = 250;
const SILENCE_MS = 30_000;
const MAX_SNAPSHOT = 64 << 20;

/** `delta`: the change from the previous snapshot; null if a full snapshot arrived. */
export type SnapshotListener = (snapshot: Snapshot, delta: SnapshotDelta | null) => void;

export class SnapshotWatch {
  readonly ready: Promise<void>;
  /** Resolves with SERVICE_REMOVED when the authority reports that this service was removed. */
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
    // Callers that do not wait for it must not see an unhandled rejection.
    this.ready.catch(() => undefined);
    this.#connect();
  }

  current(): Snapshot {
    const { snapshot } = this.#reader;
    if (snapshot === undefined) throw new StenoError('NOT_RUNNING', 'no snapshot of the authority has arrived yet');
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
    this.#settle?.reject(new StenoError('NOT_RUNNING', 'closed before a snapshot of the authority arrived'));
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

  /** This service was removed: no more updates will come. */
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
      this.#log.warn({ err: error }, 'the authority sent a delta that does not follow; requesting a full snapshot');
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
        this.#log.error({ err: error }, 'a snapshot listener failed');
      }
    }
  }
}
