/** The audit log: actions on Steno itself by users, and refusals. */
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { AuditRow } from '#schemas/events/rows.js';
import { isoTime, moment } from '../parts/format.js';
import { Empty, Failure, TableHead, useTitle } from '../parts/basics.js';
import { ChoiceFilter, MomentFilter, TextFilter, useFilters } from '../parts/filters.js';
import { SafeText } from '../parts/safe-text.js';
import { queryText } from '../parts/query-text.js';
import { SectionHead, auditSections } from '../parts/section-nav.js';
import { useAnswer } from '../parts/use-json.js';

export { SiemPage } from './siem.js';
export { ViewsPage } from './views.js';

const names = ['event', 'actor', 'outcome', 'session', 'from', 'to'] as const;
const outcomes = [
  ['', 'any'],
  ['success', 'success'],
  ['failure', 'failure'],
] as const;

export function AuditPage(): ReactNode {
  useTitle('Audit');
  const [query] = useSearchParams();
  const filters = useFilters(names);
  const values = Object.fromEntries(names.map((name) => [name, query.get(name)]));
  const before = query.get('before');
  const { data, error } = useAnswer('GET /api/audit', { query: { ...values, before, limit: 100 } }, before === null ? 5_000 : undefined);
  return (
    <section className="page">
      <SectionHead title="Audit" here="/audit" sections={auditSections} />
      <details className="filters" open={matchMedia('(min-width: 900px)').matches}>
        <summary>Filters</summary>
        <div className="filter-row">
          <TextFilter label="Event" name="event" filters={filters} placeholder="session. or session.start" />
          <TextFilter label="Actor" name="actor" filters={filters} />
          <TextFilter label="Session" name="session" filters={filters} />
          <ChoiceFilter label="Outcome" name="outcome" filters={filters} choices={outcomes} />
          <MomentFilter label="From" name="from" filters={filters} />
          <MomentFilter label="To" name="to" filters={filters} />
        </div>
      </details>
      {error !== null && <Failure error={error} />}
      {data !== null && data.rows.length === 0 && (
        <Empty title="Nothing recorded">
          <p>Admissions, refusals and changes appear here.</p>
        </Empty>
      )}
      {data !== null && data.rows.length > 0 && (
        <div className="scroll">
          <table className="audit">
            <TableHead titles={['When', 'Event', 'Actor', 'Target', 'Source', 'Reason']} />
            <tbody>
              {data.rows.map((row) => (
                <Row key={row.id} row={row} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data !== null && (
        <div className="pager">
          {before !== null && <Link to={`/audit${queryText(values)}`}>Newest</Link>}
          {data.next !== null && <Link to={`/audit${queryText({ ...values, before: data.next })}`}>Older</Link>}
        </div>
      )}
    </section>
  );
}

function Row({ row }: { readonly row: AuditRow }): ReactNode {
  return (
    <tr className={row.outcome === 'failure' ? 'failed' : undefined}>
      <td>
        <time dateTime={isoTime(row.at)}>{moment(row.at)}</time>
      </td>
      <td>
        <span
          className={`dot dot-${row.outcome === 'failure' ? 'bad' : 'good'}`}
          role="img"
          aria-label={row.outcome === 'failure' ? 'failure' : 'success'}
        />
        <SafeText text={row.event} />
      </td>
      <td>
        <SafeText text={row.actor} />
      </td>
      <td className="mono">
        {/^[0-9a-z]{26}$/.test(row.session) ? (
          <Link to={`/sessions/${row.session}`}>
            <SafeText text={row.login === '' && row.node === '' ? row.session : `${row.login}@${row.node}`} />
          </Link>
        ) : (
          <SafeText text={row.target === '' ? row.node : row.target} />
        )}
      </td>
      <td className="mono">
        <SafeText text={row.source_address} />
      </td>
      <td>
        {row.code !== '' && <code>{row.code}</code>} <SafeText text={row.reason} />
      </td>
    </tr>
  );
}
