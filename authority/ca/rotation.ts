/**
 * Rotates a CA's key in phases, so that nobody ever meets a certificate from a key they do not know yet.
 *
 *     standby ──► init ──► update-clients ──► update-servers ──► standby      the new key is the only one
 *                  └──────────────┴──────────────────┴──► rollback ──► standby      the old key is the only one
 *
 * | phase          | trusted | the new key signs for |
 * | standby        | one key |                       |
 * | init           | both    | nobody                |
 * | update-clients | both    | clients               |
 * | update-servers | both    | clients and servers   |
 * | rollback       | both    | nobody                |
 *
 * Clients present certificates to be admitted: users (ssh-user, x509-user), and all stages except the authority. Servers
 * present them to users: host certificates (ssh-host), the authority's own, and recordings, which users verify. A phase that
 * does not concern a CA changes nothing for it. Pure; tested in rotation.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { CaPhase } from '#schemas/api/services/ca.js';
import type { CaName } from './names.js';

export type Holder = 'client' | 'server';

/** Who holds the certificates of each CA, except where the caller decides. */
export const holderOf: Readonly<Record<Exclude<CaName, 'x509-service'>, Holder>> = {
  'ssh-user': 'client',
  'x509-user': 'client',
  'ssh-host': 'server',
  recording: 'server',
};

const transitions: Readonly<Record<CaPhase, readonly CaPhase[]>> = {
  standby: ['init'],
  init: ['update-clients', 'rollback'],
  'update-clients': ['update-servers', 'rollback'],
  'update-servers': ['standby', 'rollback'],
  rollback: ['standby'],
};

/** Throws CA_PHASE. */
export function assertTransition(name: CaName, from: CaPhase, to: CaPhase): void {
  if (!transitions[from].includes(to))
    throw new StenoError('CA_PHASE', `${name} is in ${from}, from where it goes to ${transitions[from].join(' or ')}`);
}

export function newKeySigns(phase: CaPhase, holder: Holder): boolean {
  return phase === 'update-servers' || (phase === 'update-clients' && holder === 'client');
}

/** The next phase in automatic rotation. */
export function nextPhase(phase: CaPhase): CaPhase | undefined {
  return phase === 'standby' ? undefined : transitions[phase][0];
}

/** When the next phase begins: three phases of equal length lie between start and end. ms since 1970. */
export function nextAt(changedAt: number, graceMs: number): number {
  return changedAt + Math.ceil(graceMs / 3);
}
