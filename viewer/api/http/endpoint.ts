/** `host:port` or `[v6]:port` as people write it. Tested in guard.test.ts. */
import { StenoError } from '#schemas/base/errors.js';

export function parseEndpoint(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new StenoError('USAGE', `not host:port: ${text}`);
  return { host: match[1] ?? match[2]!, port };
}
