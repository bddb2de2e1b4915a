/**
 * The messages for one kind of watcher: the current snapshot and the latest deltas, so that a watcher that reconnects gets
 * what it missed.
 *
 * At most MAX_DELTAS deltas of MAX_BYTES in total are kept. A watcher that is further behind, comes from another run, or
 * would receive more bytes of deltas than of a snapshot, gets the snapshot. Each message is encoded once for all watchers.
 * Tested in watch-log.test.ts: any interleaving of changes, losses and resumes ends with the snapshot.
 */
import { randomBytes } from 'node:crypto';
import type { Snapshot } from '#schemas/snapshot.js';
import { diffSnapshots, ordered } from '#schemas/watch.js';
import type { WatchMessage, WatchPosition } from '#schemas/watch.js';

const MAX_DELTAS = 1_000;
const MAX_BYTES = 8 << 20;

interface Kept {
  readonly from: number;
  readonly text: string;
}

export class SnapshotLog {
  readonly #stream = randomBytes(8).toString('hex');
  readonly #maxDeltas: number;
  readonly #maxBytes: number;
  #snapshot: Snapshot;
  #deltas: Kept[] = [];
  #bytes = 0;
  #whole: string | undefined;
  #plain: string | undefined;

  constructor(snapshot: Snapshot, { maxDeltas = MAX_DELTAS, maxBytes = MAX_BYTES } = {}) {
    this.#snapshot = ordered(snapshot);
    this.#maxDeltas = maxDeltas;
    this.#maxBytes = maxBytes;
  }

  /** The message for watchers; null if nothing changed for them. */
  publish(next: Snapshot): string | null {
    const snapshot = ordered(next);
    const delta = diffSnapshots(this.#snapshot, snapshot);
    if (delta === null) return null;
    const text = JSON.stringify(delta satisfies WatchMessage);
    this.#snapshot = snapshot;
    this.#whole = undefined;
    this.#plain = undefined;
    this.#deltas.push({ from: delta.from, text });
    this.#bytes += text.length;
    let first = 0;
    while (this.#deltas.length - first > this.#maxDeltas || this.#bytes > this.#maxBytes) this.#bytes -= this.#deltas[first++]!.text.length;
    if (first > 0) this.#deltas.splice(0, first);
    return text;
  }

  /** The messages that bring a watcher from position `from` up to date. */
  since(from: WatchPosition | null): readonly string[] {
    if (from?.stream === this.#stream) {
      const first =
        from.version === this.#snapshot.version ? this.#deltas.length : this.#deltas.findIndex((delta) => delta.from === from.version);
      const missed = first < 0 ? undefined : this.#deltas.slice(first);
      // Deltas larger than the snapshot are not worth sending; a snapshot nobody has requested is not encoded for the
      // comparison.
      const short =
        missed !== undefined && missed.reduce((sum, { text }) => sum + text.length, 0) <= (this.#whole?.length ?? this.#maxBytes);
      if (short) return [JSON.stringify({ kind: 'resumed', ...from } satisfies WatchMessage), ...missed.map(({ text }) => text)];
    }
    this.#whole ??= JSON.stringify({ kind: 'snapshot', stream: this.#stream, snapshot: this.#snapshot } satisfies WatchMessage);
    return [this.#whole];
  }

  /** For watchers that do not support deltas. */
  plain(): string {
    return (this.#plain ??= JSON.stringify(this.#snapshot));
  }
}
