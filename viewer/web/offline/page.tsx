/**
 * The standalone page: how far the recording can be trusted, the replay, the transcript, events, and who the user was. The page
 * distinguishes signed content from unsigned additions. Text of the recording is drawn as text (`SafeText`) or by the terminal.
 */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { CSSProperties, ReactNode } from 'react';
import type { OfflineAbout, OfflineFile } from '#schemas/offline/page.js';
import { offlineFileEnding } from '#schemas/offline/page.js';
import { markerOf } from '#schemas/marker.js';
import { cutText } from '#schemas/recording/line.js';
import type { Watermark as Mark } from '#schemas/offline/watermark.js';
import { NamedValues } from '../parts/basics.js';
import type { NamedRows } from '../parts/basics.js';
import { bytes, duration as lengthOf, moment } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { visible } from '../parts/text.js';
import { Watermark } from '../parts/watermark.js';
import { Controls, useReplayKeys } from '../player/controls.js';
import { KeyHelp } from '../player/key-help.js';
import { Replay } from '#schemas/player/replay.js';
import { parseLines } from '#schemas/player/segments.js';
import { Terminal, aspect, toggleFullscreen } from '../player/terminal.js';
import { Timeline } from '../player/timeline.js';
import { after } from '../player/timers.js';
import { useReplayState } from '../player/use-replay.js';
import { Facts, valuesOf } from '../sessions/facts.js';
import { EventTable } from './event-table.js';
import type { Keeper } from './keeper.js';
import type { Contents } from './messages.js';
import { Transcript } from './transcript.js';
import { TrustPanel } from './trust-panel.js';

export interface OfflineProps {
  readonly about: OfflineAbout;
  /** Null if not even a header can be read. */
  readonly contents: Contents | null;
  readonly faults: readonly string[];
  readonly keeper: Keeper;
  readonly sizes: Readonly<Record<OfflineFile, number>>;
}

export function Reading(): ReactNode {
  return (
    <Frame>
      <p className="hint">Checking the recording…</p>
    </Frame>
  );
}

export function Unreadable({ faults }: { readonly faults: readonly string[] }): ReactNode {
  return (
    <Frame>
      <div className="trust verdict verdict-bad" role="alert" data-trust="broken">
        <strong>Broken: this file cannot be read</strong>
        <p>
          <SafeText text={`${faults.join('; ')}.`} />
        </p>
        <p>Get it again from whoever exported it.</p>
      </div>
    </Frame>
  );
}

function Frame({ children }: { readonly children: ReactNode }): ReactNode {
  return (
    <>
      <header className="top">
        <span className="brand">
          <span className="brand-dot" aria-hidden="true" /> Steno
        </span>
        <span className="hint">Recorded session, in one file. No server, no network.</span>
      </header>
      <main className="page session offline">{children}</main>
    </>
  );
}

export function OfflinePage({ about, contents, faults, keeper, sizes }: OfflineProps): ReactNode {
  const replay = useMemo(() => (contents === null ? null : replayOf(contents, keeper)), [contents, keeper]);
  const seek = useCallback((ms: number) => void replay?.seek(ms), [replay]);
  const steno = contents?.header.steno;
  const mark = about.watermark === true ? { viewer: about.made_by, at: about.made_at } : undefined;
  return (
    <Frame>
      <div className="session-head">
        <div>
          <h1>
            {steno === undefined ? (
              'Nothing of this recording can be shown'
            ) : (
              <>
                <SafeText text={steno.user} />
                <span className="arrow" aria-label="as">
                  →
                </span>
                <span className="mono">
                  <SafeText text={`${steno.login}@${steno.node}`} />
                </span>
              </>
            )}
          </h1>
          {contents !== null && (
            <p className="sub">
              <span>{moment(contents.header.steno.started_at)}</span>
              <span>{lengthOf(contents.duration)}</span>
              {contents.exit !== null && (
                <span>
                  exit{' '}
                  <span className={contents.exit === '0' ? 'exit exit-good' : 'exit exit-bad'}>
                    <SafeText text={contents.exit.slice(0, 32)} />
                  </span>
                </span>
              )}
            </p>
          )}
          {typeof contents?.header.command === 'string' && contents.header.command !== '' && (
            <p className="session-command">
              <code>
                <SafeText text={cutText(contents.header.command, 4096)} />
              </code>
            </p>
          )}
        </div>
      </div>
      <TrustPanel about={about} faults={faults} keeper={keeper} />
      {contents !== null && replay !== null && (
        <>
          <OfflinePlayer replay={replay} contents={contents} watermark={mark} />
          <div className="below marked">
            <div className="below-main">
              <Transcript replay={replay} lines={contents.transcript} untold={contents.untold} />
              <Facts facts={contents.facts} onSeek={seek} />
              <EventTable events={contents.events} more={contents.moreEvents} onSeek={seek} />
            </div>
            <Details about={about} contents={contents} keeper={keeper} sizes={sizes} />
            <Watermark mark={mark} />
          </div>
        </>
      )}
    </Frame>
  );
}

function replayOf({ header, duration, segments }: Contents, keeper: Keeper): Replay {
  const { tty } = header.steno;
  return new Replay({
    index: { cols: header.term.cols, rows: header.term.rows, duration, live: false, block: 0, segments },
    newlines: tty !== true,
    now: () => performance.now(),
    after,
    startAt: null,
    load: async (n) => parseLines((await keeper.ask('segment', { kind: 'segment', n })).text, segments[n]?.start ?? 0, tty !== true),
  });
}

