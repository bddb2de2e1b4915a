/**
 * The lines of the screen as text, each once with the time it first appeared: to read, copy and search, and for screen readers in place
 * of the terminal. Pages are fetched from the API as needed; the page holds `MAX_LINES` at most.
 */
import { memo, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import type { KeyboardEvent, ReactNode } from 'react';
import { lastAtOrBefore } from '#schemas/api/recordings/opening.js';
import type { TranscriptLine, TranscriptPage } from '#schemas/api/recordings/replay.js';
import { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';
import { ask } from '../parts/endpoints.js';
import { clock } from '../parts/format.js';
import { MarkedTexts } from '../parts/safe-text.js';

const PAGE = 300;
const MAX_LINES = 1_200;
const REFRESH_LIVE_MS = 3_000;

interface Known extends TranscriptPage {
  /** Offsets of the earliest and the latest line. */
  readonly from: number;
  readonly until: number;
}

function knownOf(page: TranscriptPage): Known {
  let [from, until] = [Number.POSITIVE_INFINITY, 0];
  for (const { offset } of page.lines) {
    from = Math.min(from, offset);
    until = Math.max(until, offset);
  }
  return { ...page, from, until };
}

export interface TranscriptProps {
  readonly session: string;
  readonly live: boolean;
  readonly position: number;
  readonly query: string;
  readonly onSeek: (ms: number) => void;
  readonly onSearch: (query: string) => void;
}

export function Transcript({ session, live, position, query, onSeek, onSearch }: TranscriptProps): ReactNode {
  const { known, error, extend } = useLines(session, live, position);
  const box = useRef<HTMLOListElement>(null);
  const inUse = useRef(false);
  const [copied, setCopied] = useState(false);
  const lines = known?.lines ?? [];
  const current = lines.length === 0 || lines[0]!.offset > position ? -1 : lastAtOrBefore(lines.length, (i) => lines[i]!.offset, position);
  const place = lines[current]?.place ?? null;

  // The list is drawn once per set of lines; a change of the current line, which follows the clock, touches two elements.
  useLayoutEffect(() => {
    const list = box.current;
    if (list === null || place === null) return undefined;
    const line = list.querySelector<HTMLElement>(`[data-place="${place}"]`);
    if (line === null) return undefined;
    line.setAttribute('aria-current', 'true');
    if (!inUse.current && !list.contains(document.activeElement)) {
      const top = line.offsetTop - list.offsetTop;
      if (top < list.scrollTop || top + line.offsetHeight > list.scrollTop + list.clientHeight - 24)
        list.scrollTop = Math.max(0, top - list.clientHeight / 2);
    }
    return () => line.removeAttribute('aria-current');
  }, [place, known]);

  const copy = (): void => {
    const selected = lines.map(({ text }) => text).join('\n');
    navigator.clipboard.writeText(selected).then(
      () => setCopied(true),
      () => undefined,
    );
  };
  return (
    <div className="transcript">
      <form
        className="transcript-bar"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          onSearch(String(new FormData(event.currentTarget).get('q') ?? '').trim());
        }}
      >
        <input
          key={query}
          name="q"
          type="search"
          defaultValue={query}
          placeholder="Find on the screens of this session"
          aria-label="Find on the screens of this session"
          maxLength={200}
        />
        <button type="button" className="quiet" onClick={copy} disabled={lines.length === 0} title="Copies the lines that are loaded">
          {copied ? 'Copied' : 'Copy text'}
        </button>
      </form>
      {error !== null && <Failure error={error} />}
      {known !== null && lines.length === 0 && <p className="pane-empty">No line was seen on the screen of this session.</p>}
      <ol
        ref={box}
        className="lines"
        aria-label="Lines of the screen"
        onPointerEnter={() => (inUse.current = true)}
        onPointerLeave={() => (inUse.current = false)}
        onKeyDown={moveFocus}
      >
        {known?.earlier === true && (
          <li className="line-more">
            <button type="button" className="seek" onClick={() => extend('before')}>
              Earlier lines
            </button>
          </li>
        )}
        <Lines lines={lines} query={query} onSeek={onSeek} />
        {known?.more === true && lines.length > 0 && (
          <li className="line-more">
            <button type="button" className="seek" onClick={() => extend('after')}>
              Later lines
            </button>
          </li>
        )}
      </ol>
    </div>
  );
}

