/** The tables of live sessions that several people share; moments and JSON are as in schema.ts. */
import type { Generated } from 'kysely';

type Moment = number;
type Json = string;

/** Sessions that a gateway holds. `details`: `LiveSessionDetails` in JSON, as the gateway said last; null: it said nothing. */
interface LiveSessionTable {
  session: string;
  holder: string;
  since: Moment;
  details: Generated<Json | null>;
}

/** `session_user`, `node`, `login`: whose session it is, and where, when the invitation was made. */
interface SessionInvitationTable {
  id: string;
  session: string;
  session_user: string;
  node: string;
  login: string;
  user: string;
  mode: 'observer' | 'peer';
  reason: string;
  invited_by: string;
  /** The inviter's roles (names in JSON) and traits, on which the permission rests. */
  roles: Json;
  traits: Json;
  own_since: Moment | null;
  created_at: Moment;
  expires_at: Moment;
  used_at: Moment | null;
  revoked_at: Moment | null;
  revoked_by: string | null;
}

export interface SharingTables {
  live_sessions: LiveSessionTable;
  session_invitations: SessionInvitationTable;
}
