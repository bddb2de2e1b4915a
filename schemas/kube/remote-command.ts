/**
 * Streams to a container: the query of `exec` and `attach` (`PodExecOptions`, `PodAttachOptions` of the core API), and the frames of
 * the WebSocket subprotocols `v5.channel.k8s.io` and `v4.channel.k8s.io` (k8s.io/apimachinery `pkg/util/remotecommand`):
 *
 *     u8 channel ‖ data      0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 terminal size as JSON; v5: 255 ends the channel that
 *                            its one byte of data names
 *
 * Strict: an unknown or repeated parameter, or a frame that its sender may not send, is refused, because the recording must show
 * what ran. Tested in remote-command.test.ts.
 */
import { parseBoolean, parseQuery } from './request-line.js';

export const subprotocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;
export type Subprotocol = (typeof subprotocols)[number];

export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

export interface RemoteCommand {
  /** Empty: the pod's only or default container. */
  readonly container: string;
  /** For `exec` only. */
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

const MAX_ARGUMENTS = 1_024;
const containerPattern = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)?$/;
const flags = ['stdin', 'stdout', 'stderr', 'tty'] as const;

/** Null: not understood. */
export function parseRemoteCommand(subresource: 'exec' | 'attach', query: string): RemoteCommand | null {
  const pairs = parseQuery(query);
  if (pairs === null) return null;
  const read: { container: string; command: string[] } & Record<(typeof flags)[number], boolean> = {
    container: '',
    command: [],
    stdin: false,
    stdout: false,
    stderr: false,
    tty: false,
  };
  const seen = new Set<string>();
  for (const [name, value] of pairs) {
    if (name === 'command' && subresource === 'exec') {
      read.command.push(value);
      continue;
    }
    if (seen.has(name)) return null;
    seen.add(name);
    const flag = flags.find((known) => known === name);
    const set = parseBoolean(value);
    if (flag !== undefined && set !== null) read[flag] = set;
    else if (name === 'container' && containerPattern.test(value)) read.container = value;
    else return null;
  }
  if (read.command.length > MAX_ARGUMENTS || (subresource === 'exec' && read.command.length === 0)) return null;
  // A terminal has one output: a kubelet opens no separate stream of errors, whatever the client requests.
  if (read.tty) read.stderr = false;
  // Without any stream there is nothing to do or to record.
  if (!(read.stdin || read.stdout || read.stderr)) return null;
  return read;
}

export function formatRemoteCommand({ container, command, ...streams }: RemoteCommand): string {
  return [
    ...(container === '' ? [] : [['container', container] as const]),
    ...command.map((word) => ['command', word] as const),
    ...flags.filter((flag) => streams[flag]).map((flag) => [flag, 'true'] as const),
  ]
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
}

/** The ports of a `portforward` whose connections are channels (`PodPortForwardOptions`), at most `most`. Null: not understood. */
export function parseForwardedPorts(query: string, most: number): readonly number[] | null {
  const pairs = parseQuery(query);
  if (pairs === null || pairs.some(([name]) => name !== 'ports')) return null;
  const texts = pairs.flatMap(([, value]) => value.split(','));
  const ports = texts.filter((text) => /^[1-9]\d{0,4}$/.test(text)).map(Number);
  const known = ports.length === texts.length && ports.every((port) => port <= 65_535);
  return known && ports.length > 0 && ports.length <= most ? ports : null;
}

export type ClientFrame =
  | { readonly kind: 'stdin'; readonly data: Uint8Array }
  | { readonly kind: 'resize'; readonly cols: number; readonly rows: number }
  /** Half-close of stdin. */
  | { readonly kind: 'end' };

/** Parses a frame of the client; null if clients may not send it. */
export function parseClientFrame(frame: Uint8Array, protocol: Subprotocol): ClientFrame | null {
  const data = frame.subarray(1);
  switch (frame[0]) {
    case CHANNEL.stdin:
      return { kind: 'stdin', data };
    case CHANNEL.resize:
      return parseResize(data);
    case CHANNEL.close:
      return protocol === 'v5.channel.k8s.io' && data.length === 1 && data[0] === CHANNEL.stdin ? { kind: 'end' } : null;
    default:
      return null;
  }
}

/** `{"Width":80,"Height":24}`, each of 16 bits. */
function parseResize(data: Uint8Array): ClientFrame | null {
  if (data.length > 256) return null;
  try {
    const { Width: cols, Height: rows } = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data)) as Record<string, unknown>;
    return isCells(cols) && isCells(rows) ? { kind: 'resize', cols, rows } : null;
  } catch {
    return null;
  }
}

function isCells(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535;
}

/** The exit code from the Status on the error channel, or null if the command did not run to its end. */
export function exitCodeOf(status: Uint8Array): number | null {
  try {
    const {
      status: outcome,
      reason,
      details,
    } = JSON.parse(new TextDecoder().decode(status)) as {
      readonly status?: unknown;
      readonly reason?: unknown;
      readonly details?: { readonly causes?: readonly { readonly reason?: unknown; readonly message?: unknown }[] };
    };
    if (outcome === 'Success') return 0;
    const cause = reason === 'NonZeroExitCode' ? details?.causes?.find((one) => one.reason === 'ExitCode') : undefined;
    return typeof cause?.message === 'string' && /^\d{1,3}$/.test(cause.message) ? Number(cause.message) : null;
  } catch {
    return null;
  }
}
