/**
 * The bytes that the hash of a query's answer is over: lines of JSON without blanks, each ended by a line feed. First the columns as
 * `[["name","type"],...]`, then one line a row, sorted by their UTF-16 units: without ORDER BY an answer has no order, and the hash is not to
 * depend on one. Whoever has the answer as JSON can compute it again: docs/sql.md. Tested in answers.test.ts.
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
