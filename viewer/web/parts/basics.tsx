/** Small components that every view uses. */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { moment } from './format.js';
import { SafeText } from './safe-text.js';
import type { ApiFailure } from './api.js';

export function Failure({ error }: { readonly error: ApiFailure }): ReactNode {
  return (
    <div className="failure" role="alert">
      <strong>{sentence(error.message)}</strong>
      {error.fix !== '' && <span>{error.fix}</span>}
    </div>
  );
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }): ReactNode {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

const stateText = { live: 'Live', ended: 'Ended', sealed: 'Sealed', interrupted: 'Interrupted' } as const;
const stateTitle = {
  live: 'Recording now',
  ended: 'Over; its end is being stored',
  sealed: 'Whole, signed and stored',
  interrupted: 'Cut off; signed up to where it ends',
} as const;

export function StateBadge({ state }: { readonly state: SessionInfo['state'] }): ReactNode {
  return (
    <span className={`badge badge-${state}`} title={stateTitle[state]}>
      {stateText[state]}
    </span>
  );
}

const modeText = { owner: 'owner', observer: 'watching', peer: 'typing', moderator: 'moderating' } as const;

/** Who has joined a live session, and whom it is waiting for; renders nothing for a session that nobody shares. */
export function LivePeople({ session: { live } }: { readonly session: Pick<SessionInfo, 'live'> }): ReactNode {
  if (live === undefined) return null;
  const joined = live.participants.filter(({ mode }) => mode !== 'owner');
  if (joined.length === 0 && live.awaits === '') return null;
  return (
    <span className="live-people">
      {joined.map(({ user, mode, since }, i) => (
        <span key={`${user} ${mode} ${since} ${i}`} className={`person person-${mode}`} title={`${mode} since ${moment(since)}`}>
          <SafeText text={user} /> <em>{modeText[mode]}</em>
        </span>
      ))}
      {live.others > 0 && <span className="person">and {live.others} more</span>}
      {live.awaits !== '' && (
        <span className="person person-awaited" role="status">
          waits for <SafeText text={live.awaits} />
        </span>
      )}
    </span>
  );
}

/** The session's exit, or null while it is unknown. */
export function Exit({ session }: { readonly session: SessionInfo }): ReactNode {
  if (session.exit_signal !== null && session.exit_signal !== '')
    return <span className="exit exit-bad">SIG{session.exit_signal.replace(/[^A-Z0-9]/g, '')}</span>;
  if (session.exit_code === null) return <span className="exit exit-none">–</span>;
  return <span className={session.exit_code === 0 ? 'exit exit-good' : 'exit exit-bad'}>{session.exit_code}</span>;
}

export function Copy({ text, label }: { readonly text: string; readonly label: string }): ReactNode {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => setDone(true),
      () => undefined,
    );
  };
  return (
    <div className="command">
      {/* Content longer than its box scrolls, by keyboard too. */}
      <code tabIndex={0}>{text}</code>
      <button type="button" className="quiet" onClick={copy} aria-label={label}>
        {done ? 'Copied' : 'Copy'}
      </button>
    </div>
  );
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Steno`;
  }, [title]);
}

/** The head of a table. `numbers`: the columns of numbers, which are aligned to the right. */
export function TableHead({
  titles,
  numbers = [],
}: {
  readonly titles: readonly string[];
  readonly numbers?: readonly string[];
}): ReactNode {
  return (
    <thead>
      <tr>
        {titles.map((title) => (
          <th key={title} scope="col" className={numbers.includes(title) ? 'number' : undefined}>
            {title}
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** Names and values, one pair per line. */
export type NamedRows = readonly (readonly [name: string, value: ReactNode])[];

export function NamedValues({ rows }: { readonly rows: NamedRows }): ReactNode {
  return (
    <dl>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
