/** A replay for a session: its index, its segments, and the live socket while the session runs (schemas/player/). */
import { useEffect, useLayoutEffect, useState, useSyncExternalStore } from 'react';
import { Follower } from '#schemas/player/follower.js';
import type { SocketEvents } from '#schemas/player/follower.js';
import { ApiFailure } from '../parts/api.js';
import { addressOf, ask, respond } from '../parts/endpoints.js';
import type { Opened } from '../parts/opening.js';
import { afterFrame } from './after-frame.js';
import { after } from './timers.js';
import { Replay } from '#schemas/player/replay.js';
import type { ReplayIndex, ReplayState } from '#schemas/player/replay.js';
import { parseLines } from '#schemas/player/segments.js';
import type { ParsedLines } from '#schemas/player/segments.js';

export interface OpenReplay {
  readonly replay: Replay;
  readonly index: ReplayIndex;
}

/**
 * Opens the replay with the first answer, at `startAt` (null: as schemas/player/replay.ts says). Layout
 * effects are used here and where the terminal is made, so that the page and its player are drawn in the same frame.
 */
export function useReplay(opened: Opened | null, startAt: number | null): OpenReplay | null {
  const [open, setOpen] = useState<OpenReplay | null>(null);
  useLayoutEffect(() => {
    if (opened === null) return undefined;
    const { id, tty } = opened.session;
    const readIndex = (): Promise<ReplayIndex> => ask('GET /api/sessions/:id/segments', { params: { id } });
    const connect = (block: number, { message, closed }: SocketEvents): (() => void) => {
      const url = new URL(addressOf('GET /api/sessions/:id/live', { params: { id }, query: { after: block, drafts: '1' } }), location.href);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      const socket = new WebSocket(url);
      socket.onmessage = ({ data }) => {
        if (typeof data === 'string') message(data);
      };
      socket.onclose = ({ code }) => closed(code);
      return () => socket.close();
    };
    const parse = (from: number, text: string): ParsedLines => parseLines(text, from, !tty);
    const load = async (n: number): Promise<ParsedLines> => {
      const segment = await respond('GET /api/sessions/:id/segments/:n', { params: { id, n: String(n) } });
      const from = Number(segment.headers.get('x-steno-segment-start'));
      const text = await segment.text();
      if (from === follower.index.segments[n]?.start) return parse(from, text);
      // The session was sealed meanwhile, and its segments were renumbered.
      await follower.refresh();
      throw new ApiFailure('NOT_FOUND', 'this part has moved', 'Seek again.');
    };
    const { first, lines, index } = opened;
    const replay = new Replay({
      index,
      newlines: !tty,
      now: () => performance.now(),
      after,
      startAt,
      load,
      later: afterFrame,
      first: first === null ? null : { n: first, lines: parse(index.segments[first]!.start, lines) },
    });
    setOpen({ replay, index });
    const follower = new Follower({ replay, index, readIndex, connect, after, indexed: (newer) => setOpen({ replay, index: newer }) });
    return () => {
      follower.close();
      replay.close();
      setOpen(null);
    };
    // The starting moment is used once, when the session is opened.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [opened]);
  return open;
}

export function useReplayState(replay: Replay): ReplayState {
  return useSyncExternalStore(replay.subscribe, () => replay.state);
}

/** Whether the first screen is drawn, or will never be: the rest of the page is loaded after it. */
export function useDrawn(open: OpenReplay | null, failed: boolean): boolean {
  const [drawn, setDrawn] = useState(false);
  const replay = open?.replay ?? null;
  useEffect(() => {
    if (failed) setDrawn(true);
    if (replay === null) return undefined;
    let cancel = (): void => undefined;
    const look = (): void => {
      if (replay.state.phase === 'loading') return;
      stop();
      cancel = afterFrame(() => setDrawn(true));
    };
    const stop = replay.subscribe(look);
    look();
    return () => {
      stop();
      cancel();
    };
  }, [replay, failed]);
  return drawn;
}

/** The position in ms, updated each frame while playing. */
export function usePosition(replay: Replay): number {
  const state = useReplayState(replay);
  const [position, setPosition] = useState(replay.position);
  useEffect(() => {
    let frame = 0;
    const renew = (): void => {
      setPosition(replay.position);
      if (state.phase === 'playing') frame = requestAnimationFrame(renew);
    };
    renew();
    return () => cancelAnimationFrame(frame);
  }, [replay, state]);
  return position;
}
