/** An overview of all hits of a search: how many, when, and the most frequent values. Tested in search.test.ts. */
import { indexedSettings } from '../queries/paging.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery } from '../contract.js';
import type { SearchOverview, SearchOverviewQuery } from '../search-contract.js';
import { MAX_HISTOGRAM, searchOverviewQuery } from '../search-contract.js';
import { conditionsIn, identityHash, tablesAsked, unionOf } from './asked.js';
import type { Union } from './asked.js';
import type { Recency } from './recency.js';

const facetNames = ['user', 'node', 'login', 'kind'] as const;
const FACET_VALUES = 12;

/**
 * All hits counted: by time, and by user, node, login and kind. How wide the bars are follows from the first and the last hit; hits are
 * read a second time only if the width that was guessed from the whole store is another.
 */
export async function searchOverview(engine: Engine, query: SearchOverviewQuery, recency: Recency): Promise<SearchOverview> {
  const { expression, scope } = parseQuery(searchOverviewQuery, query);
  const tables = await tablesAsked(engine, { expression, scope });
  const hits = unionOf(
    conditionsIn(tables, { expression, scope }),
    ({ name, moment, identity, kind }) =>
      `${moment} AS moment, ${identityHash(identity)} AS id, toString(${name === 'audit' ? 'actor' : 'user'}) AS facet_user, toString(node) AS facet_node, ` +
      `toString(login) AS facet_login, ${kind === null ? 'toString(kind)' : `'${kind}'`} AS facet_kind, ` +
      `cityHash64(session) AS session_hash, session != '' AS of_session`,
  );
  const empty = { total: 0, sessions: 0, step_ms: 1, histogram: [], facets: { user: [], node: [], login: [], kind: [] } };
  if (hits === undefined) return empty;
  const span = await recency.span(expression);
  const guessed = span === undefined ? undefined : stepOf(span.from, span.to);
  const facets = facetNames.map((name) => `facet_${name}`);
  // The empty set is of all hits.
  const groups = [...facets, ...(guessed === undefined ? [] : ['bucket'])];
  const sets = [...groups.map((name) => `(${name})`), '()'].join(', ');
  const found = await engine.read(
    `SELECT grouping(${groups.join(', ')}) AS which, ${groups.map((name) => `toString(${name})`).join(', ')}, uniqCombined64(id) AS hits, ` +
      `uniqCombined64If(session_hash, of_session), toUnixTimestamp64Milli(min(moment)), toUnixTimestamp64Milli(max(moment)) ` +
      `FROM (SELECT *, intDiv(toUnixTimestamp64Milli(moment), ${guessed ?? 1}) AS bucket FROM (${hits.sql})) GROUP BY GROUPING SETS (${sets}) ` +
      `ORDER BY which, hits DESC, ${groups.join(', ')} LIMIT ${MAX_HISTOGRAM + 4} BY which ${indexedSettings('search_overview')}`,
    hits.parameters,
  );
  const counted: Record<string, { value: string; count: number }[]> = Object.fromEntries(facetNames.map((name) => [name, []]));
  const bars: { at: number; count: number }[] = [];
  let all: readonly number[] = [];
  for (const [which, ...values] of found) {
    // grouping() sets a bit for each expression that is not of the set, the first the highest.
    const of = groups.findIndex((_, i) => ((Number(which) >> (groups.length - 1 - i)) & 1) === 0);
    const [count, ...rest] = values.slice(groups.length).map(Number);
    const name = facetNames[of];
    if (of < 0) all = [count!, ...rest];
    else if (name === undefined) bars.push({ at: Number(values[of]) * guessed!, count: count! });
    else if (String(values[of]) !== '' && counted[name]!.length < FACET_VALUES)
      counted[name]!.push({ value: String(values[of]), count: count! });
  }
  const [total = 0, sessions = 0, first = 0, last = 0] = all;
  if (total === 0) return empty;
  const step = stepOf(first, last);
  const histogram = step === guessed ? bars : await barsOf(engine, hits, step);
  return {
    total,
    sessions,
    step_ms: step,
    histogram: histogram.sort((a, b) => a.at - b.at),
    facets: counted as unknown as SearchOverview['facets'],
  };
}

async function barsOf(engine: Engine, hits: Union, step: number): Promise<{ at: number; count: number }[]> {
  const found = await engine.read(
    `SELECT intDiv(toUnixTimestamp64Milli(moment), ${step}) AS bucket, uniqCombined64(id) FROM (${hits.sql}) ` +
      `GROUP BY bucket LIMIT ${MAX_HISTOGRAM + 4} ${indexedSettings('search_bars')}`,
    hits.parameters,
  );
  return found.map(([bucket, count]) => ({ at: Number(bucket) * step, count: Number(count) }));
}

const steps = [1e3, 5e3, 15e3, 60e3, 300e3, 900e3, 3.6e6, 10.8e6, 43.2e6, 86.4e6, 7 * 86.4e6, 28 * 86.4e6, 364 * 86.4e6] as const;

/** The finest step that does not exceed the number of bars. */
function stepOf(first: number, last: number): number {
  return steps.find((step) => Math.floor(last / step) - Math.floor(first / step) < MAX_HISTOGRAM) ?? steps.at(-1)!;
}
