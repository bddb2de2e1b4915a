import { describe, expect, it } from 'vitest';
import type { StenoError } from '#schemas/base/errors.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { SessionInvitation } from '#schemas/documents/session-invitation.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { JoinMode } from '#schemas/policy/role.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { SessionRecorder } from '../recorder/recorder.js';
import { LiveSession } from '../sessions/live-session.js';
import type { SessionAbout } from '../sessions/live-session.js';
import { authorizeJoin } from './joining.js';

const about: SessionAbout = {
  user: 'alice',
  node: 'web-1',
  login: 'root',
  kind: 'shell',
  labels: { env: 'dev' },
  startedAt: 1_000,
  size: () => ({ cols: 80, rows: 24 }),
  command: '',
};
const session = (of: SessionAbout | null = about): LiveSession =>
  new LiveSession(
    { session: 's1' } as unknown as SessionRecorder,
    { end: () => undefined, notice: () => undefined, reopened: () => undefined },
    of,
    () => undefined,
  );
const identity = (user: string, change: Partial<UserIdentity> = {}): UserIdentity =>
  ({
    user,
    roles: ['r'],
    requests: [],
    traits: {},
    mfa: null,
    cluster: null,
    validBefore: 4_000_000_000,
    ...change,
  }) as unknown as UserIdentity;
const world = (allow: unknown, locks: readonly Lock[] = [], rest: Record<string, unknown> = {}): Snapshot =>
  ({
    roles: [roleSchema.parse({ kind: 'role', name: 'r', view: 'none', allow: { sessions: allow }, ...rest })],
    locks,
    grants: [],
    void_grants: [],
    names_since: {},
    own_since: {},
    clusters: [],
  }) as unknown as Snapshot;

function answer(snapshot: Snapshot, who: UserIdentity, what: LiveSession | undefined, mode: JoinMode, awaited = false): string {
  try {
    authorizeJoin(snapshot, who, what, { mode }, 2_000, awaited);
    return 'allowed';
  } catch (error) {
    return (error as StenoError).code;
  }
}

describe('joining a live session', () => {
  const join = { actions: ['join'], modes: ['observer', 'peer', 'moderator'] };
  const list = { actions: ['list'] };
  it.each<[string, unknown, JoinMode, string]>([
    ['in a mode that the rule names', [{ actions: ['join'], modes: ['peer'] }], 'peer', 'allowed'],
    ['in another mode, if they may list the session', [list, { actions: ['join'], modes: ['peer'] }], 'observer', 'ACCESS_DENIED'],
    ['a session that they may not even list', [], 'observer', 'SESSION_NOT_LIVE'],
    ['as an observer if no mode is named', [{ actions: ['join'] }], 'observer', 'allowed'],
    ['as a moderator with join only', [list, join], 'moderator', 'ACCESS_DENIED'],
    ['as a moderator with join and moderate', [join, { actions: ['moderate'] }], 'moderator', 'allowed'],
    ['by label', [{ ...join, where: "labels.env == 'dev'" }], 'observer', 'allowed'],
    ['by another value of the label', [{ ...join, where: "labels.env == 'prod'" }], 'observer', 'SESSION_NOT_LIVE'],
  ])('%s', (_what, allow, mode, expected) => {
    expect(answer(world(allow), identity('bob'), session(), mode)).toBe(expected);
  });

  it("is refused for one's own session, one without a terminal, and one that cannot be joined", () => {
    const allowed = world([list, join]);
    expect(answer(allowed, identity('alice'), session(), 'observer')).toBe('ACCESS_DENIED');
    expect(answer(allowed, identity('bob'), session({ ...about, size: () => null }), 'observer')).toBe('SESSION_NOT_JOINABLE');
    expect(answer(allowed, identity('bob'), session({ ...about, size: () => null }), 'observer', true)).toBe('allowed');
    expect(answer(allowed, identity('bob'), session(null), 'observer')).toBe('SESSION_NOT_JOINABLE');
    expect(answer(allowed, identity('bob'), undefined, 'observer')).toBe('SESSION_NOT_LIVE');
  });

  it.each<[Lock['target_kind'], string]>([
    ['user', 'bob'],
    ['role', 'r'],
    ['node', 'web-1'],
    ['login', 'root'],
  ])('is refused under a lock on the participant, or on the session’s %s', (target_kind, target) => {
    const locks = [{ id: 'l', target_kind, target, reason: '', expires_at: null }];
    expect(answer(world([join], locks), identity('bob'), session(), 'observer')).toBe('LOCKED');
  });

  it("comes with the demands of the participant's roles for a second factor and a valid certificate", () => {
    const allowed = authorizeJoin(
      world([join], [], { require_session_mfa: true, disconnect_expired_cert: true }),
      identity('bob'),
      session(),
      { mode: 'peer' },
      2_000,
      false,
    );
    expect(allowed).toMatchObject({ sessionMfa: true, limits: { disconnectExpiredCert: true, idleTimeout: null } });
  });
});

