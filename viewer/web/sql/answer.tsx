/** The answer to a query: its proof, its rows, a chart, and downloads. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { csvLines } from '#schemas/sql/csv.js';
import { duration } from '../parts/format.js';
import { Copy, Empty } from '../parts/basics.js';
import { SafeText } from '../parts/safe-text.js';
import { Chart, axesOf } from './chart.js';
import type { Axes } from './chart.js';
import type { Answer } from './run.js';

/** Rows drawn at first, and added with each click on "more". */
const STEP = 200;

export function AnswerView({ answer }: { readonly answer: Answer }): ReactNode {
  const { columns, rows, done, sample } = answer;
  const [shown, setShown] = useState(STEP);
  const [axes, setAxes] = useState<Axes | null>(null);
  const possible = axesOf(answer);
  const numeric = columns.map(({ type }) => /^(Nullable\()?(U?Int|Float|Decimal)/.test(type));
  return (
    <section className="sql-answer" aria-label="Answer">
      <div className="sql-summary">
        <p>
          <strong>{rows.length === 1 ? '1 row' : `${rows.length.toLocaleString()} rows`}</strong>
          {sample !== null && done.population !== null && (
            <>
              {' '}
              of {done.population.toLocaleString()}, seed <code>{sample.seed}</code>
            </>
          )}
          <span className="hint"> · {duration(done.ms)}</span>
          {done.truncated && <span className="sql-cut"> · there are more rows than were asked for</span>}
        </p>
        <div className="sql-files">
          {possible !== null && rows.length > 0 && (
            <button type="button" className="quiet" aria-pressed={axes !== null} onClick={() => setAxes(axes === null ? possible : null)}>
              Chart
            </button>
          )}
          {(['CSV', 'JSON', 'Parquet'] as const).map((format) => (
            <button key={format} type="button" className="quiet" onClick={() => void save(answer, format)}>
              {format}
            </button>
          ))}
        </div>
      </div>
      <Copy text={`sha256 ${done.hash}`} label="Copy the hash of the answer" />
      {axes !== null && <Chart answer={answer} axes={axes} onAxes={setAxes} />}
      {rows.length === 0 ? (
        <Empty title="No rows">
          <p>Nothing that you may see fits. For a query that looks for what must not be, that is the proof.</p>
        </Empty>
      ) : (
        <div className="scroll sql-rows" tabIndex={0} role="region" aria-label="Rows">
          <table>
            <thead>
              <tr>
                {columns.map(({ name, type }, i) => (
                  <th key={i} scope="col" title={type} className={numeric[i] === true ? 'number' : undefined}>
                    <SafeText text={name} />
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, shown).map((row, r) => (
                <tr key={r}>
                  {row.map((value, i) => (
                    <td key={i} className={numeric[i] === true ? 'number' : undefined}>
                      <Cell value={value} name={columns[i]!.name} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {rows.length > shown && (
        <div className="pager">
          <button type="button" className="quiet" onClick={() => setShown(shown + 5 * STEP)}>
            Show more rows
          </button>
        </div>
      )}
    </section>
  );
}

function Cell({ value, name }: { readonly value: unknown; readonly name: string }): ReactNode {
  if (value === null) return <span className="hint">NULL</span>;
  const text = typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value);
  const safe = <SafeText text={text.length > 2000 ? `${text.slice(0, 2000)}…` : text} />;
  return name === 'session' && /^[0-9a-z]{26}$/.test(text) ? (
    <Link to={`/sessions/${text}`} className="mono">
      {safe}
    </Link>
  ) : (
    safe
  );
}

async function save(answer: Answer, format: 'CSV' | 'JSON' | 'Parquet'): Promise<void> {
  const { columns, rows } = answer;
  const parts: BlobPart[] =
    format === 'CSV'
      ? [...csvLines(answer)]
      : format === 'JSON'
        ? [JSON.stringify(rows.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]]))))]
        : [(await import('#schemas/sql/parquet.js')).parquetOf(answer) as Uint8Array<ArrayBuffer>];
  const type = { CSV: 'text/csv;charset=utf-8', JSON: 'application/json', Parquet: 'application/vnd.apache.parquet' }[format];
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `steno-${answer.done.hash.slice(0, 12)}.${format.toLowerCase()}`;
  link.click();
  URL.revokeObjectURL(url);
}
