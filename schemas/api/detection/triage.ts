/** Decisions of people about findings: `steno findings ack|resolve|dismiss|reopen`. */
import { z } from 'zod';
import { endpoint, relayedSignedIn } from '../../endpoint/endpoint.js';
import { moment, record } from '../../endpoint/fields.js';
import { findingIdPattern } from '../../events/rows.js';

const decidedStates = ['open', 'acknowledged', 'resolved', 'dismissed'] as const;
export type DecidedState = (typeof decidedStates)[number];

export const triageFinding = endpoint({
  method: 'POST',
  path: '/v1/findings/:name/triage',
  summary: 'Triage a finding. Resolving, dismissing or reopening one requires a reason.',
  admits: ['finding:update', 'viewer'],
  relayed: { ...relayedSignedIn, bodyLimit: 8192 },
  event: 'finding.triage',
  params: z.strictObject({ name: z.string().regex(findingIdPattern, 'is not the id of a finding') }),
  body: z
    .strictObject({ state: z.enum(decidedStates), reason: z.string().max(1024).default('') })
    .refine(({ state, reason }) => state === 'acknowledged' || reason.trim() !== '', { path: ['reason'], message: 'say why' }),
  answer: record({
    finding: z.string(),
    state: z.enum(decidedStates),
    version: z.int(),
    by: z.string(),
    at: moment,
    reason: z.string(),
  }),
  errors: [],
});

export const triageEndpoints = [triageFinding] as const;
