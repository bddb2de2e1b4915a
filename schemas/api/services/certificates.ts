/** Certificates of services and hosts, and those with which gateways dial nodes for a session. */
import { z } from 'zod';
import { isHostName } from '../../base/host-name.js';
import { serviceKinds } from '../../base/identity.js';
import { certificateErrors, endpoint, noParams, signingErrors } from '../../endpoint/endpoint.js';
import { base64, keyLine, login, name, pem, record, token } from '../../endpoint/fields.js';

export const enrolment = record({
  /** PEM: x509 certificate of the service; and the roots to trust, one after the other. */
  service_certificate: z.string(),
  service_ca: z.string(),
  /** Public key lines. */
  host_certificate: z.string().exactOptional(),
  recording_certificate: z.string().exactOptional(),
});
export type Enrolment = z.output<typeof enrolment>;

const keys = {
  /** Of the x509 key. */
  service_key: pem,
  host_key: keyLine.exactOptional(),
  recording_key: keyLine.exactOptional(),
};
const certificate = record({ certificate: z.string() });

export const enrolOwnService = endpoint({
  method: 'POST',
  path: '/v1/enroll',
  summary: "Certify a service of the authority's own machine.",
  admits: ['owner'],
  event: 'service.enroll',
  params: noParams,
  body: z.strictObject({
    kind: z.enum(serviceKinds),
    name,
    ...keys,
    /** Names that the host certificate must include beside the service's own. */
    host_names: z.array(z.string().refine(isHostName, 'is not a host name')).max(32).readonly().exactOptional(),
    /** For a gateway: the host keys of other kinds that it presents. */
    more_host_keys: z.array(keyLine).max(8).readonly().exactOptional(),
  }),
  answer: enrolment,
  errors: ['NODE_NAME_RESERVED', 'GATEWAY_NAME_TAKEN', ...signingErrors],
});
export type EnrolRequest = z.output<typeof enrolOwnService.body>;

export const renewService = endpoint({
  method: 'POST',
  path: '/v1/renew',
  summary: 'Renew the certificates of the calling service.',
  admits: ['service'],
  event: 'service.renew',
  params: noParams,
  body: z.strictObject({
    ...keys,
    /** The certificate to be renewed; the new one has the same names. */
    host_certificate: keyLine.exactOptional(),
  }),
  answer: enrolment,
  errors: ['NODE_NAME_RESERVED', 'GATEWAY_NAME_TAKEN', ...signingErrors, ...certificateErrors],
});
export type RenewalRequest = z.output<typeof renewService.body>;

export const issueHostCertificate = endpoint({
  method: 'POST',
  path: '/v1/host-certificate',
  summary: 'Certify a host key under the name of a node.',
  admits: ['gateway', 'agent', 'administer', 'node:update'],
  event: 'host_certificate.issue',
  params: noParams,
  body: z.strictObject({
    public_key: keyLine,
    name,
    /** The caller's existing certificate, whose other names the new one also gets. */
    host_certificate: keyLine.exactOptional(),
    /** Seconds; these certificates are renewed only on request. */
    ttl: z
      .number()
      .int()
      .min(3_600)
      .max(366 * 86_400)
      .optional(),
  }),
  answer: certificate,
  errors: ['NODE_UNKNOWN', 'NODE_NAME_RESERVED', 'GATEWAY_NAME_TAKEN', ...signingErrors, ...certificateErrors],
});

/**
 * Proves that the user of a certificate is connecting to the gateway: the signature with which the user authenticated there.
 * The signed data includes the certificate (schemas/ssh/user-auth.ts), which is in the request.
 */
export const userProof = z.strictObject({
  /** Of the SSH connection, 32 to 64 bytes. */
  session_id: base64(44, 88),
  user_name: z.string().min(1).max(256),
  /** The algorithm named by the client; for RSA it names the hash. */
  algorithm: z.string().min(1).max(64),
  /** The signature blob. */
  signature: base64(16, 11_000),
  /** The host key presented to the client, if the client signed it. */
  host_key: base64(16, 90_000).exactOptional(),
});
export type UserProof = z.output<typeof userProof>;

export const issueSessionCertificate = endpoint({
  method: 'POST',
  path: '/v1/session-certificate',
  summary: 'Certify a session that the calling gateway dials for a user.',
  admits: ['gateway'],
  event: 'session_certificate.issue',
  params: noParams,
  body: z.strictObject({
    user: name,
    login,
    node: name,
    public_key: keyLine,
    /** base64 of the certificate the user was admitted with: the authority checks it again. */
    user_certificate: z.string().min(1).max(90_000),
    source_address: z.string().max(64),
    // Optional here so that an older gateway is refused with USER_PROOF_REFUSED, not BAD_REQUEST.
    proof: userProof.optional(),
    /** The token of the approval, if the policy requires a second factor. */
    confirmation: token.exactOptional(),
  }),
  answer: certificate,
  errors: [
    'USER_PROOF_REFUSED',
    'NODE_UNKNOWN',
    'SESSION_UNCONFIRMED',
    'CLUSTER_NO_MFA',
    'SIGNATURE_GARBLED',
    'TOO_MANY',
    ...signingErrors,
    ...certificateErrors,
  ],
});
/** The request that gateways send. */
export type SessionCertificateRequest = z.output<typeof issueSessionCertificate.body> & { readonly proof: UserProof };

export const certificateEndpoints = [enrolOwnService, renewService, issueHostCertificate, issueSessionCertificate] as const;
