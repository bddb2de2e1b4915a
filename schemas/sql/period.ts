/**
 * `{from}` and `{to}` in a query: the beginning and the end of a period. They are replaced before the query is sent, so that the complete
 * query is run, audited and hashed. In quotes, names and comments they are not replaced. Tested in answers.test.ts.
 */
export interface Period {
  /** ms since 1970; inclusive. */
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

const token = /'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|--[^\n]*|\/\*[^]*?\*\/|\{(from|to)\}/g;

export function asksForPeriod(sql: string): boolean {
  return [...sql.matchAll(token)].some(([, name]) => name !== undefined);
}

export function withPeriod(sql: string, period: Period): string {
  return sql.replace(token, (whole, name: 'from' | 'to' | undefined) => (name === undefined ? whole : momentOf(period[name])));
}

function momentOf(ms: number): string {
  return `toDateTime64('${new Date(ms).toISOString().slice(0, 23).replace('T', ' ')}', 3, 'UTC')`;
}
