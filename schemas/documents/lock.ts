/** Locks block their targets regardless of roles. Gateways receive them by the watch and end matching connections and sessions. */
export const lockKinds = [
  'user',
  'role',
  'login',
  'node',
  'kube-cluster',
  'session',
  'session-input',
  'session-moderation',
  'request',
  'mfa-device',
] as const;

export interface Lock {
  readonly id: string;
  readonly target_kind: (typeof lockKinds)[number];
  readonly target: string;
  readonly reason: string;
  /** ms since 1970; null: until it is lifted. */
  readonly expires_at: number | null;
}
