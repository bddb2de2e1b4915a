/**
 * SQL: an editor over the data that the user may see, the queries that prove controls, and answers with the hash that the audit log
 * keeps.
 */
import { useEffect, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import { useSearchParams } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import { MAX_SQL } from '#schemas/sql/bounds.js';
import { asksForPeriod, withPeriod } from '#schemas/sql/period.js';
import { Failure, useTitle } from '../parts/basics.js';
import { MomentFilter, useFilters } from '../parts/filters.js';
import { useAnswer } from '../parts/use-json.js';
import { SaveQuery, useSaved } from '../search/saved-searches.js';
import { AnswerView } from './answer.js';
import { Library } from './library.js';
import { useRun } from './run.js';
import './sql.css';

const DAY_MS = 86_400_000;
/** Longer queries do not fit into an address everywhere. */
const MAX_LINKED = 4000;
const names = ['q', 'pack', 'from', 'to', 'rows', 'sample', 'seed'] as const;
const start = `SELECT user, node, count() AS sessions, max(started_at) AS last
FROM sessions
WHERE started_at >= {from} AND started_at < {to}
GROUP BY user, node
ORDER BY sessions DESC`;

export function SqlPage({ me }: { readonly me: Me }): ReactNode {
  useTitle('SQL');
  const [query] = useSearchParams();
  const filters = useFilters(names);
  const schema = useAnswer('GET /api/sql/schema', {});
  const saved = useSaved('sql');
  const packId = filters.get('pack');
  const pack = schema.data?.packs.find(({ id }) => id === packId) ?? null;
  const [draft, setDraft] = useState(query.get('q') ?? (packId === '' ? start : ''));
  const editor = useRef<HTMLTextAreaElement>(null);
  const { run, start: begin, cancel } = useRun();
  // A link to a query of a pack holds only its name; the text comes with the schema.
  useEffect(() => {
    if (pack !== null && draft === '') setDraft(pack.sql);
  }, [pack, draft]);

  const asksPeriod = asksForPeriod(draft);
  const to = Number(filters.get('to')) || Date.now();
  const from = Number(filters.get('from')) || to - 90 * DAY_MS;
  const size = Math.min(10_000, Number(filters.get('sample')) || 0);
  const running = run.kind === 'running';
  const submit = (): void => {
    if (draft.trim() === '') return;
    const seed = size === 0 ? '' : filters.get('seed') || randomSeed();
    filters.set({ q: pack?.sql === draft || draft.length > MAX_LINKED ? '' : draft, pack: pack?.sql === draft ? pack.id : '', seed });
    begin({
      sql: asksPeriod ? withPeriod(draft, { from, to }) : draft,
      rows: Number(filters.get('rows')) || 1000,
      sample: size === 0 ? null : { size, seed },
    });
  };
  const insert = (text: string): void => {
    const area = editor.current;
    const [a, b] = area === null ? [draft.length, draft.length] : [area.selectionStart, area.selectionEnd];
    setDraft(`${draft.slice(0, a)}${text}${draft.slice(b)}`);
    area?.focus();
  };
  return (
    <section className="page sql-page">
      <div className="page-head">
        <h1>SQL</h1>
        <p className="hint">Over the rows that your roles show. Every query is in the audit log, with the hash of its answer.</p>
        <div className="sql-keep">
          {draft.trim() !== '' && pack?.sql !== draft && <SaveQuery me={me} language="sql" query={draft} onSaved={saved.reload} />}
        </div>
      </div>
      {schema.error !== null && <Failure error={schema.error} />}
      <div className="sql-layout">
        {schema.data !== null && (
          <Library
            schema={schema.data}
            chosen={packId}
            saved={saved}
            user={me.user}
            onInsert={insert}
            onQuery={({ id, sql }) => {
              setDraft(sql);
              filters.set({ q: '', pack: id });
            }}
            onSaved={(query) => {
              setDraft(query);
              filters.set({ q: query.length > MAX_LINKED ? '' : query, pack: '' });
            }}
          />
        )}
        <div className="sql-main">
          {pack !== null && (
            <p className="sql-proves">
              <strong>
                {pack.criterion} · {pack.title}.
              </strong>{' '}
              {pack.proves}
            </p>
          )}
          <form
            onSubmit={(event) => {
              event.preventDefault();
              submit();
            }}
          >
            <textarea
              ref={editor}
              value={draft}
              maxLength={MAX_SQL}
              spellCheck={false}
              autoCapitalize="off"
              autoComplete="off"
              aria-label="Query"
              rows={Math.min(22, Math.max(7, draft.split('\n').length + 1))}
              onChange={(event) => setDraft(event.target.value)}
              onKeyDown={(event) => {
                if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
                event.preventDefault();
                submit();
              }}
            />
            <div className="filter-row">
              {asksPeriod && <MomentFilter label="{from} (default: 90 days ago)" name="from" filters={filters} />}
              {asksPeriod && <MomentFilter label="{to} (default: now)" name="to" filters={filters} />}
              <NumberField label="Row limit" name="rows" filters={filters} placeholder="1000" max={100_000} />
              <NumberField label="Sample size" name="sample" filters={filters} placeholder="all" max={10_000} />
              {size > 0 && (
                <label className="field">
                  <span>Seed</span>
                  <input
                    value={filters.get('seed')}
                    maxLength={64}
                    placeholder="made when it runs"
                    onChange={(event) => filters.set({ seed: event.target.value })}
                  />
                </label>
              )}
              <div className="sql-run">
                {/* The keys keep these separate elements: one that changed from Cancel to Run within a click would submit. */}
                {running ? (
                  <button key="cancel" type="button" className="sql-cancel" onClick={cancel}>
                    Cancel
                  </button>
                ) : (
                  <button key="run" type="submit" title="Ctrl+Enter">
                    Run
                  </button>
                )}
              </div>
            </div>
          </form>
          <div aria-live="polite">
            {run.kind === 'running' && <Progress {...run} />}
            {run.kind === 'failed' && <Failure error={run.error} />}
          </div>
          {run.kind === 'answered' && <AnswerView key={`${run.answer.done.hash} ${run.answer.done.ms}`} answer={run.answer} />}
        </div>
      </div>
    </section>
  );
}

function NumberField({
  label,
  name,
  filters,
  placeholder,
  max,
}: {
  readonly label: string;
  readonly name: string;
  readonly filters: ReturnType<typeof useFilters>;
  readonly placeholder: string;
  readonly max: number;
}): ReactNode {
  return (
    <label className="field sql-number">
      <span>{label}</span>
      <input
        type="number"
        min={1}
        max={max}
        value={filters.get(name)}
        placeholder={placeholder}
        onChange={(event) => filters.set({ [name]: event.target.value })}
      />
    </label>
  );
}

function Progress({ ms, rows, of }: { readonly ms: number; readonly rows: number | null; readonly of: number | null }): ReactNode {
  const share = rows === null || of === null || of === 0 ? null : Math.min(1, rows / of);
  return (
    <div className="sql-progress">
      <progress {...(share === null ? {} : { value: share })} aria-label="Progress of the query" />
      <span>
        {Math.round(ms / 1000)} s{rows === null ? '' : `, ${rows.toLocaleString()} of ${(of ?? rows).toLocaleString()} rows read`}
      </span>
    </div>
  );
}

function randomSeed(): string {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
