/**
 * The bytes that the hash of a query's answer covers: lines of JSON without blanks, each ending in a line feed. First the columns as
 * `[["name","type"],...]`, then one line per row, sorted by UTF-16 units: without ORDER BY an answer has no order, so the hash must not
 * depend on one. Anybody who has the answer as JSON can recompute the hash: docs/sql.md. Tested in answers.test.ts.
 */
export interface SqlAnswer {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
}

export function* canonicalLines({ columns, rows }: SqlAnswer): Generator<string> {
  yield `${JSON.stringify(columns.map(({ name, type }) => [name, type]))}\n`;
  const lines = rows.map((row) => JSON.stringify(row));
  lines.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  for (const line of lines) yield `${line}\n`;
}
