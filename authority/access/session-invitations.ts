/**
 * Creates, shows, lists and revokes invitations into live sessions (schemas/documents/session-invitation.ts).
 *
 * Order of creation: 1. ask the session's gateway about the session and check that the author may invite into it (power/guard.ts);
 * 2. one transaction: the row, the webhook messages, the audit row; 3. publish to gateways; 4. answer. A crash after 2 leaves a valid
 * invitation that nobody was told about; the list shows it. Tested in session-invitations.test.ts.
 */
import { newId } from '#runtime/ids.js';
import { createInvitation, listInvitations, revokeInvitation, showInvitation } from '#schemas/api/access/session-invitations.js';
import { MAX_INVITATIONS, invitationPattern } from '#schemas/documents/session-invitation.js';
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import { StenoError } from '#schemas/base/errors.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import { rolesNamed } from '#runtime/http/request-auth.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Context, Route } from '../http/server.js';
import type { Presence } from '../inventory/nodes/presence.js';
import type { PowerGuard } from '../power/guard.js';
import { auditRow } from '../records/audit.js';
import type { Records } from '../records/records.js';
import { countInvitations, forgetInvitations, invitationNamed, invitationsOf, revoke } from '../records/session-invitations.js';
import type { StoredInvitation } from '../records/session-invitations.js';
import { findUser } from '../records/users.js';
import { enqueueInvitation } from '../records/webhooks.js';
import { personOf } from '../web-sessions/person.js';
import type { Person } from '../web-sessions/person.js';
import type { Links } from '../web-sessions/web-sessions.js';

export interface SessionInvitationParts {
  readonly records: Records;
  readonly clock: () => number;
  readonly directory: Directory;
  readonly guard: PowerGuard;
  readonly presence: Presence;
  readonly links: Links;
  /** Base URL of the page. */
  readonly web: string;
  /** Called when webhook messages were queued. */
  readonly onWebhook: () => void;
}

export function sessionInvitationRoutes(parts: SessionInvitationParts): readonly Route[] {
  const { records, clock, directory, guard, presence, links, web } = parts;
  const view = (row: StoredInvitation): SessionInvitationView => viewOf(row, web, clock());
  /** Whether the user may see and revoke everybody's invitations. As for locks, only permanently held roles count. */
  const mayAll = async (user: string, verb: 'list' | 'create'): Promise<boolean> => {
    const record = await records.read((db) => findUser(db, user));
    return record !== undefined && mayAdminister(rolesNamed(record.roles, directory.current().roles), 'lock', verb);
  };
  const find = async (id: string, { user }: Person, verb: 'list' | 'create'): Promise<StoredInvitation> => {
    const row = invitationPattern.test(id) ? await records.read((db) => invitationNamed(db, id)) : undefined;
    if (row === undefined) throw new StenoError('NOT_FOUND', 'there is no such invitation');
    if (row.user !== user && row.invited_by !== user && !(await mayAll(user, verb))) throw new StenoError('SESSION_INVITATION_FOREIGN');
    return row;
  };
  const person = (context: Context<unknown>): Promise<Person> => personOf(links, context);
  return [
    handle(createInvitation, async (c) => {
      const { session, user, mode, duration, reason } = c.body;
      const author = c.principal.kind === 'service' ? await guard.authorOnPage(await person(c)) : await guard.author(c);
      const [about] = await presence.details([session]);
      guard.mayInvite(author, about, mode);
      const { user: owner, node, login } = about!;
      const now = clock();
      const invited = await records.read((db) => findUser(db, user));
      if (invited === undefined || invited.disabled_at !== null) throw new StenoError('NOT_FOUND', `user ${user}`);
      if (invited.kind === 'bot') throw new StenoError('ACCESS_DENIED', `${user} is a bot, and bots join no sessions`);
      if (user === owner) throw new StenoError('ACCESS_DENIED', `the session is ${user}’s own`);
      if (user === author.subject.user) throw new StenoError('ACCESS_DENIED', 'nobody invites themselves');
      const row: StoredInvitation = {
        ...{ id: newId('i', 16), session, session_user: owner, node, login, user, mode, reason, invited_by: author.subject.user },
        roles: JSON.stringify(author.subject.roles.map(({ name }) => name)),
        traits: JSON.stringify(author.subject.traits),
        own_since: directory.current().own_since[author.subject.user] ?? null,
        ...{ created_at: now, expires_at: now + duration, used_at: null, revoked_at: null, revoked_by: null },
      };
      await records.actOn(async (tx) => {
        await forgetInvitations(tx, now);
        for (const [whose, most] of [
          [author.subject.user, MAX_INVITATIONS.each],
          [null, MAX_INVITATIONS.all],
        ] as const)
          if ((await countInvitations(tx, whose, now)) >= most) throw new StenoError('TOO_MANY', 'open invitations');
        await tx.insertInto('session_invitations').values(row).execute();
        const dropped = await enqueueInvitation(tx, view(row), now);
        const data = { user, mode, reason, expires_at: row.expires_at, of: owner };
        return {
          result: undefined,
          rows: [...dropped, auditRow(now, author, { event: 'session_invitation.create', target: row.id, session, node, login, data })],
        };
      });
      await directory.changed();
      parts.onWebhook();
      return view(row);
    }),
    handle(listInvitations, async (c) => {
      const { user } = await person(c);
      const all = await mayAll(user, 'list');
      return (await records.read((db) => invitationsOf(db, all ? null : user))).map(view);
    }),
    handle(showInvitation, async (c, { name }) => view(await find(name, await person(c), 'list'))),
    handle(revokeInvitation, async (c, { name }) => {
      const who = await person(c);
      const row = await find(name, who, 'create');
      const now = clock();
      await records.actOn(async (tx) => {
        if (!(await revoke(tx, row.id, who.user, now)))
          throw new StenoError('SESSION_INVITATION_OVER', `it is ${viewOf(row, web, now).state}`);
        const { session, node, login, user, invited_by: by } = row;
        return {
          result: undefined,
          rows: [
            auditRow(now, who.caller, { event: 'session_invitation.revoke', target: row.id, session, node, login, data: { user, by } }),
          ],
        };
      });
      await directory.changed();
      return view({ ...row, revoked_at: now, revoked_by: who.user });
    }),
  ];
}

function viewOf(row: StoredInvitation, web: string, now: number): SessionInvitationView {
  const { id, session, session_user, node, login, user, mode, reason, invited_by: by, created_at, expires_at, used_at, revoked_at } = row;
  const state = revoked_at !== null ? 'revoked' : Number(expires_at) <= now ? 'over' : used_at !== null ? 'used' : 'open';
  return {
    ...{ id, state, session, session_user, node, login, user, mode, reason, by },
    created_at: Number(created_at),
    expires_at: Number(expires_at),
    used_at: used_at === null ? null : Number(used_at),
    link: `${web}/join/${id}`,
  };
}
