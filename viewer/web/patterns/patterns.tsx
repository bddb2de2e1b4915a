/** Patterns across sessions: commands that ran before findings, nodes that stand out, and the hours of the week. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { SessionPatterns } from '#schemas/api/recordings/patterns.js';
import { Empty, Failure, TableHead, useTitle } from '../parts/basics.js';
import { MomentFilter, useFilters } from '../parts/filters.js';
import { moment } from '../parts/format.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { SectionHead, findingSections } from '../parts/section-nav.js';
import { useAnswer } from '../parts/use-json.js';
import { hourGrid, liftText, shareText } from './figures.js';
import './patterns.css';

const names = ['from', 'to'] as const;
const days = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
const MAX_NODES = 20;

export function PatternsPage({ me }: { readonly me: Me }): ReactNode {
  useTitle('Patterns');
  const filters = useFilters(names);
  const { data, error } = useAnswer('GET /api/patterns', { query: { from: filters.get('from'), to: filters.get('to') } });
  return (
    <section className="page patterns">
      <SectionHead title="Patterns" here="/patterns" sections={findingSections(me.audit)} />
      <p className="page-about">
        What recurs across the sessions you may view. These are leads, not proof: a command that ran before a finding need not have caused
        it.
      </p>
      <div className="filter-row">
        <MomentFilter label="From (default: 30 days ago)" name="from" filters={filters} />
        <MomentFilter label="To (default: now)" name="to" filters={filters} />
      </div>
      {error !== null && <Failure error={error} />}
      {data !== null &&
        (data.sessions === 0 ? (
          <Empty title="No sessions in this time">
            <p>Choose another span. Sessions count by their start.</p>
          </Empty>
        ) : (
          <>
            <p className="pattern-sum">
              <strong>{data.sessions.toLocaleString()}</strong> sessions from {moment(data.from)} to {moment(data.to)}, of which{' '}
              <strong>{data.incidents.toLocaleString()}</strong> have findings. Commands are known for {data.known.toLocaleString()}.
            </p>
            <Commands data={data} />
            <div className="pattern-pair">
              <Nodes data={data} />
              <Hours data={data} />
            </div>
          </>
        ))}
    </section>
  );
}

function Commands({ data: { commands, incidents, sessions: all } }: { readonly data: SessionPatterns }): ReactNode {
  return (
    <section>
      <h2 className="pattern-title">Commands before findings</h2>
      {commands.length === 0 ? (
        <p className="hint">
          {incidents < 2
            ? 'A command recurs once it ran before findings of two sessions: there are too few of them in this time.'
            : 'No command ran before the findings of two sessions. Commands are known where the kernel is watched, where shells mark them, or where a session was opened with one.'}
        </p>
      ) : (
        <div className="scroll">
          <table className="pattern-table">
            <TableHead
              titles={['Command', 'Before findings', 'Other sessions', 'Compared with other sessions', 'Newest sessions']}
              numbers={['Other sessions']}
            />
            <tbody>
              {commands.map(({ command, before, others, lift, sessions }) => (
                <tr key={command}>
                  <th scope="row">
                    <Link to={`/search${queryText({ q: `exe:${command.split(' ')[0]!}` })}`}>
                      <code>
                        <SafeText text={command} />
                      </code>
                    </Link>
                  </th>
                  <td>
                    <Bar part={before} of={incidents} /> {before.toLocaleString()} <small>of {incidents.toLocaleString()}</small>
                  </td>
                  <td className="number">{others.toLocaleString()}</td>
                  <td>{liftText(lift, all - incidents)}</td>
                  <td className="pattern-links">
                    {sessions.map((id, i) => (
                      <Link key={id} to={`/sessions/${id}`} title={id}>
                        <span className="sr">Session {id}, </span>
                        {i + 1}
                      </Link>
                    ))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Bar({ part, of }: { readonly part: number; readonly of: number }): ReactNode {
  return (
    <svg className="pattern-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect className="bar-whole" width="100" height="8" />
      <rect className="bar-part" width={of === 0 ? 0 : (100 * part) / of} height="8" />
    </svg>
  );
}

function Nodes({ data: { nodes, sessions, incidents } }: { readonly data: SessionPatterns }): ReactNode {
  const shown = nodes.slice(0, MAX_NODES);
  return (
    <section>
      <h2 className="pattern-title">Nodes</h2>
      <div className="scroll">
        <table className="pattern-table">
          <TableHead titles={['Node', 'Sessions', 'With findings', 'Compared with all nodes']} numbers={['Sessions']} />
          <tbody>
            {shown.map((node) => (
              <tr key={node.node}>
                <th scope="row">
                  <Link to={`/sessions${queryText({ node: node.node })}`}>
                    <SafeText text={node.node} />
                  </Link>
                </th>
                <td className="number">{node.sessions.toLocaleString()}</td>
                <td>
                  <Bar part={node.incidents} of={node.sessions} /> {node.incidents.toLocaleString()}
                </td>
                <td>{shareText(node, { sessions, incidents })}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {nodes.length > shown.length && <p className="hint">{(nodes.length - shown.length).toLocaleString()} more nodes.</p>}
    </section>
  );
}

function Hours({ data }: { readonly data: SessionPatterns }): ReactNode {
  const { cells, busiest } = hourGrid(data.hours);
  return (
    <section>
      <h2 className="pattern-title">Hours of the week, UTC</h2>
      <div className="pattern-scroll" tabIndex={0} role="group" aria-label="Hours of the week">
        <table className="pattern-hours">
          <thead>
            <tr>
              <td />
              {Array.from({ length: 24 }, (_, hour) => (
                <th key={hour} scope="col">
                  {hour % 6 === 0 ? hour : <span className="sr">{hour}</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {cells.map((row, day) => (
              <tr key={days[day]}>
                <th scope="row">{days[day]}</th>
                {row.map(({ sessions, incidents, level }, hour) => (
                  <td
                    key={hour}
                    className={`hour level-${level}${incidents > 0 ? ' hour-incident' : ''}`}
                    title={`${days[day]} ${hour}:00, ${sessions} sessions, ${incidents} with findings`}
                  >
                    <span className="sr">
                      {sessions} sessions, {incidents} with findings
                    </span>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="hint">
        Darker cells had more sessions; the busiest had {busiest.toLocaleString()}. <span className="hour-key" aria-hidden="true" /> with
        findings.
      </p>
    </section>
  );
}
