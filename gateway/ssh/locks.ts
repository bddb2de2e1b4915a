/**
 * Which lock of a snapshot holds for whom. Tested as a table in locks.test.ts.
 */
import type { Lock } from '#schemas/api.js';

export interface LockSubject {
  readonly user: string;
  readonly roles: readonly string[];
  readonly login?: string;
  readonly node?: string;
  readonly session?: string;
}

/** `now`: ms since 1970. A lock without an end holds for ever. */
export function lockOn(locks: readonly Lock[], subject: LockSubject, now: number): Lock | undefined {
  return locks.find((lock) => (lock.expires_at === null || lock.expires_at > now) && holds(lock, subject));
}

function holds({ target_kind, target }: Lock, subject: LockSubject): boolean {
  switch (target_kind) {
    case 'user': return target === subject.user;
    case 'role': return subject.roles.includes(target);
    case 'login': return target === subject.login;
    case 'node': return target === subject.node;
    case 'session': return target === subject.session;
  }
}

/** For people: why, as whoever set it wrote. */
export function lockReason({ target_kind, target, reason }: Lock): string {
  return reason === '' ? `on ${target_kind} ${target}` : `on ${target_kind} ${target}: ${reason}`;
}
