/** One case: its subject, its state, and its timeline across all its sessions. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { CaseHead } from '#schemas/api/cases/cases.js';
import type { CaseView, TimelineEntry } from '#schemas/api/cases/workbench.js';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { ApiFailure } from '../parts/api.js';
import { Empty, Failure, useTitle } from '../parts/basics.js';
import { addressOf, ask } from '../parts/endpoints.js';
import { clock, isoTime, moment, numbered, timeOfDay } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import { visible } from '../parts/text.js';
import { useAnswer } from '../parts/use-json.js';
import { CaseActs } from './acts.js';
import { CaseState } from './cases.js';
import { SafeLines } from '../parts/safe-lines.js';
import { stepsOf } from '#schemas/api/cases/steps.js';
import './cases.css';

const REFRESH_MS = 10_000;

export function CasePage({ id, me }: { readonly id: string; readonly me: Me }): ReactNode {
  const { data, error, reload } = useAnswer('GET /api/cases/:id', { params: { id } }, REFRESH_MS);
  useTitle(data === null ? 'Case' : visible(data.head.title));
  if (data === null) return <section className="page reading cases">{error !== null && <Failure error={error} />}</section>;
  const { head, summary, timeline, sessions, hidden } = data;
  const steps = stepsOf(data);
  const may = me.cases.update && (head.state === 'open' || head.state === 'investigating');
  return (
    <section className="page reading cases">
      <div className="case-head">
        <div>
          <p className="crumb">
            <Link to="/cases">Cases</Link>
          </p>
          <h1>
            <SafeText text={head.title} />
            <CaseState state={head.state} />
          </h1>
          <p className="sub">
            <span>
              opened by <SafeText text={head.created_by} />, <time dateTime={isoTime(head.created_at)}>{moment(head.created_at)}</time>
            </span>
            <span>{head.assignee === null ? 'unassigned' : <>assigned to {<SafeText text={head.assignee} />}</>}</span>
          </p>
        </div>
        <div className="actions">
          {steps.length > 0 && (
            <Link to={`/cases/${id}/present`} className="case-button strong">
              Present
            </Link>
          )}
          <Exports id={id} />
        </div>
      </div>
      {summary !== '' && (
        <p className="case-summary">
          <SafeLines text={summary} />
        </p>
      )}
      <Settled head={head} />
      {me.cases.update && <CaseActs head={head} me={me} onChange={reload} />}
      {timeline.every(({ kind }) => kind === 'history') && hidden === 0 ? (
        <Empty title="Nothing in it yet">
          <p>Open a session, go to the moment that matters, and add it to this case. Findings and searches have the same button.</p>
        </Empty>
      ) : (
        <Timeline view={data} may={may} onChange={reload} />
      )}
      {hidden > 0 && (
        <p className="hint">
          {numbered(hidden, 'item')} {hidden === 1 ? 'is' : 'are'} no longer stored, or not visible to you.
        </p>
      )}
      {sessions.length > 0 && <CaseSessions sessions={sessions} />}
    </section>
  );
}

function Exports({ id }: { readonly id: string }): ReactNode {
  return (
    <details className="menu" name="actions">
      <summary>Export</summary>
      <div className="menu-body">
        {(
          [
            ['html', 'One page', 'with pictures of the screens; opens anywhere'],
            ['md', 'Markdown', 'for a wiki or a ticket'],
          ] as const
        ).map(([format, title, hint]) => (
          <a
            key={format}
            className="menu-item"
            href={addressOf('GET /api/cases/:id/review', { params: { id }, query: { format } })}
            download={`${id}.${format}`}
          >
            <strong>{title}</strong>
            <span>{hint}</span>
          </a>
        ))}
      </div>
    </details>
  );
}

function Settled({ head: { state, closing, signed } }: { readonly head: CaseHead }): ReactNode {
  if (closing === null) return null;
  return (
    <p className={`case-verdict case-verdict-${state}`}>
      <SafeText text={closing.by} /> {state === 'closed' ? 'closed' : 'asks to close'} it: <SafeText text={closing.reason} />
      {signed !== null && (
        <>
          {' '}
          Signed off by <SafeText text={signed.by} />, <time dateTime={isoTime(signed.at)}>{moment(signed.at)}</time>.
        </>
      )}
    </p>
  );
}

interface TimelineProps {
  readonly view: CaseView;
  readonly may: boolean;
  readonly onChange: () => void;
}

function Timeline({ view: { head, timeline, sessions }, may, onChange }: TimelineProps): ReactNode {
  const places = new Map(sessions.map((session) => [session.id, session]));
  let day = '';
  return (
    <ol className="case-timeline" aria-label="Timeline">
      {timeline.map((entry, i) => {
        const today = new Date(entry.at).toDateString();
        const first = today !== day;
        day = today;
        return (
          <li key={`${entry.kind} ${entry.item} ${entry.at} ${i}`} className={`entry entry-${entry.kind}`}>
            <time dateTime={isoTime(entry.at)} title={moment(entry.at)}>
              {first && <span className="entry-day">{dateOf(entry.at)}</span>}
              {timeOfDay(entry.at)}
            </time>
            <span className="entry-dot" aria-hidden="true" />
            <Entry entry={entry} session={places.get(entry.session)} />
            {may && entry.item !== '' && <Remove id={head.id} item={entry.item} onChange={onChange} />}
          </li>
        );
      })}
    </ol>
  );
}

const dates = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
const dateOf = (at: number): string => dates.format(at);

const acts: Readonly<Record<string, string>> = {
  create: 'opened the case',
  describe: 'described it anew',
  assign: 'assigned it',
  investigate: 'began to investigate',
  close: 'asked to close it',
  sign: 'signed it off',
  return: 'sent it back',
  reopen: 'opened it again',
  remove: 'took something out',
};

function Entry({ entry, session }: { readonly entry: TimelineEntry; readonly session: SessionInfo | undefined }): ReactNode {
  const { kind, title, text, by, severity, link, offset } = entry;
  if (kind === 'history')
    return (
      <div className="entry-body">
        <p className="entry-what">
          <SafeText text={by} /> {acts[title] ?? title}
          {text !== '' && title !== 'create' && (
            <>
              : <SafeText text={text} />
            </>
          )}
        </p>
      </div>
    );
  return (
    <div className="entry-body">
      <p className="entry-what">
        {severity !== '' && <span className={`severity severity-${severity}`}>{severity}</span>}
        <Heading entry={entry} />
        {session !== undefined && (
          <span className="entry-where">
            <SafeText text={session.user} /> →{' '}
            <span className="mono">
              <SafeText text={`${session.login}@${session.node}`} />
            </span>
          </span>
        )}
        {link !== null && kind !== 'search' && (
          <Link to={link} className="entry-open">
            {offset === null || kind === 'started' ? 'Open' : `Open at ${clock(offset)}`}
          </Link>
        )}
      </p>
      {text !== '' && (
        <p className="entry-text">
          <SafeLines text={text} />
        </p>
      )}
      {by !== '' && kind !== 'note' && (
        <p className="entry-by">
          added by <SafeText text={by} />
        </p>
      )}
      {kind === 'started' && title !== '' && (
        <code className="entry-command">
          <SafeText text={title} />
        </code>
      )}
    </div>
  );
}

function Heading({ entry: { kind, title, link, by, text } }: { readonly entry: TimelineEntry }): ReactNode {
  switch (kind) {
    case 'started':
      return <strong>Session begins</strong>;
    case 'ended':
      return <span>Session ends</span>;
    case 'moment':
      return <strong>Moment</strong>;
    case 'finding':
      return (
        <strong>
          <SafeText text={title} />
        </strong>
      );
    case 'search':
      return (
        <Link to={link ?? '/search'}>
          <code>
            <SafeText text={title} />
          </code>
        </Link>
      );
    case 'note':
      return (
        <span>
          {text === '' ? 'Bookmark' : 'Note'} of <SafeText text={by} />
        </span>
      );
    case 'history':
      return null;
  }
}

function Remove({ id, item, onChange }: { readonly id: string; readonly item: string; readonly onChange: () => void }): ReactNode {
  const [error, setError] = useState<ApiFailure | null>(null);
  const remove = (): void => {
    ask('POST /api/cases/:name/items/:item/removal', { params: { name: id, item }, body: {} }).then(onChange, (failure: unknown) =>
      setError(failure as ApiFailure),
    );
  };
  return (
    <>
      <button type="button" className="quiet entry-remove" onClick={remove} title="Take out of the case" aria-label="Take out of the case">
        ✕
      </button>
      {error !== null && <Failure error={error} />}
    </>
  );
}

function CaseSessions({ sessions }: { readonly sessions: readonly SessionInfo[] }): ReactNode {
  return (
    <div className="case-sessions">
      <h2>Sessions</h2>
      <ul>
        {sessions.map(({ id, user, login, node, started_at: at }) => (
          <li key={id}>
            <Link to={`/sessions/${id}`}>
              <SafeText text={`${user} → ${login}@${node}`} />
            </Link>{' '}
            <time dateTime={isoTime(at)}>{moment(at)}</time>
          </li>
        ))}
      </ul>
    </div>
  );
}
