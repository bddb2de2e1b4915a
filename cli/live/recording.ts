/** The recording of a live session as the viewer has it, followed while the session runs: needs the rights to view and to follow. */
import { WebSocket } from 'ws';
import { decodeOpening } from '#schemas/api/recordings/opening.js';
import type { SessionOpening } from '#schemas/api/recordings/opening.js';
import { followSession, listSegments, openSession, showSegment } from '#schemas/api/recordings/sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { targetOf } from '#schemas/endpoint/target.js';
import { liveCloses } from '#schemas/feed.js';
import { Follower } from '#schemas/player/follower.js';
import type { SocketEvents } from '#schemas/player/follower.js';
import { Replay } from '#schemas/player/replay.js';
import type { ReplayIndex } from '#schemas/player/replay.js';
import { parseLines } from '#schemas/player/segments.js';
import type { ParsedLines } from '#schemas/player/segments.js';
import type { Client } from '../client/client.js';
import { readText } from '../client/read-text.js';

/** As many bytes as ingest puts into one message, with room for its frame. */
const MAX_MESSAGE = 1 << 20;

export interface LiveRecording {
  readonly opening: SessionOpening;
  readonly replay: Replay;
  close(): void;
}

/** Begins at the end of what there is. */
export async function openRecording(client: Client, id: string): Promise<LiveRecording> {
  const { opening, lines } = decodeOpening(await readText(await client.stream(targetOf(openSession.path, { id })), 'the session'));
  const { index, first } = opening;
  const newlines = !opening.session.tty;
  const load = async (n: number): Promise<ParsedLines> => {
    const text = await readText(await client.stream(targetOf(showSegment.path, { id, n })), `segment ${n}`);
    return parseLines(text, follower.index.segments[n]?.start ?? 0, newlines);
  };
  const replay = new Replay({
    ...{ index, newlines, after, load, startAt: null, now: () => performance.now() },
    first: first === null ? null : { n: first, lines: parseLines(lines, index.segments[first]!.start, newlines) },
  });
  const follower: Follower<ReplayIndex> = new Follower<ReplayIndex>({
    ...{ replay, index, after },
    readIndex: () => call(client.viewer, listSegments, { params: { id } }),
    connect: (block, events) => connect(client, id, block, events),
  });
  return {
    opening,
    replay,
    close() {
      follower.close();
      replay.close();
    },
  };
}

function connect(client: Client, id: string, block: number, { message, closed }: SocketEvents): () => void {
  const { url, headers, ca } = client.socket(targetOf(followSession.path, { id }, { after: block, drafts: '1' }));
  const socket = new WebSocket(url, { headers, maxPayload: MAX_MESSAGE, ...(ca === undefined ? {} : { ca }) });
  let code: number | undefined;
  socket.on('message', (data, binary) => {
    if (!binary && Buffer.isBuffer(data)) message(data.toString('utf8'));
  });
  socket.on('unexpected-response', (_, { statusCode = 0 }) => {
    // Refused: asking again each second would change nothing.
    if (statusCode >= 400 && statusCode < 500 && statusCode !== 429) code = liveCloses.misuse;
    socket.terminate();
  });
  socket.on('error', () => undefined);
  socket.on('close', (given) => closed(code ?? given));
  return () => socket.terminate();
}

export function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}
