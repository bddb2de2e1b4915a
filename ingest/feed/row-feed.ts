/**
 * Followers of all rows: rows on their way into the event store are sent to every connected follower (schemas/row-feed.ts).
 * A new follower first gets the rows that may not be in the store yet; all earlier rows are in it.
 *
 * Nothing is kept for a disconnected follower. A follower that does not read is disconnected once `MAX_BUFFERED` bytes wait
 * for it: the rows it misses are in the store. Tested in test/survival/analyzer-feed.test.ts.
 */
import type { WebSocket } from 'ws';
import { rowFeedCloses, rowMessages } from '#schemas/row-feed.js';
import type { RowMessage } from '#schemas/row-feed.js';

const MAX_BUFFERED = 64 << 20;

export class RowFeed {
  /** For each follower, whether it wants the fields that events share sent only once (`GROUPED_ROWS_PATH`). */
  readonly #followers = new Map<WebSocket, boolean>();
  readonly #maxBuffered: number;
  readonly #onFollowed: (on: boolean) => void;

  /** `onFollowed`: called with true for each new follower, and with false when the last one has left. */
  constructor(maxBuffered = MAX_BUFFERED, onFollowed: (on: boolean) => void = () => undefined) {
    this.#maxBuffered = maxBuffered;
    this.#onFollowed = onFollowed;
  }

  get followed(): boolean {
    return this.#followers.size > 0;
  }

  /** `pending`: rows already sent to others that may not be in the store yet. */
  add(socket: WebSocket, pending: Iterable<RowMessage> = [], grouped = false): void {
    for (const rows of pending) for (const message of rowMessages(rows, grouped)) socket.send(message, { binary: false });
    this.#followers.set(socket, grouped);
    this.#onFollowed(true);
    socket.on('close', () => this.#leave(socket));
    socket.on('error', () => undefined);
    socket.on('message', () => socket.close(rowFeedCloses.misuse));
  }

  publish(batch: RowMessage): void {
    for (const grouped of new Set(this.#followers.values())) this.#publish(batch, grouped);
  }

  #publish(batch: RowMessage, grouped: boolean): void {
    for (const message of rowMessages(batch, grouped)) {
      for (const [socket, takesGroups] of this.#followers) {
        if (takesGroups !== grouped || socket.readyState !== socket.OPEN) continue;
        if (socket.bufferedAmount > this.#maxBuffered) {
          this.#leave(socket);
          // A close frame would queue behind everything unread.
          socket.close(rowFeedCloses.behind);
          setTimeout(() => socket.terminate(), 1_000).unref();
        } else socket.send(message, { binary: false });
      }
    }
  }

  #leave(socket: WebSocket): void {
    if (this.#followers.delete(socket) && this.#followers.size === 0) this.#onFollowed(false);
  }

  close(): void {
    for (const socket of this.#followers.keys()) socket.close(rowFeedCloses.away);
    for (const socket of this.#followers.keys()) setTimeout(() => socket.terminate(), 1_000).unref();
  }
}
