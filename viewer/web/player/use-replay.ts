/**
 * A replay for a session: its index, its segments, and the live socket while it runs.
 *
 * Whatever the socket closes with (schemas/feed.ts), the index is read again and, while the session lives, the socket is
 * opened anew after the last block known: sooner when that is because blocks were stored meanwhile or the session ended.
 */
import { useEffect, useLayoutEffect, useState, useSyncExternalStore } from 'react';
import { liveCloses } from '#schemas/feed.js';
import { ApiFailure } from '../parts/api.js';
import { addressOf, ask, respond } from '../parts/endpoints.js';
import type { Opened } from '../parts/opening.js';
import { afterFrame } from './after-frame.js';
import { Replay } from './replay.js';
import type { ReplayIndex, ReplayState } from './replay.js';
import { parseLines } from './segments.js';
import type { ParsedLines } from './segments.js';

/** A tail longer than this asks whether segments have taken it over. Characters. */
const TAIL_CHARACTERS = 1 << 20;
const INDEX_AGAIN_MS = 30_000;
const RETRY_MS = 1_000;

export interface OpenReplay {
  readonly replay: Replay;
  readonly index: ReplayIndex;
}

/**
 * Opens the replay with the first answer; `startAt` null is the beginning, or the end of a live session. Effects of
 * layout, here and where the terminal is made: the whole is drawn at once, not the page first and its player a frame later.
 */
export function useReplay(opened: Opened | null, startAt: number | null): OpenReplay | null {
  const [open, setOpen] = useState<OpenReplay | null>(null);
  useLayoutEffect(() => {
    if (opened === null) return undefined;
    const { id, tty } = opened.session;
    let closed = false;
    let socket: WebSocket | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let index: ReplayIndex = opened.index;

    const refresh = async (): Promise<void> => {
      index = await ask('GET /api/sessions/:id/segments', { params: { id } });
      if (closed) return;
      replay.update(index);
      setOpen({ replay, index });
    };
    const again = (ms: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        refresh().then(
          () => {
            if (!closed && index.live && socket === null) connect();
            else if (index.live) again(INDEX_AGAIN_MS);
          },
          () => again(RETRY_MS * 3),
        );
      }, ms);
    };
    const connect = (): void => {
      if (closed) return;
      const url = new URL(
        addressOf('GET /api/sessions/:id/live', { params: { id }, query: { after: replay.block, drafts: '1' } }),
        location.href,
      );
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      socket = new WebSocket(url);
      socket.onmessage = ({ data }) => {
        if (closed || typeof data !== 'string') return;
        if (data.startsWith('=') || data.startsWith('+')) replay.draft(data.slice(1), data.startsWith('='));
        else replay.live(data);
        if (replay.tailCharacters > TAIL_CHARACTERS) again(0);
      };
      socket.onclose = ({ code }) => {
        socket = null;
        if (!closed) again(code === liveCloses.over || code === liveCloses.behind ? RETRY_MS / 4 : RETRY_MS);
      };
      again(INDEX_AGAIN_MS);
    };
    const parse = (from: number, text: string): ParsedLines => parseLines(text, from, !tty);
    const load = async (n: number): Promise<ParsedLines> => {
      const segment = await respond('GET /api/sessions/:id/segments/:n', { params: { id, n: String(n) } });
      const from = Number(segment.headers.get('x-steno-segment-start'));
      const text = await segment.text();
      if (from === index.segments[n]?.start) return parse(from, text);
      // The session was sealed meanwhile, and its segments are numbered anew.
      await refresh();
      throw new ApiFailure('NOT_FOUND', 'this part has moved', 'Seek again.');
    };
    const { first, lines } = opened;
    const replay = new Replay({
      index,
      newlines: !tty,
      now: () => performance.now(),
      startAt: startAt ?? (index.live ? 'end' : 0),
      load,
      later: afterFrame,
      first: first === null ? null : { n: first, lines: parse(index.segments[first]!.start, lines) },
    });
    setOpen({ replay, index });
    if (index.live) connect();
    return () => {
      closed = true;
      clearTimeout(timer);
      socket?.close();
      replay.close();
      setOpen(null);
    };
    // The moment to begin at counts once, when the session is opened.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [opened]);
  return open;
}

export function useReplayState(replay: Replay): ReplayState {
  return useSyncExternalStore(replay.subscribe, () => replay.state);
}

/** Whether the first screen is drawn, or there will be none: what else the page shows comes after it. */
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

/** The position in ms, renewed with each frame while playing. */
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
