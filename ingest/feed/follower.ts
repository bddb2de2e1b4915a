/**
 * One follower of one session: sends `block` frames after a given block, first from the stores, then as they arrive.
 *
 * The follower pulls: it looks for the next block in memory, then in the parts, and waits if it is in neither, so a slow
 * reader delays only itself. It ends with `over` when the session ends, and with `away` when the session's gateway
 * disconnects; the reader then reconnects, naming the last block it has (schemas/feed.ts). Tested in
 * ingest/uplink/connection.test.ts.
 */
import type { WebSocket } from 'ws';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import { feedCloses } from '#schemas/feed.js';
import type { FeedRequest } from '#schemas/feed.js';
import { encodeUplink } from '#schemas/uplink.js';
import type { StoredPart } from '#recordings/read/stored-recording.js';
import { StoredTail } from '#recordings/derive/stored-tail.js';
import { sha256 } from '#runtime/sha256.js';
import type { SessionWriter, WriterParts } from '../writing/session-writer.js';

/** Limit per follower; there may be hundreds of followers. */
const MAX_BUFFERED = 16 * 1024;

interface Sent {
  readonly n: number;
  readonly head: Uint8Array;
  readonly content: Uint8Array;
}

/** Follows from block `after` + 1 on. `drafts`: also sends what is recorded of a block before the block is complete. */
export async function follow(
  socket: WebSocket,
  parts: WriterParts,
  writer: SessionWriter,
  { after, drafts }: Pick<FeedRequest, 'after' | 'drafts'>,
): Promise<void> {
  const stop = drafts ? writer.followed() : (): void => undefined;
  try {
    await sendBlocks(socket, parts, writer, after, drafts);
  } finally {
    stop();
  }
}

async function sendBlocks(socket: WebSocket, parts: WriterParts, writer: SessionWriter, after: number, drafts: boolean): Promise<void> {
  let last = Math.max(0, after);
  /** Number of bytes sent of the draft of block `n`. */
  let drafted = { n: 0, to: 0 };
  const open = (): boolean => socket.readyState === socket.OPEN;
  while (open()) {
    // Obtain this first: changes while blocks are being read are not missed.
    const change = writer.change();
    const { storedParts, stored } = writer;
    const blocks = last < stored ? await storedAfter(parts, writer.session, [...storedParts], last) : writer.held(last);
    for (const { n, head, content } of blocks) {
      if (n !== last + 1) break;
      if (!open()) return;
      await send(socket, encodeUplink('block', { session: writer.session, n, head: toHex(head) }, content));
      last = n;
    }
    if (last < writer.last) continue;
    const { draft } = writer;
    if (drafts && draft !== null && draft.n === last + 1) {
      // A draft that became shorter has started over.
      const from = drafted.n === draft.n && drafted.to <= draft.content.length ? drafted.to : 0;
      const bytes = draft.content.subarray(from);
      if (bytes.length > 0) await send(socket, encodeUplink('draft', { session: writer.session, n: draft.n, from }, bytes));
      drafted = { n: draft.n, to: draft.content.length };
    }
    if (writer.closed) return socket.close(feedCloses.over);
    if (writer.stopped) return socket.close(feedCloses.away);
    await change;
  }
}

/** Resolves when the reader has taken enough of the frames sent before. */
function send(socket: WebSocket, frame: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const wait = socket.bufferedAmount > MAX_BUFFERED;
    socket.send(frame, () => {
      if (wait) resolve();
    });
    if (!wait) resolve();
  });
}

/** The rest of the part that contains block `after + 1`. */
async function storedAfter(parts: WriterParts, session: string, stored: readonly StoredPart[], after: number): Promise<Sent[]> {
  const tail = new StoredTail(parts, stored);
  for (let part = stored.length; part >= 1; part--) {
    const { proof } = await tail.part(part);
    if (part > 1 && proof.first_block > after + 1) continue;
    let head = part === 1 ? null : Buffer.from((await tail.part(part - 1)).proof.checkpoint.head, 'hex');
    const sent: Sent[] = [];
    for (const { n, content } of await tail.blocks(part)) {
      head = Buffer.from(chainNext(sha256, head ?? chainStart(sha256, session), content));
      if (n > after) sent.push({ n, head, content });
    }
    return sent;
  }
  return [];
}
