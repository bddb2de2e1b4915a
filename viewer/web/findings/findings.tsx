/** Findings, newest first, each with its reason and a link to its moment. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { FindingCounts, FindingDetail, FindingInfo } from '#schemas/api/recordings/findings.js';
import { AddToCase } from '../cases/add-to-case.js';
import type { ApiFailure } from '../parts/api.js';
import { Copy, Empty, Failure, useTitle } from '../parts/basics.js';
import { ChoiceFilter, MomentFilter, TextFilter, useFilters } from '../parts/filters.js';
import { clock, isoTime, moment } from '../parts/format.js';
import { ask } from '../parts/endpoints.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { SectionHead, findingSections } from '../parts/section-nav.js';
import { useAnswer } from '../parts/use-json.js';
import './findings.css';

const REFRESH_MS = 5_000;
const names = ['state', 'severity', 'tier', 'rule', 'user', 'node', 'session', 'from', 'to'] as const;
/** States of findings that still need attention. */
const UNSETTLED = 'open,acknowledged';
const states = [
  ['', 'to look at'],
  ['open', 'open'],
  ['acknowledged', 'acknowledged'],
  ['resolved', 'resolved'],
  ['dismissed', 'dismissed'],
  ['suppressed', 'suppressed'],
  ['all', 'any'],
] as const;
const severities = [
  ['', 'any'],
  ['critical', 'critical'],
  ['high,critical', 'high and above'],
  ['medium,high,critical', 'medium and above'],
  ['low,medium,high,critical', 'low and above'],
] as const;

const tiers = [
  ['', 'alerts and sessions'],
  ['alert', 'alerts'],
  ['session', 'sessions'],
  ['signal', 'signals'],
  ['signal,alert,session', 'all'],
] as const;

export function FindingsPage({ me }: { readonly me: Me }): ReactNode {
  useTitle('Findings');
  const [query] = useSearchParams();
  const filters = useFilters(names);
  const values = Object.fromEntries(names.map((name) => [name, query.get(name)]));
  const before = query.get('before');
  const state = values['state'] === 'all' ? null : (values['state'] ?? UNSETTLED);
  const { data, error, reload } = useAnswer(
    'GET /api/findings',
    { query: { ...values, state, before, limit: 50 } },
    before === null ? REFRESH_MS : undefined,
  );
  const counts = useAnswer('GET /api/finding-counts', {}, REFRESH_MS);
  const total = sum(counts.data, () => true);
  const suppressed = sum(counts.data, (one) => one.state === 'suppressed');
  const filtered = names.some((name) => values[name] !== null);
  return (
    <section className="page reading findings">
      <SectionHead title="Findings" here="/findings" sections={findingSections(me.audit)}>
        {sum(counts.data, (one) => one.state === 'open') > 0 && (
          <span className="count">{sum(counts.data, (one) => one.state === 'open')} open</span>
        )}
        {suppressed > 0 && (
          <Link to="/findings?state=suppressed" className="aside">
            {suppressed} suppressed
          </Link>
        )}
      </SectionHead>
      <details className="filters" open={matchMedia('(min-width: 900px)').matches}>
        <summary>Filters</summary>
        <div className="filter-row">
          <ChoiceFilter label="State" name="state" filters={filters} choices={states} />
          <ChoiceFilter label="Severity" name="severity" filters={filters} choices={severities} />
          <ChoiceFilter label="Tier" name="tier" filters={filters} choices={tiers} />
          <TextFilter label="Rule" name="rule" filters={filters} />
          <TextFilter label="User" name="user" filters={filters} />
          <TextFilter label="Node" name="node" filters={filters} />
          <MomentFilter label="From" name="from" filters={filters} />
          <MomentFilter label="To" name="to" filters={filters} />
        </div>
      </details>
      {error !== null && <Failure error={error} />}
      {data !== null && data.findings.length === 0 && <Nothing total={total} filtered={filtered} />}
      <div className="finding-list">
        {(data?.findings ?? []).map((finding) => (
          <Finding key={finding.id} finding={finding} me={me} onChange={reload} />
        ))}
      </div>
      {data !== null && (
        <div className="pager">
          {before !== null && <Link to={`/findings${queryText(values)}`}>Newest</Link>}
          {data.next !== null && <Link to={`/findings${queryText({ ...values, before: data.next })}`}>Older</Link>}
        </div>
      )}
    </section>
  );
}

function sum(counts: FindingCounts | null, of: (one: FindingCounts[number]) => boolean): number {
  return (counts ?? []).filter(of).reduce((all, { count }) => all + count, 0);
}

function Nothing({ total, filtered }: { readonly total: number; readonly filtered: boolean }): ReactNode {
  if (total > 0)
    return (
      <Empty title={filtered ? 'No findings like that' : 'Nothing left to look at'}>
        <p>
          <Link to="/findings?state=all">All {total} findings</Link>
        </p>
      </Empty>
    );
  return (
    <Empty title="No findings yet">
      <p>When a rule matches what somebody does in a session, it appears here: what, why, and the moment in the recording.</p>
      <p>Rules are Sigma files. In a terminal, this puts yours in force:</p>
      <Copy text="steno rules add FOLDER" label="Copy the command" />
    </Empty>
  );
}

interface FindingProps {
  readonly finding: FindingInfo;
  readonly me: Me;
  readonly onChange: () => void;
}