describe('an invitation', () => {
  const invitation: SessionInvitation = {
    ...{ id: 'i-0123456789abcdef', session: 's1', user: 'bob', mode: 'peer', reason: 'look', by: 'carol' },
    ...{ roles: ['inviter'], traits: {}, since: null, expires_at: 3_000 },
  };
  const inviter = { kind: 'role', name: 'inviter', view: 'none' };
  const invites = { actions: ['invite'], modes: ['observer', 'peer'], where: "labels.env == 'dev'" };

  interface Change {
    readonly invitation?: Partial<SessionInvitation> | null;
    readonly inviter?: object;
    readonly deny?: object;
    readonly locks?: readonly Lock[];
    readonly user?: string;
    readonly mode?: JoinMode;
    readonly id?: string;
  }
  const decide = ({
    invitation: of = {},
    inviter: rule = invites,
    deny = {},
    locks = [],
    user = 'bob',
    mode = 'peer',
    id = invitation.id,
  }: Change) => {
    const snapshot = world([], locks, { deny });
    const all = {
      ...snapshot,
      roles: [...snapshot.roles, roleSchema.parse({ ...inviter, allow: { sessions: [rule] } })],
      invitations: of === null ? [] : [{ ...invitation, ...of }],
    };
    try {
      return authorizeJoin(all, identity(user), session(), { mode, invitation: id }, 2_000, false).invited?.by ?? 'by roles';
    } catch (error) {
      return (error as StenoError).code;
    }
  };
  const lock = (target_kind: Lock['target_kind'], target: string): Lock => ({ id: 'l', target_kind, target, reason: '', expires_at: null });

  it.each<[string, Change, string]>([
    ['lets its user in', {}, 'carol'],
    ['cannot be made up', { id: 'i-zzzzzzzzzzzzzzzz' }, 'SESSION_INVITATION_OVER'],
    ['ends when it is revoked', { invitation: null }, 'SESSION_INVITATION_OVER'],
    ['ends at its expiry', { invitation: { expires_at: 2_000 } }, 'SESSION_INVITATION_OVER'],
    ['is not for another user', { user: 'mallory' }, 'SESSION_INVITATION_FOREIGN'],
    ['is not for another session', { invitation: { session: 's2' } }, 'SESSION_INVITATION_FOREIGN'],
    ['is not for another mode', { mode: 'moderator' }, 'SESSION_INVITATION_FOREIGN'],
    ['is not for a weaker mode either', { mode: 'observer' }, 'SESSION_INVITATION_FOREIGN'],
    ["ends when the inviter's role no longer permits it", { inviter: { ...invites, modes: ['observer'] } }, 'SESSION_INVITATION_OVER'],
    [
      "ends when the inviter's role is about other sessions",
      { inviter: { ...invites, where: "labels.env == 'prod'" } },
      'SESSION_INVITATION_OVER',
    ],
    ["ends when the inviter's role is gone", { invitation: { roles: ['gone'] } }, 'SESSION_INVITATION_OVER'],
    ['ends when the inviter is locked', { locks: [lock('user', 'carol')] }, 'SESSION_INVITATION_OVER'],
    ['ends when a role of the inviter is locked', { locks: [lock('role', 'inviter')] }, 'SESSION_INVITATION_OVER'],
    ['does nothing for a locked user', { locks: [lock('user', 'bob')] }, 'LOCKED'],
    ['does nothing against a role that denies joining', { deny: { sessions: [{ actions: ['join'] }] } }, 'ACCESS_DENIED'],
    ['lets nobody into a session of their own', { user: 'alice', invitation: { user: 'alice' } }, 'ACCESS_DENIED'],
  ])('%s', (_what, change, expected) => expect(decide(change)).toBe(expected));
});
