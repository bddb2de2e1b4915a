/** Certificates of users: as issued at login, and with the grants of access requests. */
import { z } from 'zod';
import { endpoint, noParams, signingErrors } from '../../endpoint/endpoint.js';
import { keyLine, moment, name, pem, record, texts } from '../../endpoint/fields.js';
import { trustFields } from '../services/ca.js';

export const loginResult = record({
  user: z.string(),
  roles: texts,
  logins: texts,
  /** Access requests whose grants the certificate carries. */
  requests: texts,
  /** One public key line: the user certificate. */
  certificate: z.string(),
  valid_before: moment,
  ...trustFields,
  /** PEM: client certificate for the key in the request's `tls_key`, with the same lifetime as the SSH certificate. */
  x509_certificate: z.string().exactOptional(),
});
export type LoginResult = z.output<typeof loginResult>;

/** Most requests that a certificate carries; the row of a session names all of them. */
const MAX_CARRIED = 8;

export const logInAsOwner = endpoint({
  method: 'POST',
  path: '/v1/login',
  summary: "Log in as the owner of the authority's machine.",
  admits: ['owner'],
  event: 'user.login',
  params: noParams,
  body: z.strictObject({ public_key: keyLine, tls_key: pem.optional() }),
  answer: loginResult,
  errors: ['REQUEST_OVER', 'REQUEST_STALE', 'NOT_FOUND', ...signingErrors],
});

export const certifyRequests = endpoint({
  method: 'POST',
  path: '/v1/request-certificate',
  summary: "Get certificates like the caller's own that carry approved requests.",
  admits: ['user'],
  event: 'request.use',
  params: noParams,
  body: z.strictObject({
    public_key: keyLine,
    tls_key: pem.optional(),
    requests: z
      .array(name)
      .max(MAX_CARRIED)
      .refine((ids) => new Set(ids).size === ids.length, 'names something twice'),
  }),
  answer: loginResult,
  errors: ['NOT_FOUND', 'NODE_UNKNOWN', 'REQUEST_OVER', 'REQUEST_STALE', ...signingErrors],
});

export const userCertificateEndpoints = [logInAsOwner, certifyRequests] as const;