function Finding({ finding, me, onChange }: FindingProps): ReactNode {
  const [open, setOpen] = useState(false);
  const may = me.triage;
  const { id, title, severity, state, reason, user, login, node, at, offset, link, techniques, triage } = finding;
  return (
    <article className={`finding finding-${state}`} aria-label={`Finding ${id.slice(0, 12)}`}>
      <div className="finding-head">
        <span className={`severity severity-${severity}`}>{severity}</span>
        <h2>
          <SafeText text={title} />
        </h2>
        {state !== 'open' && <span className="state">{state}</span>}
      </div>
      {reason !== '' && (
        <p className="finding-why">
          <SafeText text={reason} />
        </p>
      )}
      <p className="finding-where">
        {user !== '' && (
          <strong>
            <SafeText text={user} />
          </strong>
        )}
        {node !== '' && (
          <span className="mono">
            <SafeText text={login === '' ? node : `${login}@${node}`} />
          </span>
        )}
        <time dateTime={isoTime(at)}>{moment(at)}</time>
        {techniques.map((technique) => (
          <span key={technique} className="technique">
            <SafeText text={technique} />
          </span>
        ))}
      </p>
      {triage !== null && (
        <p className="facts-line">
          {triage.state} by <SafeText text={triage.by} />, <time dateTime={isoTime(triage.at)}>{moment(triage.at)}</time>
          {triage.reason !== '' && (
            <>
              : <SafeText text={triage.reason} />
            </>
          )}
        </p>
      )}
      <div className="finding-acts">
        {link !== null && (
          <Link to={link} className="strong">
            {offset === null ? 'Open the session' : `Open at ${clock(offset)}`}
          </Link>
        )}
        <button type="button" className="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'Less' : 'Evidence'}
        </button>
        <AddToCase me={me} items={() => [{ kind: 'finding', finding: id }]} />
        {may && <Decide finding={finding} onChange={onChange} />}
      </div>
      {open && <Evidence id={id} />}
    </article>
  );
}

function Evidence({ id }: { readonly id: string }): ReactNode {
  const { data, error } = useAnswer('GET /api/findings/:id', { params: { id } });
  if (error !== null) return <Failure error={error} />;
  if (data === null) return null;
  const { finding, evidence, missing } = data;
  return (
    <div className="finding-more">
      {finding.advice !== '' && (
        <p>
          <b>What to do:</b> <SafeText text={finding.advice} />
        </p>
      )}
      {evidence.length > 0 && (
        <ol className="evidence">
          {evidence.map((event) => (
            <li key={event.id}>
              {event.link === null ? <span /> : <Link to={event.link}>{clock(event.offset)}</Link>}
              <span className="kind">{event.kind}</span>
              <code>
                <SafeText text={textOf(event)} />
              </code>
            </li>
          ))}
        </ol>
      )}
      {missing > 0 && <p className="hint">{missing} more events are not stored any more, or not yours to see.</p>}
      <p className="hint">
        Rule <SafeText text={finding.rule} />, version {finding.rule_version}
      </p>
    </div>
  );
}

function textOf({ name, path, address, port }: FindingDetail['evidence'][number]): string {
  const place = address === '' ? '' : `${address}${port === null ? '' : `:${port}`}`;
  return [name, path === name ? '' : path, place].filter((text) => text !== '').join('  ');
}

function Decide({ finding: { id, state }, onChange }: Pick<FindingProps, 'finding' | 'onChange'>): ReactNode {
  const [asking, setAsking] = useState<'resolved' | 'dismissed' | 'open' | null>(null);
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiFailure | null>(null);
  const decide = (to: 'acknowledged' | 'resolved' | 'dismissed' | 'open'): void => {
    setBusy(true);
    ask('POST /api/findings/:name/triage', { params: { name: id }, body: { state: to, reason } })
      .then(
        () => {
          setError(null);
          setAsking(null);
          setReason('');
        },
        (failure: unknown) => setError(failure as ApiFailure),
      )
      .finally(() => {
        setBusy(false);
        onChange();
      });
  };
  const settled = state === 'resolved' || state === 'dismissed' || state === 'suppressed';
  if (asking !== null)
    return (
      <form
        className="finding-reason"
        onSubmit={(event) => {
          event.preventDefault();
          decide(asking);
        }}
      >
        <input
          type="text"
          value={reason}
          maxLength={1024}
          required
          // This field replaced the button that was pressed.
          autoFocus
          onChange={(event) => setReason(event.target.value)}
          placeholder={asking === 'dismissed' ? 'Why is this a false alarm?' : asking === 'resolved' ? 'What was done?' : 'Why again?'}
          aria-label="Reason"
        />
        <button type="submit" className="strong" disabled={busy || reason.trim() === ''}>
          {asking === 'dismissed' ? 'Dismiss' : asking === 'resolved' ? 'Resolve' : 'Reopen'}
        </button>
        <button type="button" className="plain" onClick={() => setAsking(null)}>
          Cancel
        </button>
        {error !== null && <Failure error={error} />}
      </form>
    );
  return (
    <>
      <span className="spacer" />
      {state === 'open' && (
        <button type="button" className="plain" disabled={busy} onClick={() => decide('acknowledged')}>
          Acknowledge
        </button>
      )}
      {settled ? (
        <button type="button" className="plain" onClick={() => setAsking('open')}>
          Reopen
        </button>
      ) : (
        <>
          <button type="button" className="plain" onClick={() => setAsking('resolved')}>
            Resolve
          </button>
          <button type="button" className="plain" onClick={() => setAsking('dismissed')}>
            Dismiss
          </button>
        </>
      )}
      {error !== null && <Failure error={error} />}
    </>
  );
}