function OfflinePlayer({
  replay,
  contents,
  watermark,
}: {
  readonly replay: Replay;
  readonly contents: Contents;
  readonly watermark: Mark | undefined;
}): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const help = useRef<HTMLDialogElement>(null);
  const state = useReplayState(replay);
  const { cols, rows } = contents.header.term;
  const markers = useMemo(() => contents.facts.flatMap((fact) => markerOf(fact.offset, fact.kind, valuesOf(fact)) ?? []), [contents]);
  const actions = useMemo(
    () => ({
      onFullscreen: () => toggleFullscreen(box.current),
      onHit: () => undefined,
      onStop: () => undefined,
      onHelp: () => help.current?.showModal(),
    }),
    [],
  );
  useReplayKeys(replay, actions);
  return (
    <div className="player" ref={box} data-phase={state.phase}>
      <div className="screen" style={{ '--aspect': aspect(cols, rows) } as CSSProperties}>
        <Terminal replay={replay} cols={cols} rows={rows} />
        {state.phase === 'failed' && (
          <div className="screen-note" role="alert">
            This part cannot be read: <SafeText text={state.error ?? ''} />
          </div>
        )}
      </div>
      <div className="deck">
        <Timeline replay={replay} timeline={null} markers={markers} />
        <Controls replay={replay} onFullscreen={actions.onFullscreen} onHelp={actions.onHelp} />
      </div>
      <KeyHelp dialog={help} />
      <Watermark mark={watermark} />
    </div>
  );
}

function Details({
  about,
  contents,
  keeper,
  sizes,
}: Pick<OfflineProps, 'about' | 'keeper' | 'sizes'> & { readonly contents: Contents }): ReactNode {
  const { steno } = contents.header;
  const text = (value: unknown): ReactNode => <SafeText text={typeof value === 'string' ? value : JSON.stringify(value ?? '')} />;
  const rows: NamedRows = [
    ['Session', text(steno.session)],
    ['User', text(steno.user)],
    ['Roles', text(Array.isArray(steno.roles) ? steno.roles.join(', ') : '')],
    ['From', text(steno.source_address)],
    ['Client', text(steno.client_version)],
    ['Certificate', text(`no. ${steno.certificate_serial}, ${steno.certificate_key_id}`)],
    ['Requests', steno.requests.length === 0 ? 'none' : text(steno.requests.join(', '))],
    ['Gateway', text(`${steno.gateway}, its session no. ${steno.counter}`)],
    ['Recorded', text(`${steno.recording.mode}, streams ${steno.recording.streams}`)],
    ['Terminal', steno.tty ? `${contents.header.term.cols} × ${contents.header.term.rows}` : 'none'],
    ...(steno.labels === undefined
      ? []
      : ([
          [
            'Labels',
            text(
              Object.entries(steno.labels)
                .map(([name, value]) => `${name}=${String(value)}`)
                .join(', '),
            ),
          ],
        ] as NamedRows)),
  ];
  return (
    <aside className="details">
      <h2>Signed with the recording</h2>
      <NamedValues rows={rows} />
      <Unsigned about={about} />
      <h2>Take the files out</h2>
      <div className="take">
        {about.files.map(({ name }) => (
          <Take key={name} name={name} file={`${about.session}.${offlineFileEnding[name]}`} size={sizes[name]} keeper={keeper} />
        ))}
        <p className="hint">
          Checked without this page: <code>steno verify FILE --ca KEY</code>, or <code>verify.py</code> of Steno&rsquo;s documentation.
        </p>
      </div>
    </aside>
  );
}

/** Unsigned additions: as trustworthy as the person who exported the page. */
function Unsigned({ about: { unsigned, made_at: at, made_by: by, steno } }: { readonly about: OfflineAbout }): ReactNode {
  const { requests, roles, notes } = unsigned;
  return (
    <>
      <h2>Came along, not signed</h2>
      <p className="hint">
        Exported by <SafeText text={by} /> at {moment(at)} with Steno <SafeText text={steno} />. Believe this part as far as you believe
        them.
      </p>
      {requests.map((request, i) => (
        <Document key={`request ${i}`} title={`Access request ${visible(String(request['id'] ?? ''))}`} value={request} />
      ))}
      {roles.map((role, i) => (
        <Document key={`role ${i}`} title={`Role ${visible(String(role['name'] ?? ''))}`} value={role} />
      ))}
      {notes.map((note, i) => (
        <p key={i} className="hint">
          <SafeText text={note} />
        </p>
      ))}
    </>
  );
}

function Document({ title, value }: { readonly title: string; readonly value: Readonly<Record<string, unknown>> }): ReactNode {
  return (
    <details className="document">
      <summary>{title}</summary>
      <pre>
        {JSON.stringify(value, null, 2)
          .split('\n')
          .slice(0, 400)
          .map((line, i) => (
            <div key={i}>
              <SafeText text={line} />
            </div>
          ))}
      </pre>
    </details>
  );
}

function Take({
  name,
  file,
  size,
  keeper,
}: {
  readonly name: OfflineFile;
  readonly file: string;
  readonly size: number;
  readonly keeper: Keeper;
}): ReactNode {
  const [address, setAddress] = useState<string | null>(null);
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (address === null) return undefined;
    link.current?.click();
    return () => URL.revokeObjectURL(address);
  }, [address]);
  const take = (): void => {
    void keeper.ask('file', { kind: 'file', name }).then(({ content }) => setAddress(URL.createObjectURL(new Blob([content]))));
  };
  return (
    <>
      <button type="button" className="verify-run" onClick={take}>
        {name === 'recording' ? 'Recording' : 'Event log'}, {bytes(size)}
      </button>
      {address !== null && <a ref={link} href={address} download={file} hidden />}
    </>
  );
}
