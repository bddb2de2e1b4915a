/**
 * What a session did apart from its screen, at the player's current moment: processes, files, network, notable events, and the lines of
 * the screen. All panes use the player's position, so they agree with the screen.
 */
import { useCallback, useEffect, useMemo, useState } from 'react';
import type { KeyboardEvent, ReactNode } from 'react';
import type { CommandUnit } from '#schemas/api/recordings/commands.js';
import type { SessionFact, SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { Watermark as Mark } from '#schemas/offline/watermark.js';
import { fold, processForest } from '#schemas/kernel/process-tree.js';
import { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';
import { clock } from '../parts/format.js';
import { Watermark } from '../parts/watermark.js';
import type { Replay } from '#schemas/player/replay.js';
import { usePosition } from '../player/use-replay.js';
import { Commands } from './commands.js';
import { Processes } from './processes.js';
import { actsOf, latestRow, phaseOf, processRows } from './process-rows.js';
import { TouchedList, filesOf, networkOf, notableOf } from './touched.js';
import { Transcript } from './transcript.js';
import { useTrailState } from './use-trail.js';
import type { Trail } from './trail.js';
import type { LoadedCommands } from './use-commands.js';
import './panes.css';

const tabs = [
  ['commands', 'Commands'],
  ['processes', 'Processes'],
  ['files', 'Files'],
  ['network', 'Network'],
  ['notable', 'Notable'],
  ['transcript', 'Transcript'],
] as const;
type Tab = (typeof tabs)[number][0];

export interface PanesProps {
  readonly session: SessionInfo;
  readonly replay: Replay;
  readonly trail: Trail | null;
  readonly commands: LoadedCommands;
  readonly facts: readonly SessionFact[];
  /** Show everything: nothing is folded. */
  readonly everything: boolean;
  readonly onEverything: (everything: boolean) => void;
  readonly query: string;
  readonly onSearch: (query: string) => void;
  readonly watermark: Mark | undefined;
}

export function Panes(props: PanesProps): ReactNode {
  const { session, replay, trail, commands, facts, everything, onEverything, query, onSearch, watermark } = props;
  const position = usePosition(replay);
  const state = useTrailState(trail);
  const [tab, setTab] = useState<Tab | null>(null);
  const [soFar, setSoFar] = useState(false);
  useEffect(() => trail?.need(position), [trail, position]);
  const onSeek = useCallback((ms: number) => void replay.seek(ms), [replay]);
  const onEnd = useCallback(() => trail?.next(), [trail]);

  const forest = useMemo(() => processForest(state.events), [state.events]);
  const folded = useMemo(() => (everything ? { ...forest, login: 0, noise: 0 } : fold(forest)), [forest, everything]);
  const acts = useMemo(() => actsOf(folded.roots), [folded]);
  const rows = useMemo(() => processRows(folded.roots), [folded]);
  const files = useMemo(() => filesOf(acts, facts, everything), [acts, facts, everything]);
  const network = useMemo(() => networkOf(acts, facts, everything), [acts, facts, everything]);
  const notable = useMemo(() => notableOf(acts, folded.other, state.gaps), [acts, folded, state.gaps]);
  // The initial tab must have content: a session without a prompt has no commands, one without an agent on its node no processes.
  const shown =
    tab ??
    (commands.list !== null && commands.list.commands.length === 0
      ? state.known && rows.length === 0
        ? 'transcript'
        : 'processes'
      : 'commands');
  const list = { position, soFar, onSeek, onEnd };
  const isLocal = shown !== 'transcript';
  const unseen = state.known && state.error === null && state.events.length === 0;
  return (
    <section className="panes" aria-label="What the session did">
      <TabBar shown={shown} notable={notable.length} onShow={setTab} />
      <div className="pane" role="tabpanel" id="pane" aria-labelledby={`tab-${shown}`}>
        {isLocal && (
          <div className="pane-bar">
            <span className="pane-summary">
              {(shown === 'commands' ? commands.list !== null : state.known) &&
                summaryOf(shown, { rows, files, network, notable, commands: commands.list?.commands ?? [] }, position)}
            </span>
            <label className="pane-toggle">
              <input type="checkbox" checked={soFar} onChange={(event) => setSoFar(event.target.checked)} /> Only up to now
            </label>
          </div>
        )}
        {state.error !== null && isLocal && shown !== 'commands' && (
          <Failure
            error={state.error instanceof ApiFailure ? state.error : new ApiFailure('INTERNAL', 'the events cannot be loaded', '')}
          />
        )}
        {shown === 'commands' &&
          (commands.error !== null ? (
            <Failure error={commands.error} />
          ) : (
            commands.list !== null && (
              <Commands list={commands.list} position={position} soFar={soFar} onSeek={onSeek} onMore={commands.more} />
            )
          ))}
        {shown === 'processes' &&
          (unseen ? (
            <p className="pane-empty">
              No kernel events of this session. They are recorded where its node runs Steno&rsquo;s agent and no role turns{' '}
              <code>recording.enhanced</code> off.
            </p>
          ) : (
            state.known && <Processes rows={rows} {...list} />
          ))}
        {shown === 'files' && (
          <TouchedList label="Files" rows={files} empty="No file was changed or transferred, and none that matters read." {...list} />
        )}
        {shown === 'network' && (
          <TouchedList label="Network" rows={network} empty="No connection, lookup or forwarding was seen." {...list} />
        )}
        {shown === 'notable' && (
          <TouchedList
            label="Notable"
            rows={notable}
            empty="Nothing stands out: no way out of the session, no sensitive file, no change of privileges, nothing missing."
            {...list}
          />
        )}
        {shown === 'transcript' && (
          <Transcript
            session={session.id}
            live={session.state === 'live'}
            position={position}
            query={query}
            onSeek={onSeek}
            onSearch={onSearch}
          />
        )}
        {isLocal && shown !== 'commands' && (folded.login > 0 || folded.noise > 0 || everything || state.since > 0) && (
          <p className="pane-foot">
            {state.since > 0 && `From ${clock(state.since)} on. `}
            {everything ? 'Nothing is folded away. ' : foldedText(folded.login, folded.noise)}
            <button type="button" className="seek" onClick={() => onEverything(!everything)}>
              {everything ? 'Fold the noise' : 'Show everything'}
            </button>
          </p>
        )}
      </div>
      <Watermark mark={watermark} />
    </section>
  );
}

function foldedText(login: number, noise: number): string {
  const parts = [
    ...(login > 0 ? [`${login.toLocaleString()} of the login`] : []),
    ...(noise > 0 ? [`${noise.toLocaleString()} of /dev/null, libraries and searches`] : []),
  ];
  return parts.length === 0 ? '' : `Folded away: ${parts.join(', ')}. `;
}

interface Lists {
  readonly rows: ReturnType<typeof processRows>;
  readonly files: ReturnType<typeof filesOf>;
  readonly network: ReturnType<typeof networkOf>;
  readonly notable: ReturnType<typeof notableOf>;
  readonly commands: readonly CommandUnit[];
}

function summaryOf(tab: Exclude<Tab, 'transcript'>, lists: Lists, position: number): string {
  if (tab === 'processes') {
    const running = lists.rows.filter((row) => row.kind !== 'act' && phaseOf(row, position) === 'now').length;
    return `${running.toLocaleString()} running at ${clock(position)}`;
  }
  if (tab === 'commands') {
    const typed = lists.commands.filter(({ at }) => at <= position).length;
    return `${typed.toLocaleString()} of ${lists.commands.length.toLocaleString()} by ${clock(position)}`;
  }
  const rows = lists[tab];
  const last = latestRow(rows, position);
  const done = last === null ? 0 : rows.filter(({ start }) => start <= position).length;
  return `${done.toLocaleString()} of ${rows.length.toLocaleString()} by ${clock(position)}`;
}

function TabBar({
  shown,
  notable,
  onShow,
}: {
  readonly shown: Tab;
  /** Number of rows in the pane of that name. */
  readonly notable: number;
  readonly onShow: (tab: Tab) => void;
}): ReactNode {
  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>): void => {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    event.stopPropagation();
    const at = tabs.findIndex(([tab]) => tab === shown);
    const [next] = tabs[(at + step + tabs.length) % tabs.length]!;
    onShow(next);
    event.currentTarget.querySelector<HTMLElement>(`#tab-${next}`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label="Panes" onKeyDown={onKeyDown}>
      {tabs.map(([tab, title]) => (
        <button
          key={tab}
          id={`tab-${tab}`}
          type="button"
          role="tab"
          aria-selected={tab === shown}
          aria-controls="pane"
          tabIndex={tab === shown ? 0 : -1}
          className={tab === 'notable' && notable > 0 ? 'tab tab-alert' : 'tab'}
          onClick={() => onShow(tab)}
        >
          {title}
          {tab === 'notable' && notable > 0 && <span className="count"> {notable.toLocaleString()}</span>}
        </button>
      ))}
    </div>
  );
}
