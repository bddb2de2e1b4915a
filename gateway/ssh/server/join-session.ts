/**
 * Joins an admitted connection to a live session: checks permission and registers what ends the participation. Tested in joined.test.ts.
 */
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Target, UserIdentity } from '#schemas/base/identity.js';
import type { SessionJoin } from '#schemas/session-join.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { identityNow } from '#runtime/http/request-auth.js';
import { authorizeJoin } from '../../live/joining.js';
import type { LiveSessions } from '../../live/live-sessions.js';
import type { Access } from '../../sessions/access.js';
import type { SessionRegistry } from '../../sessions/registry.js';
import { Joined } from './joined.js';
import type { JoinedClient } from './joined.js';

export type { Joined };
export { MAX_QUEUED } from './joined.js';
export { joinElsewhere } from './elsewhere.js';
export type { AcceptedElsewhere, Elsewhere } from './elsewhere.js';

export interface JoinDeps {
  snapshot(): Snapshot | null;
  /** ms since 1970. */
  readonly now: () => number;
  readonly registry: SessionRegistry;
  readonly live: LiveSessions;
  /** Whether the gateway is draining and starts nothing new. */
  draining(): boolean;
}

/** The user who wants to join, and their address. */
export interface Joiner {
  readonly identity: UserIdentity;
  readonly certificate: SshCertificate;
  readonly source: string;
}

/** An access without a target, which permits nothing; needed by the connection of a user whose join was refused. */
export function strangerAccess({ registry }: JoinDeps, { identity, source }: Joiner): Access {
  return registry.admit({ identity, target: null, source }, { reauthorize: () => null, end: () => undefined });
}

/** The login and node that require a second factor before joining; null if none is required, or joining is refused anyway. */
export function unconfirmedJoin({ snapshot, now, registry, live }: JoinDeps, identity: UserIdentity, join: SessionJoin): Target | null {
  const latest = snapshot();
  const session = registry.find(join.session);
  if (latest === null) return null;
  try {
    const { sessionMfa, about } = authorizeJoin(latest, identity, session, join, now(), live.awaits(session));
    return sessionMfa ? about : null;
  } catch {
    return null;
  }
}

/** Asks this user for their second factor for a login on a node, at the address passed to `shown`. */
export type Prove = (about: Target, shown: (url: string) => void, signal: AbortSignal) => Promise<unknown>;

/** Throws the refusal. `end`: ends the connection. Registers the access, so locks and role changes apply to it from now on. */
export function joinSession(
  { snapshot, now, registry, live, draining }: JoinDeps,
  client: JoinedClient,
  { identity, certificate, source }: Joiner,
  join: SessionJoin,
  end: (error: StenoError) => void,
  prove: Prove,
): { readonly joined: Joined; readonly access: Access } {
  const session = registry.find(join.session);
  const decide = (latest: Snapshot): ReturnType<typeof authorizeJoin> =>
    authorizeJoin(latest, identityNow(identity, certificate, latest), session, join, now(), live.awaits(session));
  const latest = snapshot();
  if (latest === null) throw new StenoError('AUTHORITY_UNREACHABLE');
  if (draining()) throw new StenoError('DRAINING');
  const { about, limits, roles, invited } = decide(latest);
  const access = registry.admit(
    { identity, target: { kind: 'node', node: about.node, login: about.login }, source },
    {
      reauthorize: (changed) => {
        const decided = decide(changed);
        joined.changed(decided.roles);
        return decided.limits;
      },
      end,
    },
  );
  const facts = { user: identity.user, mode: join.mode, source, roles, traits: identity.traits, invited };
  const joined = new Joined(
    client,
    live.audience(session!, about),
    facts,
    invited === null ? null : invited.expires_at - now(),
    async (shown, signal) => {
      await prove(about, shown, signal);
    },
  );
  registry.register(access, { limits });
  return { joined, access };
}
