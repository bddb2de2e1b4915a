/** Separate from the declarations, so that the page can build paths without loading the validators. */

/** The path with its parameters filled in, and the given values of the query. */
export function targetOf(path: string, params: Readonly<Record<string, unknown>>, query: Readonly<Record<string, unknown>> = {}): string {
  const target = path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(params[name])));
  const search = Object.entries(query)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(String(value))}`]))
    .join('&');
  return search === '' ? target : `${target}?${search}`;
}
