/** The CAs: their public keys, and their rotation: `steno ca`. */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, noParams, signingErrors } from '../../endpoint/endpoint.js';
import { list, moment, record, texts } from '../../endpoint/fields.js';

export const caPhases = ['standby', 'init', 'update-clients', 'update-servers', 'rollback'] as const;
export type CaPhase = (typeof caPhases)[number];

export const trustFields = {
  /** Name of this Steno; its gateways are recognized by it (`gatewayPrincipal`). */
  cluster: z.string(),
  ssh_host_ca: texts,
  ssh_user_ca: texts,
  /** Recording CA keys, including retired ones, so that every recording can be verified. */
  recording_ca: texts,
  /** Certificates in PEM, one after the other. */
  service_ca_pem: z.string(),
  x509_user_ca_pem: z.string(),
};
/** The data that a login writes into $STENO_HOME, refreshed between logins. */
export const trustReport = record(trustFields);
export type TrustReport = z.output<typeof trustReport>;

/** A CA, and the state of its rotation. */
const caReport = record({
  name: z.string(),
  phase: z.enum(caPhases),
  /** ms since 1970; null before the first rotation. */
  changed_at: moment.nullable(),
  changed_by: z.string(),
  /** Duration of an automatic rotation in ms, and the time of its next phase; null for a manual rotation. */
  grace_ms: z.int().nullable(),
  next_at: moment.nullable(),
  /** Connected services, `kind/name`, whose certificates were not issued with the current signing key. */
  waits_for: texts,
  /** Newest first. `signs`: whether the key now signs for clients and for servers. */
  keys: list(
    record({
      generation: z.int(),
      state: z.enum(['active', 'next', 'retired']),
      signer: z.enum(['sealed', 'pkcs11']),
      fingerprint: z.string(),
      algorithm: z.string(),
      created_at: moment,
      retired_at: moment.nullable(),
      signs: list(z.enum(['clients', 'servers'])),
    }),
  ),
});
export type CaReport = z.output<typeof caReport>;

export const showTrust = endpoint({
  method: 'GET',
  path: '/v1/trust',
  summary: 'Show the public keys of the CAs.',
  admits: ['owner', 'user'],
  event: 'ca.trust',
  params: noParams,
  body: noBody,
  answer: trustReport,
  errors: [],
});

export const listCas = endpoint({
  method: 'GET',
  path: '/v1/ca',
  summary: 'List the CAs and the state of their rotations.',
  admits: ['owner', 'user'],
  event: 'ca.list',
  params: noParams,
  body: noBody,
  answer: list(caReport),
  errors: [],
});

export const rotateCa = endpoint({
  method: 'PUT',
  path: '/v1/ca/:name/rotation',
  summary: 'Move the rotation of a CA to a phase, or let it continue automatically.',
  admits: ['owner', 'ca:update'],
  event: 'ca.rotate',
  params: z.strictObject({ name: z.string() }),
  body: z.union([z.strictObject({ phase: z.enum(caPhases), force: z.boolean().optional() }), z.strictObject({ grace_ms: z.int() })]),
  answer: caReport,
  errors: ['NOT_FOUND', 'CA_PHASE', 'CA_ROTATION_EARLY', ...signingErrors],
});

export const resealCas = endpoint({
  method: 'POST',
  path: '/v1/ca-seal',
  summary: 'Seal the CA keys with a key file or a passphrase.',
  admits: ['owner'],
  event: 'ca.reseal',
  params: noParams,
  body: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('file') }),
    z.strictObject({ kind: z.literal('passphrase'), passphrase: z.string().max(1024) }),
  ]),
  answer: noAnswer,
  errors: ['SEAL_PASSPHRASE_WEAK', 'SEAL_KEY_WRONG', 'SEAL_KEY_MISSING'],
});

export const caEndpoints = [showTrust, listCas, rotateCa, resealCas] as const;
