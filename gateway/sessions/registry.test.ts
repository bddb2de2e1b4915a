import { describe, expect, it } from 'vitest';
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { StenoError } from '#schemas/base/errors.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { decide } from '#schemas/policy/node.js';
import type { Allowed } from '#schemas/policy/node.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { SessionNotice } from '#schemas/session-notice.js';
import type { AuditEntry, SessionRecorder } from '../recorder/recorder.js';
import { authorize } from './authorization.js';
import { SessionRegistry } from './registry.js';

const identity = {
  user: 'alice',
  roles: ['admin'],
  requests: [],
  traits: {},
  mfa: null,
  cluster: null,
  validBefore: 4_000_000_000,
} as unknown as UserIdentity;
const admin = roleSchema.parse({ kind: 'role', name: 'admin', allow: { nodes: { '*': '*' }, logins: ['root'] } });
const node = { name: 'web-1', kind: 'agent', address: '', labels: {}, host_keys: [] } as unknown as NodeRecord;
const lockOn = (target_kind: Lock['target_kind'], target: string, expires_at: number | null = null): Lock => ({
  id: `${target_kind}-lock`,
  target_kind,
  target,
  reason: 'incident 7',
  expires_at,
});

/** One access of alice to root@web-1 with sessions. The front end only writes down its calls. */
function scene(...ids: readonly string[]) {
  const audits: AuditEntry[] = [];
  const did: string[] = [];
  const registry = new SessionRegistry({
    name: 'gw',
    now: () => 1_000,
    onSession: () => undefined,
    audit: (entry) => void audits.push(entry),
  });
  const access = registry.admit(
    { identity, target: { kind: 'node', node: 'web-1', login: 'root' }, source: '192.0.2.1' },
    {
      reauthorize: (snapshot, now) => {
        const { decision } = authorize(snapshot, identity, { node: 'web-1', login: 'root' }, now);
        did.push('permit');
        return decision.limits;
      },
      end: ({ code }: StenoError) => void did.push(`end ${code}`),
    },
  );
  const decision = decide({ ...identity, roles: [admin] }, node, 'root');
  registry.register(access, decision as Allowed);
  for (const id of ids) {
    const recorder = { session: id, fact: () => undefined, gap: () => undefined } as unknown as SessionRecorder;
    access.begin(recorder, {
      end: ({ code }) => void did.push(`${id} end ${code}`),
      notice: (words) => void did.push(`${id} notice ${words.split(',')[0]!}`),
      reopened: () => void did.push(`${id} reopened`),
    });
  }
  const apply = (...locks: readonly Lock[]): ReturnType<SessionRegistry['recheck']> =>
    registry.recheck({ locks, roles: [admin], nodes: [node], grants: [], clusters: [] } as unknown as Snapshot);
  return { registry, access, audits, did, apply, events: () => audits.map(({ event, session }) => `${event} ${session ?? ''}`.trim()) };
}

