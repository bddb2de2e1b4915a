/** One session: its replay, what it did beside its screen, who it was, and how to take it away and check it. */
import { useEffect, useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { SearchResult, SessionFact, SessionInfo } from '#schemas/api.js';
import { markerOf } from '#schemas/marker.js';
import { momentOf } from '#schemas/opening.js';
import { cutText } from '#schemas/recording/line.js';
import { ApiFailure } from '../parts/api.js';
import { bytes, duration, isoTime, moment } from '../parts/format.js';
import { Copy, Empty, Exit, Failure, NamedValues, StateBadge, useTitle } from '../parts/basics.js';
import type { NamedRows } from '../parts/basics.js';
import { Facts, valuesOf } from './facts.js';
import { KernelEvents } from './kernel.js';
import { SafeText } from '../parts/safe-text.js';
import { takeOpening } from '../parts/opening.js';
import type { Opened } from '../parts/opening.js';
import { Player } from '../player/player.js';
import { useDrawn, useReplay } from '../player/use-replay.js';
import { queryText } from '../parts/query-text.js';
import { visible } from '../parts/text.js';
import { useJson } from '../parts/use-json.js';
import { VerifyPanel } from '../verify/panel.js';
import { modeOf } from '../search/search.js';

const REFRESH_LIVE_MS = 3_000;
const none: readonly never[] = [];

export function SessionPage({ id }: { readonly id: string }): ReactNode {
  const [query] = useSearchParams();
  const q = query.get('q') ?? '';
  const startAt = momentOf(query.get('t'));
  const [ended, setEnded] = useState(false);
  const { opened, error } = useOpening(id, startAt);
  const open = useReplay(opened, startAt);
  const empty = open !== null && !open.index.live && open.index.segments.length === 0;
  const drawn = useDrawn(open, error !== null || empty);
  // What is sealed changes no more: its opening said it all. A refused opening leaves what may be listed.
  const info = useJson<SessionInfo>(
    (opened === null && error === null) || opened?.session.state === 'sealed' ? null : `/api/sessions/${id}`,
    ended ? undefined : REFRESH_LIVE_MS,
  );
  const session = info.data ?? opened?.session ?? null;
  if (session !== null && !ended && session.state === 'sealed') setEnded(true);
  const facts = useJson<readonly SessionFact[]>(
    drawn ? `/api/sessions/${id}/facts` : null,
    session?.state === 'live' ? REFRESH_LIVE_MS : undefined,
  );
  const markers = useMemo(
    () => (facts.data ?? none).flatMap((fact) => markerOf(fact.offset, fact.kind, valuesOf(fact)) ?? []),
    [facts.data],
  );
  const found = useJson<SearchResult>(
    !drawn || q.trim() === '' ? null : `/api/search${queryText({ q, mode: modeOf(query.get('mode')), session: id, limit: 100 })}`,
  );
  const hits = useMemo(() => [...(found.data?.hits ?? none)].sort((a, b) => a.time - b.time), [found.data]);
  useTitle(session === null ? 'Session' : visible(`${session.user} → ${session.login}@${session.node}`));

  if (session === null) return <section className="page">{info.error !== null && <Failure error={info.error} />}</section>;
  return (
    <section className="page session">
      <div className="session-head">
        <div>
          <p className="crumb">
            <Link to="/sessions">Sessions</Link>
          </p>
          <h1>
            <SafeText text={session.user} />
            <span className="arrow" aria-label="as">
              →
            </span>
            <span className="mono">
              <SafeText text={`${session.login}@${session.node}`} />
            </span>
            <StateBadge state={session.state} />
          </h1>
          <p className="sub">
            <time dateTime={isoTime(session.started_at)}>{moment(session.started_at)}</time>
            <span>{duration(session.duration)}</span>
            {session.state !== 'live' && (
              <span>
                exit <Exit session={session} />
              </span>
            )}
          </p>
          {session.command !== '' && (
            <p className="session-command">
              <code>
                <SafeText text={cutText(session.command, 4096)} />
              </code>
            </p>
          )}
        </div>
        <Actions session={session} />
      </div>
      {error !== null && <Failure error={error} />}
      {empty ? (
        <Empty title="Nothing of this recording is stored yet">
          <p>Its gateway still has it; it appears here once it has been handed over.</p>
        </Empty>
      ) : open === null ? (
        <div className="player player-waiting" aria-busy={error === null} />
      ) : (
        <Player replay={open.replay} index={open.index} markers={markers} hits={hits} query={q} />
      )}
      {drawn && (
        <div className="below">
          <div className="below-main">
            {facts.data === null ? (
              facts.error !== null && <Failure error={facts.error} />
            ) : (
              <Facts facts={facts.data} onSeek={(ms) => void open?.replay.seek(ms)} />
            )}
            <KernelEvents session={id} live={session.state === 'live'} onSeek={(ms) => void open?.replay.seek(ms)} />
          </div>
          <Details session={session} />
        </div>
      )}
    </section>
  );
}

/** The answer that the page begins with; at once, when it was asked for early and is there. */
function useOpening(id: string, at: number | null): { readonly opened: Opened | null; readonly error: ApiFailure | null } {
  const [opening] = useState(() => takeOpening(id, at));
  const [state, setState] = useState<{ opened: Opened | null; error: ApiFailure | null }>(() => ({ opened: opening.now(), error: null }));
  useEffect(() => {
    let gone = false;
    opening.answer.then(
      (opened) => !gone && setState((before) => (before.opened === opened ? before : { opened, error: null })),
      (failure: unknown) =>
        !gone &&
        setState({
          opened: null,
          error: failure instanceof ApiFailure ? failure : new ApiFailure('INTERNAL', 'the replay cannot be opened', ''),
        }),
    );
    return () => void (gone = true);
  }, [opening]);
  return state;
}

const formats = [
  ['cast.zst', 'Recording with proof', 'verifies offline; zstd -d opens it'],
  ['cast', 'asciicast v3', 'for any asciinema player'],
  ['txt', 'Plain text', 'what scrolled over the screen'],
  ['json', 'JSON', 'facts and rendered lines'],
] as const;

function Actions({ session }: { readonly session: SessionInfo }): ReactNode {
  return (
    <div className="actions">
      <details className="menu" name="actions">
        <summary>Verify</summary>
        <div className="menu-body">
          <VerifyPanel session={session} />
        </div>
      </details>
      <details className="menu" name="actions">
        <summary>Export</summary>
        <div className="menu-body">
          {formats.map(([format, title, hint]) => (
            <a
              key={format}
              className="menu-item"
              href={`/api/sessions/${session.id}/export?format=${format}`}
              download={`${session.id}.${format}`}
            >
              <strong>{title}</strong>
              <span>{hint}</span>
            </a>
          ))}
        </div>
      </details>
    </div>
  );
}

function Details({ session }: { readonly session: SessionInfo }): ReactNode {
  const rows: NamedRows = [
    ['Kind', session.kind],
    ['From', <SafeText key="from" text={session.source_address} />],
    ['Client', <SafeText key="client" text={session.client_version} />],
    ['Gateway', <SafeText key="gateway" text={session.gateway} />],
    ['Terminal', session.tty ? `${session.cols} × ${session.rows}` : 'none'],
    ['Sent, received', `${bytes(session.bytes_in)}, ${bytes(session.bytes_out)}`],
    ['Recording', `${bytes(session.recording_bytes)}, ${bytes(session.stored_bytes)} stored`],
    ['Ended', session.ended_at === null ? 'not yet' : moment(session.ended_at)],
  ];
  return (
    <aside className="details">
      <h2>Session</h2>
      <NamedValues rows={rows} />
      <h2>In a terminal</h2>
      <Copy text={`steno play ${session.id}`} label="Copy the command" />
    </aside>
  );
}
