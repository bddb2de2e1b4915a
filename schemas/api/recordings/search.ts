/** Search over the text of screens: `steno search`. */
import { z } from 'zod';
import { noBody, noParams, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, queryInteger, queryRange, queryText, record, texts } from '../../endpoint/fields.js';
import { isSessionId } from '../../recording/line.js';

const searchHit = record({
  session: z.string(),
  /** Offset in ms at which the line first appeared. */
  time: z.number(),
  /** Wall clock. */
  at: z.int(),
  row: z.int(),
  text: z.string(),
  user: z.string(),
  node: z.string(),
  login: z.string(),
  /** Lines seen just before and after, for context; at most two each. */
  before: texts,
  after: texts,
  /** Path of the viewer that opens the replay at this moment. */
  link: z.string(),
});
export type SearchHit = z.output<typeof searchHit>;

const searchResult = record({ hits: list(searchHit), next: z.string().nullable() });
export type SearchResult = z.output<typeof searchResult>;

export const searchScreens = viewerEndpoint({
  method: 'GET',
  path: '/api/search',
  summary: 'Search screens of sessions that the caller may view.',
  admits: ['user'],
  params: noParams,
  query: z.strictObject({
    user: queryText.optional(),
    node: queryText.optional(),
    login: queryText.optional(),
    ...queryRange,
    session: z.string().refine(isSessionId, 'not a session id').optional(),
    q: z
      .string()
      .min(1)
      .max(1000)
      .refine((value) => value.trim() !== '', 'is blank'),
    mode: z.enum(['auto', 'words', 'substring', 'regex']).default('auto'),
    limit: queryInteger(1, 100).default(25),
  }),
  body: noBody,
  answer: searchResult,
  errors: ['QUERY_TOO_HEAVY'],
});
