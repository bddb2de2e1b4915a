/** Locks: what is blocked, whatever roles say. Gateways hear of them by the watch and end what they meet. */
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
