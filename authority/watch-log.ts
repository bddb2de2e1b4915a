/**
 * What one kind of watcher is told: the snapshot as it stands, and the last changes, so that a watcher that was away for a
 * moment gets what it missed.
 *
 * Kept are MAX_DELTAS changes and MAX_BYTES of them. A watcher that is further behind, comes from another run, or would
 * get more bytes of changes than of a snapshot, gets the snapshot. Each message is made once for all watchers.
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

  /** What watchers are sent; null when nothing changed for them. */
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

  /** The messages that a watcher of `from` needs to be where everybody is. */
  since(from: WatchPosition | null): readonly string[] {
    if (from?.stream === this.#stream) {
      const first =
        from.version === this.#snapshot.version ? this.#deltas.length : this.#deltas.findIndex((delta) => delta.from === from.version);
      const missed = first < 0 ? undefined : this.#deltas.slice(first);
      // Changes that outweigh a snapshot are no shorter way; a snapshot that nobody has asked for is not made to compare.
      const short =
        missed !== undefined && missed.reduce((sum, { text }) => sum + text.length, 0) <= (this.#whole?.length ?? this.#maxBytes);
      if (short) return [JSON.stringify({ kind: 'resumed', ...from } satisfies WatchMessage), ...missed.map(({ text }) => text)];
    }
    this.#whole ??= JSON.stringify({ kind: 'snapshot', stream: this.#stream, snapshot: this.#snapshot } satisfies WatchMessage);
    return [this.#whole];
  }

  /** For watchers that know no deltas. */
  plain(): string {
    return (this.#plain ??= JSON.stringify(this.#snapshot));
  }
}
