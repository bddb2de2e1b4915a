/**
 * `GET /metrics`: background queues and the number of refused connections, in Prometheus text format 0.0.4.
 *
 * Only programs on this machine may ask, and only directly: the connection comes from a loopback address, `Host` is a loopback name,
 * and no proxy relayed the request; everybody else gets a not-found answer. The metrics contain counts and no names. Tested in
 * metrics.test.ts and viewer/api/main.test.ts.
 */
import type { IncomingMessage } from 'node:http';
import type { QueueReport } from '#schemas/api/recordings/status.js';
import type { TurnedAway } from '#runtime/http/stranger-slots.js';

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const passedOn = ['x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'forwarded', 'via'] as const;

export function isLocalScrape({
  socket,
  headers,
}: Pick<IncomingMessage, 'headers'> & { readonly socket: Pick<IncomingMessage['socket'], 'remoteAddress'> }): boolean {
  const peer = socket.remoteAddress ?? '';
  return (
    (peer === '::1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(peer)) &&
    /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(headers.host ?? '') &&
    passedOn.every((name) => headers[name] === undefined)
  );
}

interface Metric {
  readonly name: string;
  readonly kind: 'gauge' | 'counter';
  readonly help: string;
  readonly value: (queue: QueueReport) => number;
}

const metrics: readonly Metric[] = [
  { name: 'steno_queue_waiting', kind: 'gauge', help: 'Background work that waits or is under way.', value: ({ waiting }) => waiting },
  {
    name: 'steno_queue_done_total',
    kind: 'counter',
    help: 'Background work finished since the process started.',
    value: ({ total }) => total,
  },
  {
    name: 'steno_queue_since_seconds',
    kind: 'gauge',
    help: 'When the queue was last empty, in seconds since 1970; 0 when nothing waits.',
    value: ({ since }) => (since ?? 0) / 1000,
  },
];

export function metricsText(queues: readonly QueueReport[], strangers: TurnedAway): string {
  const turnedAway = 'steno_connections_turned_away_total';
  return metrics
    .flatMap(({ name, kind, help, value }) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${kind}`,
      ...queues.map((queue) => `${name}{queue="${queue.name}",unit="${queue.unit}"} ${value(queue)}`),
    ])
    .concat(
      `# HELP ${turnedAway} Connections to this port that were closed before admission, for there were too many strangers.`,
      `# TYPE ${turnedAway} counter`,
      `${turnedAway}{how="refused"} ${strangers.refused}`,
      `${turnedAway}{how="displaced"} ${strangers.displaced}`,
    )
    .map((line) => `${line}\n`)
    .join('');
}
