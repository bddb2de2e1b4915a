/** Second factors for single sessions: the gateway asks, the user confirms in a browser. */
import { z } from 'zod';
import { certificateErrors, endpoint, noAnswer, noParams } from '../../endpoint/endpoint.js';
import { login, moment, record, token } from '../../endpoint/fields.js';
import { assertion, code } from './logins.js';

/** `url`: what the user opens; `token` goes into the request of the session certificate once it was approved. */
export const sessionConfirmation = record({ token: z.string(), url: z.string(), expires_at: moment });
export type SessionConfirmation = z.output<typeof sessionConfirmation>;

/** A session that waits for its user's second factor. `by`: with what it is confirmed. */
export const confirmationFacts = record({
  user: z.string(),
  node: z.string(),
  login: z.string(),
  source_address: z.string(),
  browser_address: z.string(),
  expires_at: moment,
  by: z.enum(['device', 'sign-in']),
  totp: z.boolean(),
  passkey: z.boolean(),
  fresh: z.boolean(),
});
export type ConfirmationFacts = z.output<typeof confirmationFacts>;

const withToken = z.strictObject({ token });

export const askConfirmation = endpoint({
  method: 'POST',
  path: '/v1/session-confirmations',
  summary: 'Ask for a second factor for a session.',
  admits: ['gateway'],
  event: 'session_mfa.ask',
  params: noParams,
  body: z.strictObject({
    login,
    node: z.string().max(160),
    /** base64 of the certificate the user was admitted with. */
    user_certificate: z.string().min(1).max(90_000),
    source_address: z.string().max(64),
  }),
  answer: sessionConfirmation,
  errors: ['CLUSTER_NO_MFA', 'TOO_MANY', ...certificateErrors],
});
export type SessionConfirmationRequest = z.output<typeof askConfirmation.body>;

export const showConfirmationState = endpoint({
  method: 'POST',
  path: '/v1/session-confirmations/state',
  summary: 'Ask whether a session was confirmed; `gone` when nobody did in time.',
  admits: ['gateway'],
  event: 'session_mfa.ask',
  params: noParams,
  body: withToken,
  answer: record({ state: z.enum(['waiting', 'approved', 'denied', 'gone']) }),
  errors: [],
});

export const showConfirmation = endpoint({
  method: 'POST',
  path: '/v1/confirm/facts',
  summary: 'Show the session that waits to its user.',
  admits: ['viewer'],
  relayed: { session: true, limited: true, bodyLimit: 48 * 1024 },
  event: 'session_mfa.show',
  params: noParams,
  body: withToken,
  answer: confirmationFacts,
  errors: ['NOT_FOUND'],
});

export const decideConfirmation = endpoint({
  method: 'POST',
  path: '/v1/confirm/decision',
  summary: 'Confirm or deny a session.',
  admits: ['viewer'],
  relayed: { session: true, limited: true, bodyLimit: 48 * 1024 },
  event: 'session_mfa.approve',
  params: noParams,
  body: z.strictObject({ token, approve: z.boolean(), code: code.optional(), response: assertion.optional() }),
  answer: noAnswer,
  errors: ['NOT_FOUND', 'LOGIN_FAILED', 'LOGIN_TOO_OLD', 'LOGIN_BLOCKED'],
});

export const confirmationEndpoints = [askConfirmation, showConfirmationState, showConfirmation, decideConfirmation] as const;
