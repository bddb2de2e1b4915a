/** Roles as documents, and the question who may act as what on which node: `steno roles`, `steno access check`. */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, login, moment, name, record, texts } from '../../endpoint/fields.js';
import { forwardDenial, forwardSettings } from '../../policy/forwarding.js';
import { roleSchema } from '../../policy/role.js';

/** Most characters of one document. */
export const MAX_DOCUMENT = 64 << 10;

const roleDocument = record({
  name: z.string(),
  revision: z.int(),
  /** YAML, as it was written. */
  source: z.string(),
  updated_at: moment,
  updated_by: z.string(),
  role: roleSchema,
});
export type RoleDocument = z.output<typeof roleDocument>;

const appliedRole = record({
  name: z.string(),
  outcome: z.enum(['created', 'updated', 'unchanged']),
  /** Revisions before and after. */
  from: z.int().nullable(),
  to: z.int(),
});
export type AppliedRole = z.output<typeof appliedRole>;

/** A rule that a decision rests on. */
const explainedClause = record({
  role: z.string(),
  /** `allow.logins[0]`. */
  rule: z.string(),
  /** Line of the role's document, from 1; null if there is no text. */
  line: z.int().nullable(),
  text: z.string(),
});
export type ExplainedClause = z.output<typeof explainedClause>;

/** Whether a user may act as a login on a node now, and why. */
const accessExplanation = record({
  user: z.string(),
  node: z.string(),
  login: z.string(),
  allowed: z.boolean(),
  reason: z.string(),
  /** A lock that blocks them, whatever roles say, or null. */
  lock: z.string().nullable(),
  because: list(explainedClause),
  /** Why each role does not allow it, if nothing denies it. */
  others: list(record({ role: z.string(), why: z.string() })),
  /** Terms of the access, if it is allowed. Durations in seconds, null for no limit. */
  terms: record({
    roles: texts,
    recording: record({ mode: z.string(), streams: z.string(), limit: z.int(), unechoed: z.string().exactOptional() }),
    enhanced: record({ mode: z.string(), classes: texts }),
    port_forwarding: z.boolean(),
    /** The rules that decide about forwarding. */
    forwarding: record({ allow: list(forwardSettings), deny: list(forwardDenial) }),
    agent_forwarding: z.boolean(),
    max_session_length: z.int().nullable(),
    idle_timeout: z.int().nullable(),
    max_sessions: z.int().nullable(),
    disconnect_expired_cert: z.boolean(),
    /** If omitted, a terminal in the page does not wait for a lost network. */
    reconnect: z.int().exactOptional(),
    require_session_mfa: z.boolean(),
    /** Participants that must be in a session, by role; none if omitted. */
    moderation: list(
      record({
        role: z.string(),
        count: z.int(),
        modes: texts,
        where: z.string().exactOptional(),
        presence: z.int().exactOptional(),
        on_leave: z.string(),
      }),
    ).exactOptional(),
  }).exactOptional(),
});
export type AccessExplanation = z.output<typeof accessExplanation>;

export const listRoles = endpoint({
  method: 'GET',
  path: '/v1/roles',
  summary: 'List roles; users who may not list all roles see those that they hold.',
  admits: ['user', 'gateway', 'viewer'],
  event: 'role.list',
  params: noParams,
  body: noBody,
  answer: list(roleSchema),
  errors: [],
});

export const showRole = endpoint({
  method: 'GET',
  path: '/v1/roles/:name',
  summary: 'Show a role with the text of its document.',
  admits: ['user'],
  event: 'role.read',
  params: z.strictObject({ name }),
  body: noBody,
  answer: roleDocument,
  errors: ['NOT_FOUND'],
});

export const applyRoles = endpoint({
  method: 'POST',
  path: '/v1/roles',
  summary: 'Apply documents of roles, all or none; `check` changes nothing.',
  admits: ['role:create', 'role:update'],
  event: 'role.put',
  params: noParams,
  body: z.strictObject({
    documents: z
      .array(
        z.strictObject({
          source: z.string().min(1).max(MAX_DOCUMENT),
          /** The revision that this document is based on; null: a new role. If omitted, any revision is replaced. */
          revision: z.number().int().nullable().optional(),
        }),
      )
      .min(1)
      .max(1000),
    check: z.boolean().default(false),
  }),
  answer: record({ applied: list(appliedRole) }),
  errors: ['DOCUMENT_INVALID', 'TOO_LARGE', 'REVISION_CONFLICT', 'NOBODY_ADMINISTERS', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const putRole = endpoint({
  method: 'PUT',
  path: '/v1/roles/:name',
  summary: 'Create or replace a role given as values.',
  admits: ['role:create', 'role:update'],
  event: 'role.put',
  params: z.strictObject({ name }),
  body: roleSchema,
  answer: roleSchema,
  errors: ['DOCUMENT_INVALID', 'TOO_LARGE', 'REVISION_CONFLICT', 'NOBODY_ADMINISTERS', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const deleteRole = endpoint({
  method: 'DELETE',
  path: '/v1/roles/:name',
  summary: 'Delete a role that nobody holds.',
  admits: ['role:delete'],
  event: 'role.delete',
  params: z.strictObject({ name }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND', 'ROLE_HELD', 'NOBODY_ADMINISTERS', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const checkAccess = endpoint({
  method: 'POST',
  path: '/v1/access/check',
  summary: 'Explain whether a user may act as a login on a node now.',
  admits: ['user'],
  event: 'access.check',
  params: noParams,
  body: z.strictObject({ user: name, node: name, login }),
  answer: accessExplanation,
  errors: ['NOT_FOUND', 'NODE_UNKNOWN'],
});

export const roleEndpoints = [listRoles, showRole, applyRoles, putRole, deleteRole, checkAccess] as const;
