/** One session: its replay, the panes of its activity, facts about the user, and how to export and verify it. */
import { useCallback, useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { FindingList } from '#schemas/api/recordings/findings.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { markerOf } from '#schemas/marker.js';
import { momentOf } from '#schemas/api/recordings/opening.js';
import { cutText } from '#schemas/recording/line.js';
import { queryText } from '../parts/query-text.js';
import { ViewedBy } from '../audit/viewed-by.js';
import { bytes, duration, isoTime, moment } from '../parts/format.js';
import { Copy, Empty, Exit, Failure, LivePeople, NamedValues, StateBadge, useTitle } from '../parts/basics.js';
import type { NamedRows } from '../parts/basics.js';
import { NotesPanel, useNotes } from '../cases/notes.js';
import { Actions } from './actions.js';
import { Facts, valuesOf } from './facts.js';
import { Files } from './files.js';
import { Unlisted } from './unlisted.js';
import { SafeText } from '../parts/safe-text.js';
import { useOpening } from '../parts/use-opening.js';
import { Alike } from '../patterns/alike.js';
import { Panes } from '../panes/panes.js';
import { useCommands } from '../panes/use-commands.js';
import { useTrail } from '../panes/use-trail.js';
import { Player } from '../player/player.js';
import { useDrawn, useReplay } from '../player/use-replay.js';
import { visible } from '../parts/text.js';
import { useAnswer } from '../parts/use-json.js';
import { Watermark } from '../parts/watermark.js';

const REFRESH_LIVE_MS = 3_000;
const REFRESH_TIMELINE_MS = 10_000;
const TIMELINE_PARTS = 400;
const none: readonly never[] = [];

export function SessionPage({ id, me }: { readonly id: string; readonly me: Me }): ReactNode {
  const [query, setQuery] = useSearchParams();
  const [everything, setEverything] = useState(false);
  const q = query.get('q') ?? '';
  const startAt = momentOf(query.get('t'));
  const [ended, setEnded] = useState(false);
  const { opened, error, again } = useOpening(id, startAt);
  const unlisted = error?.code === 'SESSION_UNKNOWN';
  const open = useReplay(opened, startAt);
  const empty = open !== null && !open.index.live && open.index.segments.length === 0;
  const drawn = useDrawn(open, (error !== null && !unlisted) || empty);
  // A sealed session no longer changes, so the opening is sufficient, except for the session that this one was opened from. If the
  // opening was refused, what may be listed is still shown.
  const info = useAnswer(
    'GET /api/sessions/:id',
    (opened === null && error === null) || unlisted || (opened?.session.state === 'sealed' && !drawn) ? null : { params: { id } },
    ended ? undefined : REFRESH_LIVE_MS,
  );
  const session = info.data ?? opened?.session ?? null;
  if (session !== null && !ended && (session.state === 'sealed' || session.state === 'interrupted')) setEnded(true);
  // Kernel events and findings of a session's last moments come after its end.
  const grows = session !== null && !ended;
  const facts = useAnswer('GET /api/sessions/:id/facts', drawn ? { params: { id } } : null, grows ? REFRESH_LIVE_MS : undefined);
  const noticed = useAnswer(
    'GET /api/findings',
    drawn && me.findings ? { query: { session: id, limit: 200 } } : null,
    grows ? REFRESH_LIVE_MS : undefined,
  );
  const notes = useNotes(id, drawn);
  const timeline = useAnswer(
    'GET /api/sessions/:id/timeline',
    drawn ? { params: { id }, query: { parts: TIMELINE_PARTS } } : null,
    grows ? REFRESH_TIMELINE_MS : undefined,
  );
  const trail = useTrail(drawn ? id : null, everything, grows);
  const commands = useCommands(drawn ? id : null, grows);
  const onSearch = useCallback(
    (text: string) =>
      setQuery(
        (before) => {
          const after = new URLSearchParams(before);
          if (text === '') after.delete('q');
          else after.set('q', text);
          // Text typed here is searched for literally.
          after.set('mode', 'substring');
          return after;
        },
        { replace: true },
      ),
    [setQuery],
  );
  const markers = useMemo(
    () => [
      ...notes.markers,
      ...(facts.data ?? none).flatMap((fact) => markerOf(fact.offset, fact.kind, valuesOf(fact)) ?? []),
      ...(noticed.data?.findings ?? none).flatMap(({ offset, title, severity, state }) =>
        offset === null || state === 'dismissed' || state === 'suppressed'
          ? []
          : [{ at: offset, label: `${title} (${severity})`, kind: 'finding' as const }],
      ),
    ],
    [facts.data, noticed.data, notes.markers],
  );
  const found = useAnswer(
    'GET /api/search',
    !drawn || q.trim() === '' ? null : { query: { q, mode: modeOf(query.get('mode')), session: id, limit: 100 } },
  );
  const hits = useMemo(() => [...(found.data?.hits ?? none)].sort((a, b) => a.time - b.time), [found.data]);
  const stops = useMemo(() => (commands.list?.commands ?? none).map(({ at }) => at), [commands.list]);
  useTitle(session === null ? 'Session' : visible(`${session.user} → ${session.login}@${session.node}`));

  if (unlisted) return <Unlisted id={id} onListed={again} />;
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
            <FindingsBadge id={id} list={noticed.data} />
          </h1>
          <p className="sub">
            <time dateTime={isoTime(session.started_at)}>{moment(session.started_at)}</time>
            <span>{duration(session.duration)}</span>
            {session.state !== 'live' && (
              <span>
                exit <Exit session={session} />
              </span>
            )}
            <LivePeople session={session} />
          </p>
          {session.command !== '' && (
            <p className="session-command">
              <code>
                <SafeText text={cutText(session.command, 4096)} />
              </code>
            </p>
          )}
        </div>
        <Actions session={session} replay={open?.replay ?? null} />
      </div>
      {error !== null && <Failure error={error} />}
      {empty ? (
        <Empty title="Nothing of this recording is stored yet">
          <p>Its gateway still has it; it appears here once it has been handed over.</p>
        </Empty>
      ) : open === null ? (
        <div className="bench">
          <div className="player player-waiting" aria-busy={error === null} />
          <div className="panes" />
        </div>
      ) : (
        <div className="bench">
          <Player
            replay={open.replay}
            index={open.index}
            timeline={timeline.data}
            markers={markers}
            hits={hits}
            query={q}
            searchedAt={found.at}
            onSearchAgain={found.reload}
            stops={stops}
            watermark={opened?.watermark}
          />
          {drawn ? (
            <Panes
              session={session}
              replay={open.replay}
              trail={trail}
              commands={commands}
              facts={facts.data ?? none}
              everything={everything}
              onEverything={setEverything}
              query={q}
              onSearch={onSearch}
              watermark={opened?.watermark}
            />
          ) : (
            <div className="panes" />
          )}
        </div>
      )}
      {drawn && (
        <div className="below marked">
          <div className="below-main">
            <NotesPanel session={id} me={me} notes={notes} replay={open?.replay ?? null} />
            {facts.data === null ? (
              facts.error !== null && <Failure error={facts.error} />
            ) : (
              <>
                <Files session={session} facts={facts.data} onSeek={(ms) => void open?.replay.seek(ms)} />
                <Facts facts={facts.data} onSeek={(ms) => void open?.replay.seek(ms)} />
              </>
            )}
          </div>
          <Details session={session} audit={me.audit} />
          <Watermark mark={opened?.watermark} />
        </div>
      )}
    </section>
  );
}