describe('the registry of live sessions', () => {
  it('changes nothing while nothing is locked', () => {
    const { apply, did, audits } = scene('s1');
    apply();
    expect([did, audits]).toEqual([['permit'], []]);
  });

  it('ends one session when it is locked, and the others of its connection continue', () => {
    const { apply, did, registry, events } = scene('s1', 's2');
    apply(lockOn('session', 's1'));
    apply(lockOn('session', 's1'));
    expect(did).toEqual(['permit', 's1 end LOCKED', 'permit']);
    expect(registry.find('s1')).toBeUndefined();
    expect(registry.find('s2')?.gate.open).toBe(true);
    expect(events()).toEqual(['session.ended s1', 'lock.enforced']);
  });

  it('freezes the input of one session, once, and releases it when the lock is lifted', () => {
    const { apply, did, registry, events } = scene('s1', 's2');
    apply(lockOn('session-input', 's1'));
    apply(lockOn('session-input', 's1'));
    expect(registry.find('s1')?.gate.open).toBe(false);
    expect(registry.find('s2')?.gate.open).toBe(true);
    apply();
    expect(registry.find('s1')?.gate.open).toBe(true);
    expect(did.filter((what) => what !== 'permit')).toEqual([
      's1 notice this session is frozen',
      's1 notice this session is no longer frozen',
      's1 reopened',
    ]);
    expect(events()).toEqual(['session.frozen s1', 'lock.enforced', 'session.unfrozen s1']);
  });

  it('holds the input of one session while a lock demands a moderator and none is there', () => {
    const { apply, did, registry, events, audits } = scene('s1', 's2');
    apply(lockOn('session-moderation', 's1'));
    apply(lockOn('session-moderation', 's1'));
    const session = registry.find('s1')!;
    expect([session.gate.open, session.awaitsModerator, registry.find('s2')?.gate.open]).toEqual([false, true, true]);
    session.moderatedBy('carol');
    expect([session.gate.open, session.needsModerator]).toEqual([true, true]);
    session.moderatedBy(null);
    expect(session.gate.open).toBe(false);
    // Each of the two locks holds the input by itself.
    apply(lockOn('session-moderation', 's1'), lockOn('session-input', 's1'));
    session.moderatedBy('carol');
    expect(session.gate.open).toBe(false);
    apply(lockOn('session-moderation', 's1'));
    expect(session.gate.open).toBe(true);
    session.moderatedBy(null);
    apply();
    expect([session.gate.open, session.needsModerator]).toEqual([true, false]);
    expect(did.filter((what) => what.includes('moderat'))).toEqual([
      's1 notice this session needs a moderator to go on',
      's1 notice carol moderates this session; it goes on',
      's1 notice this session needs a moderator to go on',
      's1 notice this session needs a moderator to go on',
      's1 notice this session needs no moderator any longer',
    ]);
    expect(events()).toEqual([
      'session.moderation_required s1',
      'lock.enforced',
      'session.frozen s1',
      'lock.enforced',
      'session.unfrozen s1',
      'session.moderation_lifted s1',
    ]);
    expect(JSON.parse(audits[1]!.data!)).toMatchObject({ target_kind: 'session-moderation', frozen: 1 });
  });

  it('releases a session when its lock has expired', () => {
    const { apply, registry } = scene('s1');
    apply(lockOn('session-input', 's1', 2_000));
    expect(registry.find('s1')?.gate.open).toBe(false);
    apply(lockOn('session-input', 's1', 1_000));
    expect(registry.find('s1')?.gate.open).toBe(true);
  });

  it.each([
    ['user', 'alice'],
    ['role', 'admin'],
    ['login', 'root'],
    ['node', 'web-1'],
  ] as const)('ends the connection when its %s is locked, and counts its sessions', (kind, target) => {
    const { apply, did, audits } = scene('s1', 's2');
    expect([...apply(lockOn(kind, target))]).toEqual([[`${kind}-lock`, { connections: 1, sessions: 2 }]]);
    expect(did).toEqual(['end LOCKED']);
    expect(audits.map(({ event }) => event)).toEqual(['session.ended', 'lock.enforced']);
    expect(JSON.parse(audits[1]!.data!)).toEqual({ target_kind: kind, target, connections: 1, sessions: 2 });
  });

  it('shows a notice once, only in its session, and names the sender', () => {
    const { registry, did, audits } = scene('s1', 's2');
    const notice = { id: 'n1', session: 's1', text: 'please log out', by: 'bob', expires_at: 9_000 };
    const publish = (...notices: readonly SessionNotice[]): unknown =>
      registry.recheck({ locks: [], notices, roles: [admin], nodes: [node], grants: [], clusters: [] } as unknown as Snapshot);
    publish(notice);
    publish(notice, { ...notice, id: 'n2', session: 'elsewhere' });
    publish();
    expect(did.filter((what) => what !== 'permit')).toEqual(['s1 notice from bob: please log out']);
    expect(audits).toMatchObject([{ event: 'session.notice', session: 's1', actor: 'bob', reason: 'please log out', outcome: 'success' }]);
  });

  it('is idle once the last session has ended, no matter how', async () => {
    const { registry, apply } = scene('s1', 's2');
    const idle = registry.idle().then(() => 'idle');
    const soon = (): Promise<string> => Promise.race([idle, new Promise<string>((resolve) => setImmediate(() => resolve('busy')))]);
    apply(lockOn('session', 's1'));
    expect(await soon()).toBe('busy');
    registry.find('s2')!.leave();
    expect(await soon()).toBe('idle');
    await registry.idle();
  });

  it('applies no snapshot to an access that has left', () => {
    const { apply, access, did } = scene('s1');
    access.leave();
    access.leave();
    apply(lockOn('user', 'alice'));
    expect(did).toEqual([]);
  });
});
