import { describe, expect, it } from 'vitest';
import { isLocalScrape, metricsText } from './metrics.js';

describe('metrics', () => {
  it('are of every queue, in the text format', () => {
    const text = metricsText([{ name: 'sealing', unit: 'sessions', waiting: 3, done: 1, total: 9, since: 1_500 }], {
      refused: 4,
      displaced: 2,
    });
    expect(text.split('\n')).toEqual([
      '# HELP steno_queue_waiting Background work that waits or is under way.',
      '# TYPE steno_queue_waiting gauge',
      'steno_queue_waiting{queue="sealing",unit="sessions"} 3',
      '# HELP steno_queue_done_total Background work finished since the process started.',
      '# TYPE steno_queue_done_total counter',
      'steno_queue_done_total{queue="sealing",unit="sessions"} 9',
      '# HELP steno_queue_since_seconds When the queue was last empty, in seconds since 1970; 0 when nothing waits.',
      '# TYPE steno_queue_since_seconds gauge',
      'steno_queue_since_seconds{queue="sealing",unit="sessions"} 1.5',
      '# HELP steno_connections_turned_away_total Connections to this port that were closed before admission, for there were too many strangers.',
      '# TYPE steno_connections_turned_away_total counter',
      'steno_connections_turned_away_total{how="refused"} 4',
      'steno_connections_turned_away_total{how="displaced"} 2',
      '',
    ]);
  });

  it.each([
    ['127.0.0.1', { host: 'localhost:8090' }, true],
    ['::1', { host: '[::1]:8090' }, true],
    ['::ffff:127.0.0.1', { host: '127.0.0.1' }, true],
    ['10.0.0.7', { host: 'localhost:8090' }, false],
    ['127.0.0.1', { host: 'steno.example.com' }, false],
    ['127.0.0.1', { host: 'localhost:8090', 'x-forwarded-for': '10.0.0.7' }, false],
    ['127.0.0.1', { host: 'localhost:8090', via: '1.1 proxy' }, false],
    ['127.0.0.1', {}, false],
    [undefined, { host: 'localhost' }, false],
  ])('from %s with %o: %s', (remoteAddress, headers, admitted) => {
    expect(isLocalScrape({ socket: { remoteAddress }, headers })).toBe(admitted);
  });
});