/** Findings that were not marked as false alarms; links to the list of all. */
function FindingsBadge({ id, list }: { readonly id: string; readonly list: FindingList | null }): ReactNode {
  const count = (list?.findings ?? none).filter(({ state }) => state !== 'dismissed' && state !== 'suppressed').length;
  if (count === 0) return null;
  return (
    <Link to={`/findings${queryText({ session: id, state: 'all' })}`} className="badge badge-findings">
      {count}
      {list?.next === null ? '' : '+'} finding{count === 1 ? '' : 's'}
    </Link>
  );
}

function Details({ session, audit }: { readonly session: SessionInfo; readonly audit: boolean }): ReactNode {
  const { opened_from: outer } = session;
  const rows: NamedRows = [
    ['Kind', session.kind],
    ['From', <SafeText key="from" text={session.source_address} />],
    ...(outer === undefined
      ? []
      : ([
          [
            'Opened inside',
            <Link key="outer" to={`/sessions/${outer.id}`}>
              <SafeText text={`${outer.user} → ${outer.login}@${outer.node}`} />
            </Link>,
          ],
        ] as NamedRows)),
    ['Client', <SafeText key="client" text={session.client_version} />],
    ['Gateway', <SafeText key="gateway" text={session.gateway} />],
    ['Terminal', session.tty ? `${session.cols} × ${session.rows}` : 'none'],
    // These counts are those of the last stored part; before the first, they say nothing.
    ...(session.state === 'live' && session.stored_bytes === 0
      ? ([['Recording', 'not stored yet']] as NamedRows)
      : ([
          ['Sent, received', `${bytes(session.bytes_in)}, ${bytes(session.bytes_out)}`],
          ['Recording', `${bytes(session.recording_bytes)}, ${bytes(session.stored_bytes)} stored`],
        ] as NamedRows)),
    ['Ended', session.ended_at === null ? 'not yet' : moment(session.ended_at)],
  ];
  return (
    <aside className="details">
      <h2>Session</h2>
      <NamedValues rows={rows} />
      {audit && <ViewedBy session={session.id} />}
      <Alike session={session.id} />
      <h2>In a terminal</h2>
      <Copy text={`steno play ${session.id}`} label="Copy the command" />
      {session.live !== undefined && <Copy text={`steno join ${session.id}`} label="Copy the command to join" />}
    </aside>
  );
}

type Mode = 'auto' | 'words' | 'substring' | 'regex';

function modeOf(text: string | null): Mode {
  return text === 'words' || text === 'substring' || text === 'regex' ? text : 'auto';
}
