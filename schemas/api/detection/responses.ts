/** Automatic responses to findings, by policy (schemas/documents/response-policy.ts). */
import { z } from 'zod';
import { responseActions } from '../../documents/response-policy.js';
import { endpoint } from '../../endpoint/endpoint.js';
import { moment, name, record } from '../../endpoint/fields.js';
import { findingIdPattern, sessionIdPattern, severities } from '../../events/rows.js';

export const respondToFinding = endpoint({
  method: 'POST',
  path: '/v1/findings/:name/response',
  summary: 'Take the response to a finding that the policy of this authority prescribes; once, however often it is requested.',
  admits: ['analyzer'],
  event: 'response.take',
  params: z.strictObject({ name: z.string().regex(findingIdPattern, 'is not the id of a finding') }),
  body: z.strictObject({
    rule: z.string().min(1).max(255),
    title: z.string().max(256),
    severity: z.enum(severities),
    tier: z.enum(['signal', 'alert', 'session']),
    /** Time of the finding's event, ms since 1970. */
    at: z.int().min(0).max(8_640_000_000_000_000),
    session: z.string().regex(sessionIdPattern),
    user: z.string().max(255),
    node: z.string().max(255),
    login: z.string().max(255),
    /** The finding's reason, which suppressions match. */
    reason: z.string().max(4096),
    roles: z.array(name).max(256),
  }),
  answer: record({
    /** none: no response matches, the finding is suppressed, or it is too old. limited: beyond the policy's limit. dry_run: only recorded. */
    kind: z.enum(['none', 'limited', 'dry_run', 'taken']),
    action: z.enum(responseActions).nullable(),
    /** The lock that was set, and its end; null if none was. */
    lock: z.string().nullable(),
    expires_at: moment.nullable(),
  }),
  errors: [],
});

export const responseEndpoints = [respondToFinding] as const;
