/** How fast people respond to findings: four measures by month, each with its latest median, its trend, and the figures below. */
import type { ReactNode } from 'react';
import { responseMeasures, trendOf } from '#schemas/events/response.js';
import type { ResponseMeasure, ResponseMonth } from '#schemas/events/response.js';
import { Empty, Failure, TableHead, useTitle } from '../parts/basics.js';
import { MomentFilter, useFilters } from '../parts/filters.js';
import { numbered } from '../parts/format.js';
import { SectionHead, findingSections } from '../parts/section-nav.js';
import { useAnswer } from '../parts/use-json.js';
import { plotOf, spanText } from './response-plot.js';
import type { Column, Plot } from './response-plot.js';
import './findings.css';

const measures: Readonly<Record<ResponseMeasure, { readonly title: string; readonly about: string }>> = {
  look: { title: 'First look', about: 'until somebody else opened the session, or decided about the finding' },
  lock: { title: 'Lock', about: 'until its session, user or node was locked or frozen, by a person or by policy' },
  ended: { title: 'Session ended', about: 'until the session was over, where a lock came before that' },
  closed: { title: 'Closed', about: 'until it was resolved or dismissed' },
};
const names = ['from', 'to'] as const;
const monthName = new Intl.DateTimeFormat(undefined, { month: 'short', timeZone: 'UTC' });
const monthAndYear = new Intl.DateTimeFormat(undefined, { month: 'short', year: 'numeric', timeZone: 'UTC' });

export function ResponsePage(): ReactNode {
  useTitle('Response');
  const filters = useFilters(names);
  const { data, error } = useAnswer('GET /api/finding-response', { query: { from: filters.get('from'), to: filters.get('to') } });
  const months = data?.months ?? [];
  return (
    <section className="page reading response">
      <SectionHead title="Response" here="/findings/response" sections={findingSections(true)} />
      <p className="page-about">
        Time from the event behind a finding to each step of the response. Signals and suppressed findings are not counted.
      </p>
      <div className="filter-row response-filters">
        <MomentFilter label="From (default: a year ago)" name="from" filters={filters} />
        <MomentFilter label="To (default: now)" name="to" filters={filters} />
      </div>
      {error !== null && <Failure error={error} />}
      {data !== null && months.length === 0 && (
        <Empty title="No findings in this time">
          <p>When there are some, this page shows how fast they were looked at and settled, month by month.</p>
        </Empty>
      )}
      {months.length > 0 && (
        <>
          <div className="response-plots">
            {responseMeasures.map((measure) => (
              <Measure key={measure} measure={measure} months={months} />
            ))}
          </div>
          <Figures months={months} />
        </>
      )}
    </section>
  );
}

function Measure({ measure, months }: { readonly measure: ResponseMeasure; readonly months: readonly ResponseMonth[] }): ReactNode {
  const plot = plotOf(months, measure);
  const last = plot.columns.findLast(({ median }) => median !== null);
  const trend = trendOf(months, measure);
  const { title, about } = measures[measure];
  return (
    <figure className="response-measure" aria-label={`${title} by month; the figures are in the table below`}>
      <figcaption>
        <h2>{title}</h2>
        {last === undefined ? (
          <p className="hint">not yet measured</p>
        ) : (
          <p className="response-now">
            <strong>{spanText(last.median!)}</strong> <span>median of {monthAndYear.format(last.month)}</span>
            {trend !== null && <Trend change={trend} />}
          </p>
        )}
        <p className="hint">{about}</p>
      </figcaption>
      {last !== undefined && <Columns plot={plot} />}
    </figure>
  );
}

function Trend({ change }: { readonly change: number }): ReactNode {
  const percent = Math.round(Math.abs(change) * 100);
  if (percent === 0) return <span className="response-trend">as before</span>;
  const faster = change < 0;
  return (
    <span className={`response-trend ${faster ? 'faster' : 'slower'}`} title="the newer half of the months against the older">
      <span aria-hidden="true">{faster ? '▾' : '▴'} </span>
      {percent.toLocaleString()} % {faster ? 'faster' : 'slower'}
    </span>
  );
}

function Columns({ plot: { columns, marks, share } }: { readonly plot: Plot }): ReactNode {
  const each = Math.ceil(columns.length / 12);
  const heading = ({ month, count, median, p90 }: Column): string =>
    `${monthAndYear.format(month)}: ${median === null ? 'none measured' : `median ${spanText(median)}, nine of ten within ${spanText(p90!)}, ${numbered(count, 'finding')}`}`;
  return (
    <div className="response-plot" aria-hidden="true">
      <div className="response-scale">
        {marks.map(({ ms, share: height }) => (
          <span key={ms} style={{ bottom: `${height * 100}%` }}>
            {spanText(ms)}
          </span>
        ))}
      </div>
      <div className="response-columns">
        {marks.map(({ ms, share: height }) => (
          <i key={ms} style={{ bottom: `${height * 100}%` }} />
        ))}
        {columns.map((column) => (
          <div key={column.month} className="response-column" title={heading(column)}>
            {column.median !== null && (
              <>
                <span
                  className="reach"
                  style={{ bottom: `${share(column.median) * 100}%`, height: `${(share(column.p90!) - share(column.median)) * 100}%` }}
                />
                <span className="median" style={{ bottom: `${share(column.median) * 100}%` }} />
              </>
            )}
          </div>
        ))}
      </div>
      <div className="response-months">
        {columns.map(({ month }, i) => (
          <span key={month}>{(columns.length - 1 - i) % each === 0 ? monthName.format(month) : ''}</span>
        ))}
      </div>
    </div>
  );
}

function Figures({ months }: { readonly months: readonly ResponseMonth[] }): ReactNode {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Medians by month">
      <table className="response-figures">
        <caption className="sr">Median of each measure by month, and of how many findings</caption>
        <TableHead titles={['Month', 'Findings', ...responseMeasures.map((measure) => measures[measure].title)]} numbers={['Findings']} />
        <tbody>
          {months.toReversed().map((month) => (
            <tr key={month.month}>
              <td className="nowrap">{monthAndYear.format(month.month)}</td>
              <td className="number">{month.findings.toLocaleString()}</td>
              {responseMeasures.map((measure) => {
                const { count, median, p90 } = month[measure];
                return (
                  <td key={measure} className="nowrap">
                    {median === null ? (
                      '–'
                    ) : (
                      <>
                        {spanText(median)}{' '}
                        <span className="hint">
                          {numbered(count, 'finding')}, 90 % within {spanText(p90!)}
                        </span>
                      </>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
