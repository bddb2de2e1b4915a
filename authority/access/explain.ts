/**
 * Explains why a user may, or may not, use a login on a node: the decision with the document lines it rests on, and for
 * roles that do not allow it, what is missing. Tested in roles.test.ts.
 */
import type { AccessExplanation, ExplainedClause } from '#schemas/api/access/roles.js';
import { decide, refuseOwner } from '#schemas/policy/node.js';
import type { Clause, Subject } from '#schemas/policy/subject.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { dotted, placeOf } from '#runtime/resources/document.js';
import type { StoredRole } from '../records/roles.js';

/** `stored`: every role of the subject. */
export function explainAccess(
  subject: Subject,
  node: NodeRecord,
  login: string,
  stored: readonly StoredRole[],
  lock: string | null,
): AccessExplanation {
  const sources = new Map(stored.map(({ role, source }) => [role.name, source]));
  const explained = (clause: Clause): ExplainedClause => {
    const place = placeOf(sources.get(clause.role) ?? '', clause.path);
    return { role: clause.role, rule: dotted(clause.path), line: place?.line ?? null, text: place?.text ?? '' };
  };
  const decision = decide(subject, node, login);
  const head = { user: subject.user, node: node.name, login, lock };
  if (!decision.allowed) {
    const others =
      decision.because === null && refuseOwner(subject, node, login) === null
        ? subject.roles.map((role) => ({ role: role.name, why: shortOf(subject, role.name, node, login) }))
        : [];
    return {
      ...head,
      allowed: false,
      reason: decision.reason,
      because: decision.because === null ? [] : [explained(decision.because)],
      others,
    };
  }
  const { limits } = decision;
  return {
    ...head,
    allowed: true,
    reason: `role ${decision.by} allows it`,
    because: decision.because.map(explained),
    others: [],
    terms: {
      roles: decision.roles,
      recording: decision.recording,
      enhanced: decision.enhanced,
      port_forwarding: decision.portForwarding,
      forwarding: decision.forwarding,
      agent_forwarding: decision.agentForwarding,
      max_session_length: limits.maxSessionLength,
      idle_timeout: limits.idleTimeout,
      max_sessions: limits.maxSessions,
      disconnect_expired_cert: limits.disconnectExpiredCert,
      ...(limits.reconnect === null ? {} : { reconnect: limits.reconnect }),
      require_session_mfa: decision.sessionMfa,
      ...(decision.moderation.length === 0
        ? {}
        : {
            moderation: decision.moderation.map(({ where, presence, ...rest }) => ({
              ...rest,
              ...(where === undefined ? {} : { where }),
              ...(presence === undefined ? {} : { presence }),
            })),
          }),
    },
  };
}

/** What a role lacks: the login, the node, or both. */
function shortOf(subject: Subject, name: string, node: NodeRecord, login: string): string {
  const role = subject.roles.find((one) => one.name === name)!;
  const alone = (allow: object): boolean => {
    const roles = [{ ...role, allow: { ...role.allow, ...allow } }];
    return decide({ ...subject, roles }, node, login).allowed;
  };
  if (alone({ logins: [login] })) return `allows the node, but not the login ${login}`;
  if (alone({ nodes: { '*': '*' }, node_expression: undefined })) return `allows the login, but not the node ${node.name}`;
  return 'allows neither the node nor the login';
}
