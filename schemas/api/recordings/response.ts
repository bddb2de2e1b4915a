/** How fast people respond to findings: `steno findings response`, and the page. */
import { z } from 'zod';
import { noBody, noParams, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, moment, queryRange, record } from '../../endpoint/fields.js';

const measured = record({
  /** Number of findings with a value. */
  count: z.int(),
  /** ms since the finding; null without values. */
  median: z.number().nullable(),
  p90: z.number().nullable(),
});

export const showResponse = viewerEndpoint({
  method: 'GET',
  path: '/api/finding-response',
  summary:
    'Show times from findings to the first look, a lock, the end of their sessions, and the decision that closed them, by month. Requires the rights to read findings and the audit log.',
  admits: ['user'],
  params: noParams,
  /** Bounds the time of the findings; the last twelve months by default. */
  query: z.strictObject({ from: queryRange.from, to: queryRange.to }),
  body: noBody,
  answer: record({
    from: moment,
    to: moment,
    /** The earliest first; months without findings are left out. */
    months: list(
      record({
        /** Start of the month in UTC. */
        month: moment,
        findings: z.int(),
        look: measured,
        lock: measured,
        ended: measured,
        closed: measured,
      }),
    ),
  }),
  errors: ['QUERY_TOO_HEAVY'],
});
