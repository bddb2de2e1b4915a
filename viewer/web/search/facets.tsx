/** The facets of the hits: each value can narrow the search to itself or exclude itself. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { FoundOverview } from '#schemas/api/recordings/find.js';
import { SafeText } from '../parts/safe-text.js';
import { withValue } from './narrow.js';

const titles = { kind: 'What', user: 'Who', node: 'Where', login: 'Login' } as const;

export function Facets({ facets, query }: { readonly facets: FoundOverview['facets']; readonly query: string }): ReactNode {
  return (
    <div className="facets">
      {(Object.keys(titles) as (keyof typeof titles)[]).map((field) =>
        facets[field].length === 0 ? null : (
          <section key={field} aria-label={titles[field]}>
            <h2>{titles[field]}</h2>
            <ul>
              {facets[field].map(({ value, count }) => (
                <li key={value}>
                  <Link to={`/search?q=${encodeURIComponent(withValue(query, field, value))}`} title={`Only ${field}:${value}`}>
                    <span className="value">
                      <SafeText text={value} />
                    </span>
                    <span className="count">{count.toLocaleString()}</span>
                  </Link>
                  <Link
                    className="without"
                    to={`/search?q=${encodeURIComponent(withValue(query, field, value, true))}`}
                    aria-label={`Without ${field} ${value}`}
                    title={`Without ${field}:${value}`}
                  >
                    −
                  </Link>
                </li>
              ))}
            </ul>
          </section>
        ),
      )}
    </div>
  );
}
