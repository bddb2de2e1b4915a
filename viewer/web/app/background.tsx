/**
 * What waits in the background, in the header: nothing while nothing waits. It is asked for every ten seconds, and only for
 * who may view every session; nobody else is told.
 */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { QueueName, QueueReport, StatusReport } from '#schemas/api/recordings/status.js';
import { getJson } from '../parts/api.js';
import { bytes } from '../parts/format.js';

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
  const [queues, setQueues] = useState<readonly QueueReport[]>([]);
  useEffect(() => {
    const asking = new AbortController();
    const ask = (): void => {
      if (document.hidden) return;
      void getJson<StatusReport>('/api/status', asking.signal).then(
        (report) => setQueues(waiting(report.queues, Date.now())),
        () => undefined,
      );
    };
    ask();
    const timer = setInterval(ask, EVERY_MS);
    return () => {
      asking.abort();
      clearInterval(timer);
    };
  }, []);
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
