/**
 * Every route that changes something, the power it could transfer, and its check. moves.test.ts compares this with the
 * actual routes, so that a route with a missing or wrong line fails the tests.
 *
 * Verbs follow what a route does: GET asks for list or read, anything else for create, update, delete or label. Routes
 * admitted by several verbs decide which one is needed once they know whether the resource exists.
 */

/**
 * everything: open only to users who administer everything, or to the machine's owner
 * account:    `mayHand`: the account, before and after, can do nothing that the author cannot
 * role:       `mayWriteRole`: holders of the role get nothing that the author lacks
 * labels:     `mayLabel`, `mayStandFor`: the access that labels, addresses and keys of nodes open
 * connector:  `mayMapTo`, and `mayHand` for its users
 * lock:       `mayLift`: not on an account that the author has controlled
 * request:    the rules of roles on asking and approving, pinned roles, and no common controller of both accounts
 * session:    `mayInvite`: the modes in which roles let the author invite others
 * own:        the caller's own account, session or service, by its own credentials
 * takes:      takes power away, only reports, or is exactly what the verb permits; the verb is enough
 */
export type Check = 'everything' | 'account' | 'role' | 'labels' | 'connector' | 'lock' | 'request' | 'session' | 'own' | 'takes';

export interface Move {
  readonly route: string;
  readonly check: Check;
  /** The power it could transfer, or why it transfers none. */
  readonly power: string;
}

const move = (check: Check, power: string, ...routes: readonly string[]): readonly Move[] =>
  routes.map((route) => ({ route, check, power }));

