/** The query library: queries that people saved, those that come with Steno, and the views with their columns. */
import type { ReactNode } from 'react';
import type { PackQuery, SqlSchema } from '#schemas/api/recordings/sql.js';
import { Failure } from '../parts/basics.js';
import { SafeText } from '../parts/safe-text.js';
import type { SavedQueries } from '../search/saved-searches.js';

export function Library({
  schema,
  chosen,
  saved,
  user,
  onQuery,
  onSaved,
  onInsert,
}: {
  readonly schema: SqlSchema;
  readonly chosen: string;
  readonly saved: SavedQueries;
  /** The current user: users can delete only their own queries here. */
  readonly user: string;
  readonly onQuery: (query: PackQuery) => void;
  readonly onSaved: (sql: string) => void;
  readonly onInsert: (text: string) => void;
}): ReactNode {
  const criteria = [...new Set(schema.packs.map(({ criterion }) => criterion))];
  return (
    <aside className="sql-library" aria-label="What can be asked">
      {saved.error !== null && <Failure error={saved.error} />}
      {saved.list !== null && saved.list.length > 0 && (
        <details open>
          <summary>Saved</summary>
          <ul className="sql-saved">
            {saved.list.map((one) => (
              <li key={one.id}>
                <button type="button" title={one.query} onClick={() => onSaved(one.query)}>
                  <SafeText text={one.name} />
                  {(one.owner !== user || one.shared) && (
                    <span>{one.owner === user ? 'shared' : <SafeText text={`by ${one.owner}`} />}</span>
                  )}
                </button>
                {one.owner === user && (
                  <button type="button" className="without" aria-label={`Delete ${one.name}`} onClick={() => saved.remove(one)}>
                    ×
                  </button>
                )}
              </li>
            ))}
          </ul>
        </details>
      )}
      <details open={matchMedia('(min-width: 900px)').matches}>
        <summary>Queries for SOC 2</summary>
        <ul>
          {criteria.map((criterion) => (
            <li key={criterion}>
              <h3>{criterion}</h3>
              {schema.packs
                .filter((query) => query.criterion === criterion)
                .map((query) => (
                  <button
                    key={query.id}
                    type="button"
                    aria-current={query.id === chosen ? 'true' : undefined}
                    onClick={() => onQuery(query)}
                  >
                    {query.title}
                  </button>
                ))}
            </li>
          ))}
        </ul>
      </details>
      <details>
        <summary>Views</summary>
        {schema.views.map(({ name, about, readable, columns }) => (
          <details key={name} className="sql-view">
            <summary>
              <code>{name}</code>
              {!readable && <span className="badge">no rows for you</span>}
            </summary>
            <p className="hint">{about}</p>
            <ul>
              {columns.map((column) => (
                <li key={column.name}>
                  <button
                    type="button"
                    onClick={() => onInsert(column.name)}
                    title={`${column.type}${column.about === '' ? '' : `: ${column.about}`}`}
                  >
                    <code>{column.name}</code>
                    <span>{column.about === '' ? column.type : column.about}</span>
                  </button>
                </li>
              ))}
            </ul>
          </details>
        ))}
      </details>
    </aside>
  );
}
