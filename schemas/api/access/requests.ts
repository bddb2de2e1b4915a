/** Access requests: `steno requests`, and the page, for which a viewer relays them. */
import { z } from 'zod';
import { accessRequest, requestOptions, requestView } from '../../documents/access-request.js';
import { endpoint, noBody, noParams, relayedSignedIn } from '../../endpoint/endpoint.js';
import { list, login, name } from '../../endpoint/fields.js';

export const distinct = (names: readonly string[]): boolean => new Set(names).size === names.length;
const reason = z.string().max(1024);
/** Any text is accepted, so that an invalid id is answered like an unknown one. */
const params = z.strictObject({ name: z.string() });

export const createRequest = endpoint({
  method: 'POST',
  path: '/v1/requests',
  summary: 'Request roles, or logins on nodes, for a limited time.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'request.create',
  params: noParams,
  body: z.strictObject({
    roles: z.array(name).max(16).refine(distinct, 'names something twice').default([]),
    nodes: z.array(name).max(64).refine(distinct, 'names something twice').default([]),
    logins: z.array(login).max(16).refine(distinct, 'names something twice').default([]),
    reason: reason.refine((text) => text.trim() !== '', 'say why'),
    /** ms; null: the usual duration. */
    duration: z
      .number()
      .int()
      .min(60_000)
      .max(30 * 86_400_000)
      .nullable()
      .default(null),
  }),
  answer: accessRequest,
  errors: ['TOO_MANY', 'NODE_UNKNOWN', 'NOT_FOUND'],
});

export const listRequests = endpoint({
  method: 'GET',
  path: '/v1/requests',
  summary: "List the caller's requests and those the caller may review, newest first.",
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'request.list',
  params: noParams,
  body: noBody,
  answer: list(requestView),
  errors: [],
});

export const listRequestOptions = endpoint({
  method: 'GET',
  path: '/v1/request-options',
  summary: 'List what the caller may request.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'request.list',
  params: noParams,
  body: noBody,
  answer: requestOptions,
  errors: [],
});

export const showRequest = endpoint({
  method: 'GET',
  path: '/v1/requests/:name',
  summary: 'Show a request.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'request.read',
  params,
  body: noBody,
  answer: requestView,
  errors: ['NOT_FOUND'],
});

export const reviewRequest = endpoint({
  method: 'POST',
  path: '/v1/requests/:name/review',
  summary: 'Approve or deny a request of somebody else.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'request.review',
  params,
  body: z.strictObject({ decision: z.enum(['approve', 'deny']), reason: reason.default('') }),
  answer: requestView,
  errors: ['NOT_FOUND', 'SELF_REVIEW', 'REQUEST_DECIDED', 'REQUEST_STALE', 'REVIEWED_ALREADY'],
});

export const cancelRequest = endpoint({
  method: 'POST',
  path: '/v1/requests/:name/cancel',
  summary: 'Cancel a request; its grants end at once.',
  admits: ['user', 'viewer'],
  relayed: relayedSignedIn,
  event: 'request.cancel',
  params,
  body: z.strictObject({ reason: reason.default('') }),
  answer: requestView,
  errors: ['NOT_FOUND', 'REQUEST_DECIDED'],
});

export const requestEndpoints = [createRequest, listRequests, listRequestOptions, showRequest, reviewRequest, cancelRequest] as const;
