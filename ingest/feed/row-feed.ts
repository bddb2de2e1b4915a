/**
 * Followers of all rows: rows on their way into the event store are sent to every connected follower (schemas/row-feed.ts).
 * A new follower first gets the rows that may not be in the store yet; all earlier rows are in it.
 *
 * Nothing is kept for a disconnected follower. A follower that does not read is disconnected once `MAX_BUFFERED` bytes wait
 * for it: the rows it misses are in the store. Tested in test/survival/analyzer-feed.test.ts.
 */
import type { WebSocket } from 'ws';
import { formatRowsWanted, rowFeedCloses, rowMessages, rowsOfShares } from '#schemas/row-feed.js';
import type { RowMessage, RowsWanted } from '#schemas/row-feed.js';

const MAX_BUFFERED = 64 << 20;

export class RowFeed {
  /** Followers that want the same rows in the same form, by `formatRowsWanted`: messages are made once for all of them. */
  readonly #audiences = new Map<string, { readonly wanted: RowsWanted; readonly followers: Set<WebSocket> }>();
  readonly #maxBuffered: number;
  readonly #onFollowed: (on: boolean) => void;

  /** `onFollowed`: called with true for each new follower, and with false when the last one has left. */
  constructor(maxBuffered = MAX_BUFFERED, onFollowed: (on: boolean) => void = () => undefined) {
    this.#maxBuffered = maxBuffered;
    this.#onFollowed = onFollowed;
  }

  get followed(): boolean {
    return this.#audiences.size > 0;
  }

  /** `pending`: rows already sent to others that may not be in the store yet. */
  add(socket: WebSocket, pending: Iterable<RowMessage> = [], wanted: RowsWanted = { grouped: false, shares: null }): void {
    for (const rows of pending) for (const message of messagesOf(rows, wanted)) socket.send(message, { binary: false });
    const key = formatRowsWanted(wanted);
    const audience = this.#audiences.get(key) ?? { wanted, followers: new Set() };
    this.#audiences.set(key, audience);
    audience.followers.add(socket);
    this.#onFollowed(true);
    socket.on('close', () => this.#leave(socket));
    socket.on('error', () => undefined);
    socket.on('message', () => socket.close(rowFeedCloses.misuse));
  }

  publish(batch: RowMessage): void {
    for (const { wanted, followers } of [...this.#audiences.values()]) this.#publish(messagesOf(batch, wanted), followers);
  }

  #publish(messages: Iterable<string>, followers: ReadonlySet<WebSocket>): void {
    for (const message of messages) {
      for (const socket of followers) {
        if (socket.readyState !== socket.OPEN) continue;
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
    for (const [key, { followers }] of this.#audiences) {
      if (!followers.delete(socket)) continue;
      if (followers.size === 0) this.#audiences.delete(key);
      if (this.#audiences.size === 0) this.#onFollowed(false);
    }
  }

  close(): void {
    for (const { followers } of this.#audiences.values())
      for (const socket of followers) {
        socket.close(rowFeedCloses.away);
        setTimeout(() => socket.terminate(), 1_000).unref();
      }
  }
}

function messagesOf(batch: RowMessage, { grouped, shares }: RowsWanted): Iterable<string> {
  return rowMessages(shares === null ? batch : rowsOfShares(batch, shares), grouped);
}
