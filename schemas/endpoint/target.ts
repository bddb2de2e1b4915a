/** Apart from the declarations, so that the page can fill in paths without what checks their values. */

/** The path with its parameters filled in, and the values of the query that are there. */
export function targetOf(path: string, params: Readonly<Record<string, unknown>>, query: Readonly<Record<string, unknown>> = {}): string {
  const target = path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(params[name])));
  const search = Object.entries(query)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(String(value))}`]))
    .join('&');
  return search === '' ? target : `${target}?${search}`;
}
