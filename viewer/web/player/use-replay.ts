/**
 * A replay for a session: its index, its segments, and the live socket while it runs.
 *
 * The socket closes with 1000 when the session is over, 4409 when blocks were stored meanwhile and 4503 when the stream
 * is gone: then the index is read again and, while the session lives, the socket opened anew after what is known.
 */
import { useEffect, useState, useSyncExternalStore } from 'react';
import type { SegmentIndex, SessionInfo } from '#schemas/api.js';
import { ApiFailure, getJson, getSegment } from '../api.js';
import { Replay } from './replay.js';
import type { ReplayState } from './replay.js';
import { lastAtOrBefore, parseLines } from './segments.js';
import type { ParsedLines } from './segments.js';

/** A tail longer than this asks whether segments have taken it over. Characters. */
const TAIL_CHARACTERS = 1 << 20;
const INDEX_AGAIN_MS = 30_000;
const RETRY_MS = 1_000;

/** What can be asked for before anything is known of the session: its index, and the segment that will be shown first. */
export interface EarlyReplay {
  readonly index: Promise<SegmentIndex>;
  readonly first: Promise<{ readonly n: number; readonly start: number; readonly text: string } | null>;
}

export function fetchEarly(id: string, startAt: number | null): EarlyReplay {
  const index = getJson<SegmentIndex>(`/api/sessions/${id}/segments`);
  const first = index.then(async ({ segments, live, duration }) => {
    if (segments.length === 0) return null;
    const n = lastAtOrBefore(segments.length, (i) => segments[i]!.start, startAt ?? (live ? duration : 0));
    return { n, ...(await getSegment(`/api/sessions/${id}/segments/${n}`)) };
  });
  // Whoever waits for them hears of a failure.
  index.catch(() => undefined);
  return { index, first: first.catch(() => null) };
}

export interface OpenReplay {
  readonly replay: Replay;
  readonly index: SegmentIndex;
}

export function useReplay(session: SessionInfo | null, startAt: number | null, early: EarlyReplay): { readonly open: OpenReplay | null; readonly error: ApiFailure | null } {
  const [open, setOpen] = useState<OpenReplay | null>(null);
  const [error, setError] = useState<ApiFailure | null>(null);
  const id = session?.id ?? null;
  const newlines = session !== null && !session.tty;
  useEffect(() => {
    if (id === null) return undefined;
    const base = `/api/sessions/${id}/segments`;
    let closed = false;
    let replay: Replay | null = null;
    let socket: WebSocket | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let index: SegmentIndex;

    const refresh = async (): Promise<void> => {
      index = await getJson<SegmentIndex>(base);
      if (closed) return;
      replay!.update(index);
      setOpen({ replay: replay!, index });
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
      const url = new URL(`/api/sessions/${id}/live?after=${replay!.block}`, location.href);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      socket = new WebSocket(url);
      socket.onmessage = ({ data }) => {
        if (closed || typeof data !== 'string') return;
        replay!.live(data);
        if (replay!.tailCharacters > TAIL_CHARACTERS) again(0);
      };
      socket.onclose = ({ code }) => {
        socket = null;
        if (!closed) again(code === 1000 || code === 4409 ? RETRY_MS / 4 : RETRY_MS);
      };
      again(INDEX_AGAIN_MS);
    };
    const load = async (n: number): Promise<ParsedLines> => {
      const known = await early.first;
      const { start: from, text } = known?.n === n ? known : await getSegment(`${base}/${n}`);
      if (from === index.segments[n]?.start) return parseLines(text, from, newlines);
      // The session was sealed meanwhile, and its segments are numbered anew.
      await refresh();
      throw new ApiFailure('NOT_FOUND', 'this part has moved', 'Seek again.');
    };
    const start = async (): Promise<void> => {
      index = await early.index;
      if (closed) return;
      replay = new Replay({
        index, newlines, now: () => performance.now(), startAt: startAt ?? (index.live ? 'end' : 0),
        load,
      });
      setOpen({ replay, index });
      if (index.live) connect();
    };
    start().catch((failure: unknown) => {
      if (!closed) setError(failure instanceof ApiFailure ? failure : new ApiFailure('INTERNAL', 'the replay cannot be opened', ''));
    });
    return () => {
      closed = true;
      clearTimeout(timer);
      socket?.close();
      replay?.close();
      setOpen(null);
    };
    // The moment to begin at counts once, when the session is opened.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [id, newlines]);
  return { open, error };
}

export function useReplayState(replay: Replay): ReplayState {
  return useSyncExternalStore(replay.subscribe, () => replay.state);
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
