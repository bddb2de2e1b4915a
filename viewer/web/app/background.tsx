/**
 * Background work in the header; shows nothing while nothing is waiting. Polled every ten seconds, and only for users who may view
 * every session; other users are not told.
 */
import type { ReactNode } from 'react';
import type { QueueName, QueueReport } from '#schemas/api/recordings/status.js';
import { bytes } from '../parts/format.js';
import { useAnswer } from '../parts/use-json.js';

const EVERY_MS = 10_000;
/** Work that finishes sooner is not shown. */
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
      <summary title="Background work">
        <span>Background work</span>
      </summary>
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
