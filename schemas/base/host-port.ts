/**
 * `host:port` as configurations and node records write it: a name or an IPv4 address, or an IPv6 address in brackets. Port 0 is
 * accepted, because a listener may ask for any free port. Tested in host-port.test.ts.
 */
import { StenoError } from './errors.js';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** An address that can be dialled, so not with port 0. */
export function parseDialAddress(text: string): HostPort | undefined {
  const address = parseHostPort(text);
  return address?.port === 0 ? undefined : address;
}

/** Throws USAGE. */
export function requireHostPort(text: string): HostPort {
  const parsed = parseHostPort(text);
  if (parsed === undefined) throw new StenoError('USAGE', `${text} is not HOST:PORT`);
  return parsed;
}

export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
