/** Presents the moments of a case one after another to an audience: the replay large, the notes next to it, and two buttons. */
import { useEffect } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { CaseView } from '#schemas/api/cases/workbench.js';
import { Empty, Failure, useTitle } from '../parts/basics.js';
import { clock, isoTime, moment } from '../parts/format.js';
import { useOpening } from '../parts/use-opening.js';
import { SafeText } from '../parts/safe-text.js';
import { visible } from '../parts/text.js';
import { useAnswer } from '../parts/use-json.js';
import { Player } from '../player/player.js';
import { useReplay } from '../player/use-replay.js';
import { SafeLines } from '../parts/safe-lines.js';
import { stepsOf } from '#schemas/api/cases/steps.js';
import type { Step } from '#schemas/api/cases/steps.js';
import './cases.css';

const none: readonly never[] = [];

export function PresentPage({ id }: { readonly id: string }): ReactNode {
  const { data, error } = useAnswer('GET /api/cases/:id', { params: { id } });
  useTitle(data === null ? 'Case' : `${visible(data.head.title)} · Review`);
  if (data === null) return <section className="page reading cases">{error !== null && <Failure error={error} />}</section>;
  return <Review view={data} />;
}

function Review({ view }: { readonly view: CaseView }): ReactNode {
  const steps = stepsOf(view);
  const [query, setQuery] = useSearchParams();
  const wanted = Number(query.get('step') ?? 1);
  const n = Number.isInteger(wanted) ? Math.min(Math.max(1, wanted), Math.max(1, steps.length)) : 1;
  const go = (to: number): void => {
    if (to >= 1 && to <= steps.length) setQuery({ step: String(to) }, { replace: true });
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === 'PageDown' || event.key === ']') go(n + 1);
      else if (event.key === 'PageUp' || event.key === '[') go(n - 1);
      else return;
      event.preventDefault();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });
  const step = steps[n - 1];
  const { head } = view;
  return (
    <section className="page reading cases present">
      <div className="present-head">
        <p className="crumb">
          <Link to={`/cases/${head.id}`}>
            <SafeText text={head.title} />
          </Link>
        </p>
        <div className="present-steps">
          <button type="button" className="case-button" disabled={n <= 1} onClick={() => go(n - 1)} title="Page Up">
            Previous
          </button>
          <span>
            {steps.length === 0 ? 0 : n} of {steps.length}
          </span>
          <button type="button" className="case-button strong" disabled={n >= steps.length} onClick={() => go(n + 1)} title="Page Down">
            Next
          </button>
        </div>
      </div>
      {step === undefined ? (
        <Empty title="No moment to present">
          <p>Add moments of sessions, or findings, to the case.</p>
        </Empty>
      ) : (
        <OneStep key={`${n} ${step.session} ${step.offset}`} step={step} view={view} />
      )}
    </section>
  );
}

function OneStep({ step: { entry, session, offset }, view }: { readonly step: Step; readonly view: CaseView }): ReactNode {
  const place = view.sessions.find(({ id }) => id === session);
  const { opened, error } = useOpening(session, offset);
  const open = useReplay(opened, offset);
  const shown = place ?? opened?.session;
  return (
    <>
      <div className="present-words" aria-live="polite">
        <h1>
          {entry.severity !== '' && <span className={`severity severity-${entry.severity}`}>{entry.severity}</span>}
          {entry.kind === 'finding' ? <SafeText text={entry.title} /> : entry.text === '' ? 'Moment' : <SafeLines text={entry.text} />}
        </h1>
        {entry.kind === 'finding' && entry.text !== '' && (
          <p className="entry-text">
            <SafeLines text={entry.text} />
          </p>
        )}
        <p className="sub">
          <time dateTime={isoTime(entry.at)}>{moment(entry.at)}</time>
          {shown !== undefined && (
            <span>
              <SafeText text={`${shown.user} → ${shown.login}@${shown.node}`} />
            </span>
          )}
          <Link to={`/sessions/${session}?t=${Math.round(offset)}`}>{clock(offset)} into the session</Link>
        </p>
      </div>
      {error !== null && <Failure error={error} />}
      {open === null ? (
        <div className="player player-waiting" aria-busy={error === null} />
      ) : (
        <Player
          replay={open.replay}
          index={open.index}
          timeline={null}
          markers={none}
          hits={none}
          query=""
          searchedAt={0}
          onSearchAgain={() => undefined}
          stops={none}
          watermark={opened?.watermark}
        />
      )}
    </>
  );
}
