/** Second factors for single sessions, and for requests to Kubernetes: the gateway asks, the user confirms in a browser. */
import { z } from 'zod';
import { certificateErrors, endpoint, noAnswer, noParams } from '../../endpoint/endpoint.js';
import { base64, login, moment, record, token } from '../../endpoint/fields.js';
import { kubeClusterName } from '../../kube/kube-cluster.js';
import { assertion, code } from './logins.js';

/** `url`: for the user to open; after approval, `token` goes into the request for the session certificate. */
const sessionConfirmation = record({ token: z.string(), url: z.string(), expires_at: moment });
export type SessionConfirmation = z.output<typeof sessionConfirmation>;

/** An act that waits for its user's second factor. `by`: the factor used to confirm it. */
const confirmationFacts = record({
  user: z.string(),
  /** `session`: one SSH connection; `kubernetes`: requests to a cluster, for a few minutes. */
  kind: z.enum(['session', 'kubernetes']),
  /** For Kubernetes, the name of the cluster. */
  node: z.string(),
  /** For Kubernetes, the user that the cluster sees. */
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
  summary: 'Request a second factor for a session.',
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
  summary: 'Check whether a session was confirmed; `gone` if nobody confirmed it in time.',
  admits: ['gateway'],
  event: 'session_mfa.ask',
  params: noParams,
  body: withToken,
  answer: record({ state: z.enum(['waiting', 'approved', 'denied', 'gone']) }),
  errors: [],
});

export const askKubeConfirmation = endpoint({
  method: 'POST',
  path: '/v1/kube-confirmations',
  summary: 'Check whether a user has confirmed requests to a Kubernetes cluster with a second factor, or get the address for that.',
  admits: ['gateway'],
  event: 'session_mfa.ask',
  params: noParams,
  body: z.strictObject({
    cluster: kubeClusterName,
    /** base64 of the DER of the x509 certificate the user was admitted with. */
    user_certificate: base64(1, 90_000),
    source_address: z.string().max(64),
    /** From an earlier answer, so that a pending confirmation is not requested again. */
    token: token.optional(),
  }),
  answer: z
    .discriminatedUnion('state', [
      /** `mfa`: the device, or the provider that vouches. `until`: requests pass without another confirmation. */
      z.strictObject({ state: z.literal('approved'), mfa: z.string(), until: moment }),
      z.strictObject({ state: z.literal('waiting'), token: z.string(), url: z.string(), expires_at: moment }),
      z.strictObject({ state: z.literal('denied') }),
    ])
    .readonly(),
  errors: ['KUBE_CLUSTER_UNKNOWN', 'TOO_MANY', ...certificateErrors],
});
export type KubeConfirmationRequest = z.output<typeof askKubeConfirmation.body>;
export type KubeConfirmation = z.output<typeof askKubeConfirmation.answer>;

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

export const confirmationEndpoints = [
  askConfirmation,
  showConfirmationState,
  askKubeConfirmation,
  showConfirmation,
  decideConfirmation,
] as const;
