/** The access report: for each session, who opened, followed or exported it; or for each viewer, which sessions. */
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { SessionViews } from '#schemas/api/recordings/audit.js';
import { Empty, Failure, TableHead, useTitle } from '../parts/basics.js';
import { ChoiceFilter, MomentFilter, TextFilter, useFilters } from '../parts/filters.js';
import { isoTime, moment } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { SectionHead, auditSections } from '../parts/section-nav.js';
import { useAnswer } from '../parts/use-json.js';

const names = ['by', 'viewer', 'session', 'from', 'to'] as const;
const orders = [
  ['', 'session'],
  ['viewer', 'viewer'],
] as const;

export function ViewsPage(): ReactNode {
  useTitle('Who viewed what');
  const [query] = useSearchParams();
  const filters = useFilters(names);
  const [viewer, session, from, to] = ['viewer', 'session', 'from', 'to'].map((name) => query.get(name));
  const byViewer = query.get('by') === 'viewer';
  const { data, error } = useAnswer('GET /api/views', { query: { viewer, session, from, to, limit: 500 } });
  const groups = groupsOf(data?.rows ?? [], byViewer);
  return (
    <section className="page">
      <SectionHead title="Who viewed what" here="/audit/views" sections={auditSections} />
      <p className="page-about">
        Totals by session or by viewer. <Link to="/audit?event=recording.">Each view in the audit log</Link>
      </p>
      <details className="filters" open={matchMedia('(min-width: 900px)').matches}>
        <summary>Filters</summary>
        <div className="filter-row">
          <ChoiceFilter label="By" name="by" filters={filters} choices={orders} />
          <TextFilter label="Viewer" name="viewer" filters={filters} />
          <TextFilter label="Session" name="session" filters={filters} />
          <MomentFilter label="From" name="from" filters={filters} />
          <MomentFilter label="To" name="to" filters={filters} />
        </div>
      </details>
      {error !== null && <Failure error={error} />}
      {data !== null && data.rows.length === 0 && (
        <Empty title="No views recorded">
          <p>Whoever opens, follows or exports a session that you may list appears here.</p>
        </Empty>
      )}
      {groups.length > 0 && (
        <div className="scroll">
          <table className="audit views">
            <TableHead
              titles={[byViewer ? 'Viewer' : 'Session', byViewer ? 'Session' : 'Viewer', 'Times', 'Exports', 'Refused', 'First', 'Last']}
              numbers={['Times', 'Exports', 'Refused']}
            />
            {groups.map(([key, rows]) => (
              <tbody key={key}>
                {rows.map((row, i) => (
                  <Row key={`${row.session} ${row.viewer}`} row={row} byViewer={byViewer} head={i === 0 ? rows.length : 0} />
                ))}
              </tbody>
            ))}
          </table>
        </div>
      )}
      {data?.truncated === true && <p className="hint">There are more: narrow the time, or name a viewer or a session.</p>}
    </section>
  );
}

/** Ordered by the most recent view. */
function groupsOf(rows: readonly SessionViews[], byViewer: boolean): readonly (readonly [string, readonly SessionViews[]])[] {
  const groups = new Map<string, SessionViews[]>();
  for (const row of rows) {
    const key = byViewer ? row.viewer : row.session;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups];
}

interface RowProps {
  readonly row: SessionViews;
  readonly byViewer: boolean;
  /** Number of rows in the group that this row begins; 0 if it begins none. */
  readonly head: number;
}

function Row({ row, byViewer, head }: RowProps): ReactNode {
  const { session, node, login, viewer, times, exports, refusals, first_at: first, last_at: last } = row;
  const who = (
    <Link to={`/audit${queryText({ event: 'recording.', actor: viewer, session })}`}>
      <SafeText text={viewer} />
    </Link>
  );
  const what = (
    <Link to={`/sessions/${session}`}>
      <SafeText text={`${login}@${node}`} />
    </Link>
  );
  return (
    <tr className={refusals === times ? 'failed' : undefined}>
      {head > 0 && (
        <th scope="rowgroup" rowSpan={head}>
          {byViewer ? who : what}
        </th>
      )}
      <td>{byViewer ? what : who}</td>
      <td className="number">{times.toLocaleString()}</td>
      <td className="number">{exports === 0 ? '' : exports.toLocaleString()}</td>
      <td className="number">{refusals === 0 ? '' : refusals.toLocaleString()}</td>
      <td>
        <time dateTime={isoTime(first)}>{moment(first)}</time>
      </td>
      <td>
        <time dateTime={isoTime(last)}>{moment(last)}</time>
      </td>
    </tr>
  );
}
