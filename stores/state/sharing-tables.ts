/** The tables of live sessions that several people share; moments and JSON are as in schema.ts. */
import type { Generated } from 'kysely';

type Moment = number;
type Json = string;

/** Sessions that a gateway holds. `details`: `LiveSessionDetails` in JSON, as last reported by the gateway; null: not reported. */
interface LiveSessionTable {
  session: string;
  holder: string;
  since: Moment;
  details: Generated<Json | null>;
}

/** `session_user`, `node`, `login`: user, node and login of the session at the time of the invitation. */
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
