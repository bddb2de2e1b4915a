/** An address to listen at, as configurations write it. */
import { StenoError } from '#schemas/base/errors.js';

/** Throws USAGE. */
export function hostAndPort(listen: string): [host: string, port: number] {
  const match = /^\[?([^[\]]+?)\]?:(\d{1,5})$/.exec(listen);
  if (match === null || Number(match[2]) > 65_535) throw new StenoError('USAGE', `${listen} is not host:port`);
  return [match[1]!, Number(match[2])];
}
