/** Reviews of access: the holders of roles, and the decisions of reviewers: `steno review`. */
import { z } from 'zod';
import { endpoint, noBody, noParams } from '../../endpoint/endpoint.js';
import { name } from '../../endpoint/fields.js';

const decision = z.enum(['keep', 'remove']);

const accessDecision = z
  .strictObject({
    user: z.string(),
    role: z.string(),
    decision,
    reason: z.string(),
    reviewer: z.string(),
    /** ms since 1970. */
    at: z.int(),
  })
  .readonly();
export type AccessDecision = z.output<typeof accessDecision>;

/** One user with one role. */
const accessHolding = z
  .strictObject({
    user: z.string(),
    kind: z.enum(['local', 'sso', 'bot']),
    disabled: z.boolean(),
    role: z.string(),
    /** The rules of the role's document that give the access, such as `allow.nodes`. */
    because: z.array(z.string()).readonly(),
    /** Nodes and logins that the role alone reaches now. `*` among the logins means any but root. */
    reach: z.array(z.strictObject({ node: z.string(), logins: z.array(z.string()).readonly() }).readonly()).readonly(),
    /** Since when the role is held, ms since 1970. */
    since: z.int(),
    /** The last decision about it. */
    decision: accessDecision.nullable(),
  })
  .readonly();
export type AccessHolding = z.output<typeof accessHolding>;

export const listAccessHoldings = endpoint({
  method: 'GET',
  path: '/v1/access-review',
  summary: 'List who holds which role and what it reaches. The listing itself is audited.',
  admits: ['administer', 'access:list', 'access:read'],
  event: 'access.review',
  params: noParams,
  body: noBody,
  answer: z.array(accessHolding).readonly(),
  errors: [],
});

export const listAccessDecisions = endpoint({
  method: 'GET',
  path: '/v1/access-decisions',
  summary: 'List the decisions of reviewers, newest first.',
  admits: ['administer', 'access:list', 'access:read'],
  event: 'access.decisions',
  params: noParams,
  body: noBody,
  answer: z.array(accessDecision).readonly(),
  errors: [],
});

export const decideAccess = endpoint({
  method: 'POST',
  path: '/v1/access-decisions',
  summary: 'Record a decision about a role that a user holds; it changes nothing by itself.',
  admits: ['administer', 'access:create', 'access:update'],
  event: 'access.decide',
  params: noParams,
  body: z.strictObject({
    user: name,
    role: name,
    decision,
    reason: z
      .string()
      .max(1024)
      .refine((text) => text.trim() !== '', 'say why'),
  }),
  answer: accessDecision,
  errors: ['NOT_FOUND'],
});

export const accessReviewEndpoints = [listAccessHoldings, listAccessDecisions, decideAccess] as const;
