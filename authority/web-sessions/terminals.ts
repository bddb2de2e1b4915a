/**
 * Terminals in the page: the nodes that the user of a web session may open one on, and the certificate for a key that the browser
 * generated and keeps.
 *
 * The certificate never grants more than `steno login` would have granted when the web session began:
 *   1. it ends with the web session, and at the latest the smallest `max_ttl` of the roles after the sign-in;
 *   2. it names one login, which the roles must allow on the requested node, and is valid only from the browser's address;
 *   3. it lives `TERMINAL_TTL_S`, long enough to connect. Only if a role ends sessions with their certificate
 *      (`disconnect_expired_cert`) does it live as long as 1 allows.
 * The gateway then decides as for every other client: roles, locks, second factor, limits, recording. Decision 0129. Tested in
 * terminals.test.ts.
 */
import type { TerminalCertificate, TerminalNode } from '#schemas/api/people/terminals.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { gatewayPrincipal } from '#schemas/base/identity.js';
import { parseAddress } from '#schemas/base/ip-address.js';
import { decide, reachableLogins } from '#schemas/policy/node.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { nodeIn } from '#schemas/watch.js';
import { assertCounts, assertUnlocked, rolesNamed } from '#runtime/http/request-auth.js';
import { certifiableKey, userShape } from '../ca/certificates.js';
import { register } from '../certificates/users.js';
import type { IssueParts } from '../certificates/users.js';
import type { Presence } from '../inventory/nodes/presence.js';
import type { Caller } from '../records/audit.js';

export const TERMINAL_TTL_S = 300;

export interface TerminalParts extends IssueParts {
  readonly presence: Presence;
}

export interface TerminalRequest {
  readonly public_key: string;
  readonly node: string;
  readonly login: string;
}

export class Terminals {
  readonly #parts: TerminalParts;

  constructor(parts: TerminalParts) {
    this.#parts = parts;
  }

  /** Nodes of this cluster on which the user may use some login, in the order of the snapshot. */
  async nodes({ user, traits, roles }: WebIdentity): Promise<readonly TerminalNode[]> {
    const live = await this.#parts.presence.live();
    return this.#parts.directory.current().nodes.flatMap((node) => {
      const logins = reachableLogins({ user, traits, roles }, node);
      if (logins.length === 0) return [];
      const state = node.kind === 'openssh' ? 'agentless' : live.has(node.name) ? 'live' : 'gone';
      return [{ name: node.name, kind: node.kind, labels: node.labels, state, logins }];
    });
  }

  /**
   * Throws NODE_UNKNOWN, ACCESS_DENIED or LOCKED as the gateway would, so that a refusal is shown before anything is dialled;
   * LOGIN_TOO_OLD if the sign-in is older than the roles allow a certificate to be.
   */
  async certify(web: WebIdentity, { public_key, node: name, login }: TerminalRequest, caller: Caller): Promise<TerminalCertificate> {
    const { ca, directory, clock } = this.#parts;
    const { user, traits, mfa } = web;
    const now = clock();
    const key = certifiableKey(public_key);
    const snapshot = directory.current();
    const node = nodeIn(snapshot.nodes, name);
    if (node === undefined) throw new StenoError('NODE_UNKNOWN', name);
    const identity = { user, traits, mfa, requests: [], roles: web.roles.map((role) => role.name) };
    assertCounts(identity, snapshot, now);
    assertUnlocked(
      snapshot.locks,
      [
        ['login', login],
        ['node', name],
      ],
      now,
    );
    const roles = rolesNamed(identity.roles, snapshot.roles);
    const decision = decide({ user, traits, roles }, node, login);
    if (!decision.allowed) throw new StenoError('ACCESS_DENIED', decision.reason);
    const grant = { user, traits, mfa, requests: [], roles, granted: [] };
    const notAfter = lastSecond(web, Math.min(...roles.map((role) => role.max_ttl)), decision.limits.disconnectExpiredCert, now);
    const shape = {
      ...userShape({ ...grant, notAfter }, key, now, [login]),
      criticalOptions: new Map([['source-address', sourceBlock(caller.source)]]),
    };
    const [serial] = await register(this.#parts, caller, { event: 'terminal.certify', target: user, node: name, login, data: { mfa } }, [
      { ...shape, kind: 'user', subject: user },
    ]);
    const certificate = await ca.issueSsh('ssh-user', { ...shape, serial: serial! });
    return {
      user,
      certificate: formatPublicLine(certificate, user),
      valid_before: Number(shape.validBefore) * 1000,
      gateway_principal: gatewayPrincipal(snapshot.cluster),
      ssh_host_ca: ca.trust.ssh_host_ca,
    };
  }
}

/** Unix seconds of the certificate's end. Throws LOGIN_TOO_OLD. */
function lastSecond({ since, expires_at }: WebIdentity, ttl: number, untilTheEnd: boolean, now: number): number {
  const end = Math.min(Math.floor(expires_at / 1000), Math.floor(since / 1000) + ttl);
  const seconds = Math.floor(now / 1000);
  if (end <= seconds) throw new StenoError('LOGIN_TOO_OLD', 'your roles want a newer sign-in before a terminal');
  return untilTheEnd ? end : Math.min(end, seconds + TERMINAL_TTL_S);
}

/** The browser's address; for IPv6 its /64, since browsers change the remaining bits by themselves (RFC 8981). Throws ACCESS_DENIED. */
export function sourceBlock(address: string): string {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new StenoError('ACCESS_DENIED', 'the address of the browser is unknown');
  if (bytes.length === 4) return bytes.join('.');
  const groups = [0, 2, 4, 6].map((at) => ((bytes[at]! << 8) | bytes[at + 1]!).toString(16));
  return `${groups.join(':')}::/64`;
}