const Lines = memo(function Lines({
  lines,
  query,
  onSeek,
}: {
  readonly lines: readonly TranscriptLine[];
  readonly query: string;
  readonly onSeek: (ms: number) => void;
}): ReactNode {
  const needles = query === '' ? [] : [query, ...query.split(/\s+/).filter((word) => word.length > 1)];
  return lines.map(({ place, offset, text }, i) => (
    <li key={place} data-place={place}>
      <button type="button" tabIndex={i === 0 ? 0 : -1} onClick={() => onSeek(offset)} aria-label={`Show the moment at ${clock(offset)}`}>
        {clock(offset)}
      </button>
      <span className="mono">
        <MarkedTexts text={text} needles={needles} />
      </span>
    </li>
  ));
});

/** Moves the focus up and down through the lines: the list is a single tab stop. */
function moveFocus(event: KeyboardEvent<HTMLOListElement>): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  if (step === 0) return;
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const next = buttons[buttons.indexOf(document.activeElement as HTMLButtonElement) + step];
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  next.focus();
}

/** The lines around the position, and those that `extend` adds. */
function useLines(
  session: string,
  live: boolean,
  position: number,
): { readonly known: Known | null; readonly error: ApiFailure | null; readonly extend: (side: 'before' | 'after') => void } {
  const [known, setKnown] = useState<Known | null>(null);
  const [error, setError] = useState<ApiFailure | null>(null);
  const busy = useRef(false);
  const ended = useRef(false);
  useEffect(() => {
    ended.current = false;
    return () => void (ended.current = true);
  }, []);
  const load = useCallback(
    (
      query: { readonly at?: number; readonly after?: string; readonly before?: string },
      join: (page: TranscriptPage) => TranscriptPage,
    ): void => {
      if (busy.current) return;
      busy.current = true;
      ask('GET /api/sessions/:id/lines', { params: { id: session }, query: { ...query, limit: PAGE } })
        .then(
          (page) => {
            if (ended.current) return;
            setKnown(knownOf(join(page)));
            setError(null);
          },
          (failure: unknown) => {
            if (!ended.current)
              setError(failure instanceof ApiFailure ? failure : new ApiFailure('INTERNAL', 'the lines cannot be loaded', ''));
          },
        )
        .finally(() => (busy.current = false));
    },
    [session],
  );
  const extend = useCallback(
    (side: 'before' | 'after'): void => {
      const lines = known?.lines ?? [];
      const edge = side === 'before' ? lines[0] : lines.at(-1);
      if (edge === undefined) return load({}, (page) => page);
      if (side === 'before')
        load({ before: edge.place }, (page) => {
          const all = [...page.lines, ...lines];
          return { lines: all.slice(0, MAX_LINES), earlier: page.earlier, more: (known?.more ?? false) || all.length > MAX_LINES };
        });
      else
        load({ after: edge.place }, (page) => {
          const all = [...lines, ...page.lines];
          return { lines: all.slice(-MAX_LINES), earlier: (known?.earlier ?? false) || all.length > MAX_LINES, more: page.more };
        });
    },
    [known, load],
  );
  useEffect(() => {
    // A failed request is not repeated for each frame; the user retries it.
    if (error !== null) return;
    if (known === null) return load({ at: Math.floor(position) }, (page) => page);
    if (known.lines.length === 0) return;
    // Lines are in the order in which they settled, which is not always the order in which they began.
    const [first, last] = [known.from, known.until];
    const outside = (position < first && known.earlier) || (position > last && known.more);
    if (!outside) return;
    if (position > last && position - last < 60_000) extend('after');
    else load({ at: Math.floor(position) }, (page) => page);
  }, [known, error, position, load, extend]);
  useEffect(() => {
    if (!live || known === null || known.more) return undefined;
    const timer = setInterval(() => extend('after'), REFRESH_LIVE_MS);
    return () => clearInterval(timer);
  }, [live, known, extend]);
  return { known, error, extend };
}
