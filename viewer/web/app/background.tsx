/**
 * What waits in the background, in the header: nothing while nothing waits. It is asked for every ten seconds, and only for
 * who may view every session; nobody else is told.
 */
import type { ReactNode } from 'react';
import type { QueueName, QueueReport } from '#schemas/api/recordings/status.js';
import { bytes } from '../parts/format.js';
import { useAnswer } from '../parts/use-json.js';

const EVERY_MS = 10_000;
/** What is done sooner is nobody's concern. */
const SHOWN_AFTER_MS = 5_000;

const words: Readonly<Record<QueueName, string>> = {
  sealing: 'Sealing ended sessions',
  indexing: 'Indexing output',
  storing: 'Storing recordings',
  rows: 'Writing rows',
  kernel: 'Taking kernel events',
};

export function Background(): ReactNode {
  const { data } = useAnswer('GET /api/status', {}, EVERY_MS);
  const queues = waiting(data?.queues ?? [], Date.now());
  if (queues.length === 0) return null;
  return (
    <details className="background">
      <summary>Background work</summary>
      <ul>
        {queues.map((queue) => (
          <li key={queue.name}>{left(queue)}</li>
        ))}
      </ul>
    </details>
  );
}

export function waiting(queues: readonly QueueReport[], now: number): readonly QueueReport[] {
  return queues.filter((queue) => queue.waiting > 0 && queue.since !== null && now - queue.since >= SHOWN_AFTER_MS);
}

export function left({ name, unit, waiting: rest, done }: QueueReport): string {
  const amount = (value: number): string => (unit === 'bytes' ? bytes(value) : String(value));
  return `${words[name]}: ${amount(rest)} of ${amount(rest + done)} left`;
}