export const moves: readonly Move[] = [
  ...move(
    'everything',
    'whoever has the socket is the owner of the machine',
    'POST /v1/login',
    'POST /v1/enroll',
    'PUT /v1/ingest',
    'POST /v1/ca-seal',
  ),
  ...move(
    'everything',
    'a gateway certifies sessions for everybody, a viewer reads every recording',
    'POST /v1/service-tokens',
    'DELETE /v1/service-tokens/:id',
    'DELETE /v1/services/:kind/:name',
  ),
  ...move('everything', 'users of another cluster come in with the roles that its map names', 'PUT /v1/clusters/:name'),
  ...move(
    'everything',
    'which server users are led to, whose credential impersonates them there, and which roles open it',
    'PUT /v1/kube-clusters/:name',
    'DELETE /v1/kube-clusters/:name',
  ),
  ...move('everything', 'identities over there answer as users', 'PUT /v1/webhooks/:name', 'DELETE /v1/webhooks/:name'),
  ...move(
    'everything',
    'where everything that is stored is sent on to, and which secret goes along',
    'PUT /v1/siem-destinations/:name',
    'DELETE /v1/siem-destinations/:name',
  ),
  ...move('everything', 'a name that somebody else had', 'POST /v1/user-names/:name/release'),

  ...move(
    'account',
    'roles, traits, a name that becomes logins, and the link that is the way in',
    'POST /v1/users',
    'PUT /v1/users/:name',
    'POST /v1/users/:name/reset',
  ),
  ...move('account', 'an account that was closed is open again', 'POST /v1/users/:name/enable'),
  ...move(
    'account',
    'takes an account away: also from who can do more than the author',
    'POST /v1/users/:name/disable',
    'DELETE /v1/users/:name',
  ),
  ...move('account', 'as of users; the token is the way in', 'POST /v1/bots', 'POST /v1/bots/:name/token', 'POST /v1/bots/:name/reset'),

  ...move('takes', 'a line on a terminal, with the name of who sent it', 'POST /v1/session-notices'),

  ...move('role', 'what its holders can do, whoever holds it or will', 'POST /v1/roles', 'PUT /v1/roles/:name'),
  ...move('takes', 'only a role that nobody holds and nothing names', 'DELETE /v1/roles/:name'),

  ...move('labels', 'which roles open the node, and which machine it is', 'PUT /v1/nodes/:name'),
  ...move('labels', 'which roles open the machines that join', 'POST /v1/tokens'),
  ...move(
    'takes',
    'who can pass for a registered OpenSSH server: that is what the verb says; services get only their own',
    'POST /v1/host-certificate',
  ),
  ...move('takes', 'a node, or a token, less', 'DELETE /v1/nodes/:name', 'DELETE /v1/tokens/:id'),

  ...move('connector', 'who comes in, under which name, with which roles and traits', 'PUT /v1/connectors/:name'),
  ...move(
    'takes',
    'a way in less; its users stay, and whoever makes a connector of its name again must be able to hand them out',
    'DELETE /v1/connectors/:name',
  ),
  ...move('lock', 'a lock that is replaced is lifted', 'PUT /v1/locks/:name', 'DELETE /v1/locks/:name'),

  ...move(
    'request',
    'what is granted for a while',
    'POST /v1/requests',
    'POST /v1/requests/:name/review',
    'POST /v1/webhooks/:name/answer',
  ),
  ...move('request', 'a certificate that carries what was granted', 'POST /v1/request-certificate'),
  ...move('takes', 'ends a request', 'POST /v1/requests/:name/cancel'),

  ...move('session', 'being in a live session, as what a role lets the author invite to', 'POST /v1/session-invitations'),
  ...move('takes', 'ends an invitation by or for the caller, or by the right to lock', 'POST /v1/session-invitations/:name/revoke'),

  ...move('takes', 'keys of CAs change hands between the authority and itself', 'PUT /v1/ca/:name/rotation'),
  ...move('takes', 'says where our gateways are; our keys sign it', 'POST /v1/cluster-statement'),
  ...move('takes', 'newer keys of a cluster, signed with those that are trusted', 'POST /v1/clusters/:name/refresh'),
  ...move('takes', 'trust less', 'DELETE /v1/clusters/:name'),
  ...move('takes', 'a note of a reviewer; nothing follows from it by itself', 'POST /v1/access-decisions'),
  ...move('takes', 'answers a question: it has a body', 'POST /v1/access/check', 'POST /v1/cluster-nodes', 'POST /v1/live-sessions/read'),
  ...move('takes', 'a row of the audit', 'POST /v1/disclosures'),
  ...move('takes', 'a lock, and only one that the policy of this authority lists', 'POST /v1/findings/:name/response'),
  ...move('takes', 'what becomes of a finding; nothing follows from it by itself', 'POST /v1/findings/:name/triage'),
  ...move(
    'takes',
    'what people write about recordings; nothing follows from it by itself',
    'POST /v1/notes',
    'POST /v1/note-tickets',
    'POST /v1/session-notes',
    'POST /v1/cases',
    'POST /v1/cases/:name',
    'POST /v1/cases/:name/state',
    'POST /v1/cases/:name/items',
    'POST /v1/cases/:name/items/:item/removal',
  ),
  ...move('takes', 'a search of the caller, run with the rights that the caller has at each run', 'POST /v1/saved-searches'),
  ...move('own', 'a search of the caller, or a shared or scheduled one of somebody else by the verb', 'DELETE /v1/saved-searches/:name'),
  ...move(
    'takes',
    'which searches are due, and that one found something: viewers read every recording anyway',
    'POST /v1/saved-search-runs',
    'POST /v1/saved-search-results',
  ),
  ...move('own', 'a note of the caller, or one of somebody else by the verb', 'DELETE /v1/notes/:name'),
  ...move(
    'takes',
    'what is noticed, and what is told of it: that is what the verbs are about; responses are not in rules',
    'POST /v1/rules',
    'PUT /v1/rules/:name/enabled',
    'DELETE /v1/rules/:name',
    'PUT /v1/hash-lists/:name/pieces',
    'POST /v1/hash-lists/:name',
    'DELETE /v1/hash-lists/:name',
    'POST /v1/honey-tokens',
    'DELETE /v1/honey-tokens/:name',
    'POST /v1/suppressions',
    'DELETE /v1/suppressions/:name',
  ),
  ...move(
    'own',
    'what an analyzer tells of its rules and of what it found, and how it reads rules',
    'POST /v1/rule-set',
    'POST /v1/hash-set',
    'POST /v1/hash-set/piece',
    'POST /v1/honey-set',
    'POST /v1/siem-set',
    'PUT /v1/rule-states',
    'PUT /v1/rule-catalogue',
    'POST /v1/finding-announcements',
  ),

  ...move('own', 'a browser of the caller, with what the caller is', 'POST /v1/sign-in-link', 'POST /v1/sign-in', 'DELETE /v1/web-session'),
  ...move(
    'own',
    'by the credentials of the account alone',
    'POST /v1/login/local',
    'POST /v1/login/passkey-options',
    'POST /v1/login/passkey',
    'POST /v1/login/connectors/:name',
    'POST /v1/login/parked/:name',
    'POST /v1/login/callback/:name',
    'POST /v1/login/device',
    'POST /v1/login/device/token',
    'POST /v1/login/device/facts',
    'POST /v1/login/device/decision',
    'POST /v1/confirm/facts',
    'POST /v1/confirm/decision',
  ),
  ...move(
    'own',
    'by an invitation',
    'POST /v1/invitation',
    'POST /v1/invitation/password',
    'POST /v1/invitation/totp',
    'POST /v1/invitation/passkey',
    'POST /v1/invitation/accept',
  ),
  ...move(
    'own',
    'by a fresh sign-in',
    'POST /v1/account/totp',
    'POST /v1/account/passkey',
    'POST /v1/account/devices',
    'DELETE /v1/account/devices/:name',
    'PUT /v1/account/password',
    'POST /v1/account/recovery-codes',
  ),
  ...move('own', 'by the token of a bot, or its key', 'POST /v1/bots/join', 'POST /v1/bots/renew'),
  ...move('own', 'a certificate for one login, no longer than that of a login when the web session began', 'POST /v1/terminal/certificate'),
  ...move('own', 'a certificate like the one at hand', 'POST /v1/renew'),
  ...move('own', 'a service, by its token, or by the key that joined', 'POST /v1/services/join', 'POST /v1/services/renew'),
  ...move(
    'own',
    'for a user whose certificate the gateway shows, by the roles of now',
    'POST /v1/session-certificate',
    'POST /v1/session-confirmations',
    'POST /v1/session-confirmations/state',
    'POST /v1/kube-confirmations',
  ),
  ...move(
    'own',
    'what a gateway tells of itself',
    'POST /v1/session-places',
    'PUT /v1/session-places',
    'PUT /v1/nodes/held',
    'PUT /v1/lock-effects',
  ),
  ...move(
    'own',
    'which ingest seals a session',
    'POST /v1/leases/acquire',
    'POST /v1/leases/renew',
    'POST /v1/leases/release',
    'POST /v1/leases/held',
  ),
  ...move(
    'own',
    'what a node says of itself, within what its token or the owner lets it say',
    'PUT /v1/nodes/self',
    'POST /v1/nodes/challenge',
    'POST /v1/nodes/join',
    'POST /v1/nodes/signed',
  ),
];
