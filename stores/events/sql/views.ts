/**
 * The views that users' SQL sees beside the tables, as common table expressions before the query: they are part of the same
 * statement, so the user's filters apply to the tables below them. Documented in schemas/sql/views.ts. Tested in people-sql.test.ts.
 */
import { sqlViews } from '#schemas/sql/views.js';

const views: Readonly<Record<string, string>> = {
  screens: 'SELECT session, at, offset_ms, row, text, user, node, login, block, index FROM screen',
  commands:
    'SELECT session, at, offset_ms, user, node, login, name AS command, path AS program, source AS observed_by ' +
    "FROM events WHERE kind = 'exec' AND NOT (source = 'recording' AND name = 'shell')",
  viewings:
    'SELECT a.at AS at, a.actor AS viewer, substring(a.event, 11) AS action, a.session AS session, ' +
    "s.user AS of_user, a.node AS node, a.login AS login, if(a.event IN ('recording.search', 'recording.query'), a.target, '') AS text, " +
    'a.outcome AS outcome, a.code AS code, a.source_address AS source_address ' +
    "FROM audit AS a LEFT JOIN (SELECT session, user FROM sessions) AS s ON s.session = a.session WHERE a.event IN ('recording.view', 'recording.follow', 'recording.export', 'recording.search', 'recording.query')",
};

/** Names allowed after FROM. */
export const readableTables: ReadonlySet<string> = new Set(['sessions', 'events', 'screen', 'audit', 'findings', ...Object.keys(views)]);

/**
 * The common table expressions before a query: the views that it names and, for a user with a scope, the tables below them with plain
 * types. The engine evaluates functions on the dictionary of a LowCardinality column, which contains values of filtered rows, and an
 * error would reveal them. Views that are not named cost nothing.
 */
export function withViews(used: ReadonlySet<string>, plainOf: { readonly database: string } | null): string {
  const named = Object.entries(views).filter(([name]) => used.has(name));
  const below =
    plainOf === null ? [] : tables.map(([name, select]): [string, string] => [name, `${select} FROM ${plainOf.database}.${name}`]);
  const needed = below.filter(([name]) => used.has(name) || named.some(([, sql]) => new RegExp(`\\b${name}\\b`).test(sql)));
  const all = [...needed, ...named];
  return all.length === 0 ? '' : `WITH ${all.map(([name, sql]) => `${name} AS (${sql})`).join(', ')} `;
}

/** `screen` is documented as `screens`. */
const tables = (['sessions', 'events', 'screen', 'findings', 'audit'] as const).map((table): readonly [string, string] => {
  const { columns } = sqlViews.find(({ name }) => name === (table === 'screen' ? 'screens' : table))!;
  const plain = columns.map(({ name, type }) => (type.includes('String') ? `CAST(\`${name}\`, '${type}') AS \`${name}\`` : `\`${name}\``));
  return [table, `SELECT ${plain.join(', ')}`];
});
