/**
 * The error catalogue: every failure a person can meet has a code here, and nowhere else.
 *
 * A code is never reused and never changes its meaning; `docs/errors.md` explains each, and
 * `test/architecture/errors.test.ts` compares the two both ways. `exit` is the exit code of the `steno`
 * command; `status` the HTTP status; `retryable` says whether the same call may succeed unchanged later.
 */
export interface ErrorEntry {
  readonly status: number;
  readonly exit: number;
  readonly retryable: boolean;
  /** What happened, one clause, no full stop. */
  readonly message: string;
  /** What to do about it, an imperative sentence. */
  readonly fix: string;
}

const entry = (status: number, exit: number, retryable: boolean, message: string, fix: string): ErrorEntry => ({
  status,
  exit,
  retryable,
  message,
  fix,
});

export const errorCatalogue = {
  // Certificates: why an admission was refused.
  CERT_REQUIRED: entry(
    401,
    77,
    false,
    'this gateway admits only certificates issued by Steno',
    'Run `steno login`, then connect with an SSH client that supports OpenSSH certificates.',
  ),
  CERT_GARBLED: entry(401, 77, false, 'the certificate cannot be parsed', 'Run `steno login` to get a new one.'),
  CERT_EXPIRED: entry(401, 77, false, 'the certificate has expired', 'Run `steno login` to get a new one.'),
  CERT_NOT_YET_VALID: entry(
    401,
    77,
    true,
    'the certificate is not valid yet',
    'Check the clock of this machine, or wait until the certificate begins.',
  ),
  CERT_UNKNOWN_CA: entry(401, 77, false, 'the certificate is not signed by this Steno', 'Run `steno login` against this Steno.'),
  CERT_WRONG_KIND: entry(
    401,
    77,
    false,
    'a host certificate was offered where a user certificate is needed',
    'Run `steno login` and use the certificate it writes.',
  ),
  CERT_WRONG_PRINCIPAL: entry(
    403,
    77,
    false,
    'the certificate does not allow this login',
    'Connect with a login that `steno status` lists.',
  ),
  CERT_WRONG_SOURCE: entry(
    403,
    77,
    false,
    'the certificate may not be used from this address',
    'Connect from an address the certificate names.',
  ),
  CERT_UNKNOWN_OPTION: entry(
    401,
    77,
    false,
    'the certificate carries a critical option that is not understood',
    'Upgrade Steno, or have the certificate issued without it.',
  ),
  CERT_BAD_SIGNATURE: entry(
    401,
    77,
    false,
    'the proof of possession does not match the certificate',
    'Check that key and certificate belong together.',
  ),
  KEY_GARBLED: entry(
    400,
    65,
    false,
    'the key cannot be read',
    'Check that it is an unencrypted OpenSSH or PKCS#8 key of type Ed25519, ECDSA or RSA (2048 bits or more).',
  ),
  SIGNATURE_GARBLED: entry(400, 65, false, 'the signature cannot be parsed', 'Sign again; `ssh-keygen -Y sign` writes the right form.'),
  LOCKED: entry(403, 77, false, 'a lock is in force', 'Ask an administrator, who sees it with `steno locks`.'),
  ACCESS_DENIED: entry(403, 77, false, 'no role allows this', 'Ask for a role that allows it.'),
  SESSION_TOO_LONG: entry(403, 77, true, 'the session lasted as long as your roles allow', 'Connect again.'),
  SESSION_IDLE: entry(403, 77, true, 'the session was idle for as long as your roles allow', 'Connect again.'),
  SESSIONS_TOO_MANY: entry(
    429,
    75,
    true,
    'you have as many connections to nodes as your roles allow',
    'End one of them, or ask for a role that allows more.',
  ),
  REQUEST_OVER: entry(
    403,
    77,
    false,
    'the access request is over, or was taken back',
    'Run `steno login` for a certificate without it, or make a new request with `steno request create`.',
  ),
  REQUEST_DECIDED: entry(409, 73, false, 'the access request is no longer open', 'See how it ended with `steno request show`.'),
  CALLBACK_REFUSED: entry(
    401,
    77,
    false,
    'the answer of a webhook is not signed as agreed, too old, or was seen before',
    'Check the signing secret on both sides, and the clocks.',
  ),
  WEBHOOK_FAILED: entry(
    502,
    69,
    true,
    'a webhook did not take a message',
    'Check the target and its secrets; `steno audit --event webhook.` tells more.',
  ),
  REVIEWED_ALREADY: entry(
    409,
    73,
    false,
    'you have reviewed this access request already',
    'Wait for the other reviewers; `steno request show` names them.',
  ),
  SELF_REVIEW: entry(403, 77, false, 'nobody reviews their own access request', 'Ask somebody else whose role may approve it.'),
  // Reaching a node.
  NODE_UNKNOWN: entry(404, 69, false, 'no such node', 'Run `steno nodes` to see the nodes there are.'),
  NODE_UNREACHABLE: entry(
    502,
    69,
    true,
    'the node cannot be reached',
    'Check that the node is up and its address is right (`steno nodes`).',
  ),
  NODE_HOST_KEY: entry(
    502,
    69,
    false,
    'the node presented a host key that Steno does not trust',
    'Find out why the key changed before you accept it with `steno nodes add --host-key`.',
  ),
  NODE_REFUSED: entry(
    502,
    69,
    false,
    'the node refused the certificate of this session',
    'Check that its sshd trusts the user CA of Steno (`steno ca export user`) and that the login exists.',
  ),
  NODE_LOST: entry(502, 69, true, 'the connection to the node was lost', 'Connect again.'),
  CHANNEL_UNSUPPORTED: entry(
    400,
    64,
    false,
    'this kind of channel is not supported',
    'Use a shell, a command, a subsystem or a forwarding.',
  ),
  // Recording.
  RECORDING_IMPOSSIBLE: entry(
    503,
    74,
    true,
    'the session cannot be recorded, so it cannot take place',
    'Ask the operator to look at `steno doctor`.',
  ),
  KERNEL_RECORDING_IMPOSSIBLE: entry(
    503,
    74,
    false,
    'what the session does in the kernel cannot be recorded, and its role demands it',
    'Run `steno doctor` on the node: it says what is missing there.',
  ),
  SPOOL_FULL: entry(
    503,
    74,
    true,
    'the spool of the gateway has no room',
    'Free space under the data directory, or restore the connection to ingest.',
  ),
  AUTHORITY_UNREACHABLE: entry(
    503,
    75,
    true,
    'the authority cannot be reached, so nobody can be admitted',
    'Ask the operator to look at `steno doctor`.',
  ),
  DRAINING: entry(503, 75, true, 'this Steno is shutting down', 'Connect again in a moment.'),
  // Uplink.
  UPLINK_MALFORMED: entry(400, 65, false, 'an uplink frame cannot be parsed', 'Upgrade the older side.'),
  UPLINK_VERSION: entry(400, 65, false, 'the two sides speak different uplink versions', 'Upgrade the older side.'),
  UPLINK_UNAUTHENTICATED: entry(401, 77, false, 'the uplink certificate is not trusted', 'Join the gateway to this Steno again.'),
  UPLINK_CHAIN_BROKEN: entry(
    409,
    65,
    false,
    'a block does not continue its hash chain',
    'Keep the spool for examination; see docs/errors.md.',
  ),
  UPLINK_EARLY: entry(409, 75, true, 'events came before the recording of their session', 'Nothing: they are kept and sent again.'),
  UPLINK_SIGNATURE: entry(
    409,
    65,
    false,
    'a checkpoint is not signed by the key of its gateway',
    'Keep the spool for examination; see docs/errors.md.',
  ),
  STORE_UNAVAILABLE: entry(
    503,
    75,
    true,
    'a store does not answer or refuses writes',
    'Look at `steno doctor`; nothing acknowledged is lost meanwhile.',
  ),
  STORE_NOT_FOUND: entry(404, 66, false, 'no such object', 'Check the name.'),
  STORE_CONFLICT: entry(
    409,
    65,
    false,
    'an object of this name exists with other content',
    'Keep both for examination; see docs/errors.md.',
  ),
  CLUSTER_UNTRUSTED: entry(
    403,
    77,
    false,
    'a statement of another cluster is not signed by a key that is trusted',
    'Compare the fingerprint with the one that `steno clusters export` shows there, then trust it again.',
  ),
  CLUSTER_STALE: entry(409, 65, false, 'a newer statement of the cluster is known already', 'Export a new one there.'),
  CLUSTER_NO_MFA: entry(
    403,
    77,
    false,
    'your roles here ask for a second factor for each session, which users of another cluster cannot give here',
    'Ask an administrator of this cluster to map you to a role without `require_session_mfa`; your own cluster can ask for the second factor.',
  ),
  STORE_NEWER: entry(
    409,
    78,
    false,
    'the store was written by a newer Steno',
    'Upgrade Steno, or restore the backup made before the upgrade.',
  ),
  ENGINE_MISSING: entry(
    500,
    78,
    false,
    'the embedded event store is not installed',
    'Run `npm install --include=optional`, or configure a ClickHouse server.',
  ),
  QUERY_REFUSED: entry(
    400,
    64,
    false,
    'this query does more than read the tables of the event store',
    'Use SELECT on its tables with ordinary functions; see the detail.',
  ),
  QUERY_TOO_HEAVY: entry(
    413,
    75,
    false,
    'the query takes more time or memory than allowed',
    'Narrow it: a shorter time range, one node, one user.',
  ),
  // Verification: exit codes are part of the command line contract.
  VERIFY_ALTERED: entry(422, 10, false, 'the recording was altered', 'Treat it as tampered with; the report names the first bad block.'),
  VERIFY_TRUNCATED: entry(422, 11, false, 'the end of the recording is missing', 'Export it again, or look for the missing parts.'),
  VERIFY_REORDERED: entry(422, 12, false, 'parts of the recording are in the wrong order', 'Put the parts in the order of their numbers.'),
  VERIFY_MISSING_PART: entry(
    422,
    13,
    false,
    'a part in the middle of the recording is missing',
    'Look for the part that the report names.',
  ),
  VERIFY_UNSIGNED: entry(
    422,
    14,
    false,
    'the recording carries no signature of a trusted recording key',
    'Check that the recording CA key is the right one.',
  ),
  RECORDING_MALFORMED: entry(422, 65, false, 'this is not a Steno recording', 'Check the file; `zstd -t` tells whether it arrived whole.'),
  RECORDING_VERSION: entry(422, 65, false, 'the recording is of a newer format version', 'Upgrade Steno.'),
  // Command line and HTTP.
  USAGE: entry(400, 64, false, 'the call cannot be understood', 'Run the verb with --help.'),
  BAD_REQUEST: entry(400, 64, false, 'the request is malformed', 'See the detail.'),
  NOT_FOUND: entry(404, 66, false, 'there is no such thing', 'Check the name.'),
  SESSION_UNKNOWN: entry(404, 66, false, 'no such session', 'Run `steno sessions`.'),
  NOT_SIGNED_IN: entry(401, 77, false, 'you are not signed in', 'Run `steno login`, or open a fresh sign-in link.'),
  LINK_USED: entry(401, 77, false, 'this sign-in link was used already or has expired', 'Run `steno login --web` for a new one.'),
  LOGIN_FAILED: entry(401, 77, false, 'this login was not accepted', 'Check name, password and code, and try again.'),
  LOGIN_BLOCKED: entry(429, 75, true, 'too many logins failed', 'Wait as long as it says, then try again; a passkey works meanwhile.'),
  LOGIN_ATTEMPT_OVER: entry(
    401,
    77,
    false,
    'this login took too long, was finished already, or was begun in another browser',
    'Begin again.',
  ),
  LOGIN_DENIED: entry(403, 77, false, 'this login was denied in the browser', 'Run `steno login` again if it was yours.'),
  LOGIN_TOO_OLD: entry(401, 77, false, 'this needs a fresh sign-in', 'Sign in again with your password or passkey.'),
  LOGIN_CODE_UNKNOWN: entry(
    404,
    77,
    false,
    'no login waits under this code',
    'Compare it with the code in your terminal; codes last ten minutes.',
  ),
  CODE_WRONG: entry(
    400,
    65,
    false,
    'the code of the authenticator app is not right',
    'Enter the code that the app shows now; check that the clock of the device is right.',
  ),
  PASSKEY_REFUSED: entry(
    400,
    65,
    false,
    'the passkey was not accepted',
    'Try again in the same window; the device must ask for your finger, face or PIN.',
  ),
  INVITATION_OVER: entry(
    401,
    77,
    false,
    'this invitation was used already or has expired',
    'Ask an administrator for a new one (`steno users reset NAME`).',
  ),
  PASSWORD_WEAK: entry(
    400,
    65,
    false,
    'this password is too easy to guess',
    'Use at least 12 characters that are no common password and do not repeat your name.',
  ),
  SECOND_FACTOR_REQUIRED: entry(
    409,
    77,
    false,
    'a local user needs a second factor',
    'Add an authenticator app or a passkey before you remove the last one.',
  ),
  USER_UNKNOWN: entry(404, 66, false, 'there is no such user', 'Run `steno users` to see those there are.'),
  USER_NOT_LOCAL: entry(
    409,
    65,
    false,
    'this user does not sign in here with a password or passkey',
    'Change them where they come from: the provider of single sign-on, or `steno bots`.',
  ),
  DEVICE_UNKNOWN: entry(404, 66, false, 'there is no such device', 'Look at the devices of your account.'),
  USER_EXISTS: entry(
    409,
    73,
    false,
    'there is a user of this name already',
    'Choose another name, or change that one with `steno users edit`.',
  ),
  SESSION_UNCONFIRMED: entry(
    403,
    77,
    false,
    'this session needs a confirmation with a second factor, and got none',
    'Connect again and open the address that is shown, within a minute.',
  ),
  BOT_TOKEN_OVER: entry(
    401,
    77,
    false,
    'this join token was used already or has expired',
    'Ask an administrator for a new one (`steno bots token NAME`).',
  ),
  BOT_COPIED: entry(
    403,
    77,
    false,
    'two copies of this bot renew, so one of them is stolen; the bot is locked',
    'Find out which, then run `steno bots reset NAME` and join it again.',
  ),
  // Single sign-on. The reason is in the audit, and where it helps whoever signs in, on the page.
  CONNECTOR_UNKNOWN: entry(
    404,
    66,
    false,
    'there is no such connector',
    'Run `steno get oidc` or `steno get saml` to see those there are.',
  ),
  SSO_REFUSED: entry(
    401,
    77,
    false,
    'the answer of the identity provider cannot be accepted',
    'Sign in again; if it stays so, show your administrator the audit row `user.login`.',
  ),
  SSO_REPLAYED: entry(401, 77, false, 'this answer of the identity provider was used before', 'Sign in again.'),
  SSO_PROVIDER: entry(
    502,
    69,
    true,
    'the identity provider cannot be reached, or answers what it should not',
    'Try again; an administrator sees what it was in the audit row `user.login`.',
  ),
  SSO_NO_ROLE: entry(
    403,
    77,
    false,
    'the identity provider knows you, but nothing it says of you gives you a role here',
    'Ask for membership in a group that `claims_to_roles` of the connector names.',
  ),
  SSO_NAME: entry(
    403,
    77,
    false,
    'what the identity provider calls you cannot be your name here',
    'Ask an administrator to look at `user` of the connector, or at who has the name already.',
  ),
  REQUEST_REPLAYED: entry(
    401,
    77,
    false,
    'this signed request was seen before or is too old',
    'Check the clock of this machine and try again.',
  ),
  TOO_LARGE: entry(413, 64, false, 'more data than allowed', 'Ask for less at a time.'),
  TOO_MANY: entry(429, 75, true, 'too many requests', 'Wait a moment.'),
  NOT_RUNNING: entry(503, 69, true, 'Steno is not running', 'Start it with `steno up`.'),
  ALREADY_RUNNING: entry(409, 73, false, 'another Steno runs on this data directory', 'Stop it first, or choose another --data.'),
  PORT_TAKEN: entry(409, 73, false, 'a port is taken', 'Choose another with --ssh-listen or --web-listen, or 0 for a free one.'),
  BINDING_MISSING: entry(
    500,
    78,
    false,
    'the native binding of ssh2 is missing, which makes Steno five times slower',
    'Run `npm rebuild ssh2` with the Node that starts Steno.',
  ),
  DISK_NEARLY_FULL: entry(507, 74, false, 'the disk of the data directory is nearly full', 'Free space, or choose another --data.'),
  SEAL_KEY_MISSING: entry(
    500,
    78,
    false,
    'the key that seals the CA keys is missing',
    'Put seal.key back from your backup. Without it the CA keys cannot be opened, and Steno makes no new ones over the old.',
  ),
  SEAL_KEY_WRONG: entry(
    500,
    78,
    false,
    'the CA keys cannot be opened with this seal.key',
    'Put back the seal.key that belongs to this data directory, with mode 0600.',
  ),
  SEAL_PASSPHRASE_NEEDED: entry(
    500,
    78,
    false,
    'the CA keys are sealed with a passphrase',
    'Start `steno up` at a terminal, which asks for it, or name a file that holds it in STENO_SEAL_PASSPHRASE_FILE.',
  ),
  SEAL_PASSPHRASE_WEAK: entry(
    400,
    64,
    false,
    'this passphrase cannot seal the CA keys',
    'Choose one of 12 to 1024 characters, in a file that only you can read.',
  ),
  CA_SIGNER_UNAVAILABLE: entry(
    503,
    75,
    true,
    'the token that holds a CA key does not sign',
    'Look at the token, its PIN file and the file given by --ca-signer; nothing was issued.',
  ),
  CA_SIGNER_CONFIG: entry(400, 78, false, 'the file given by --ca-signer cannot be used', 'See docs/settings.md for its form.'),
  CA_PHASE: entry(409, 64, false, 'the rotation of this CA cannot go to that phase now', 'Run `steno ca status` to see where it is.'),
  CA_ROTATION_EARLY: entry(
    409,
    75,
    true,
    'services still hold certificates of the old key',
    'Wait until `steno ca status` names none, or add --force.',
  ),
  AUTHORITY_UNTRUSTED: entry(
    502,
    77,
    false,
    'the authority shows a certificate of a CA that this login does not know',
    'Run `steno login` again: the service CA may have been rotated meanwhile.',
  ),
  FIPS_UNAVAILABLE: entry(
    500,
    78,
    false,
    "OpenSSL's FIPS provider is not active in this Node.js",
    'Install the provider, point OPENSSL_CONF and OPENSSL_MODULES at it (docs/settings.md), or start without --fips.',
  ),
  SECRET_MISSING: entry(
    500,
    78,
    false,
    'a secret of a webhook cannot be read',
    'Put it into a file of mode 0600 in authority/secrets of the data directory, or into the variable that the webhook names.',
  ),
  SOCKET_UNSAFE: entry(
    500,
    78,
    false,
    'the socket of the authority cannot be placed safely',
    'Give Steno a data directory of its own, owned by the user that runs it, with mode 0700.',
  ),
  // Joining and the tunnel.
  JOIN_REFUSED: entry(
    401,
    77,
    false,
    'the gateway does not let this machine join',
    'Ask for a fresh token (`steno tokens add --type node`), and check the clock of this machine.',
  ),
  NODE_NAME_TAKEN: entry(
    409,
    77,
    false,
    'another machine has joined under this name',
    'Choose another --name, or have the old node removed with `steno nodes rm`.',
  ),
  LABEL_NOT_ALLOWED: entry(
    403,
    77,
    false,
    'the token does not let this node choose these labels',
    'Put them under `node/`, or have them set by the token (`steno tokens add --labels` or `--node-labels`).',
  ),
  GATEWAY_UNTRUSTED: entry(
    502,
    77,
    false,
    'this gateway is not the one to be joined',
    'Compare --gateway and --ca-pin with what `steno tokens add` printed. Somebody may be in between.',
  ),
  AGENT_NOT_JOINED: entry(
    409,
    64,
    false,
    'this machine has not joined yet',
    'Start the agent with --gateway, --ca-pin and --token-file; `steno tokens add --type node` prints them.',
  ),
  TUNNEL_MALFORMED: entry(
    400,
    65,
    false,
    'the tunnel carried something that is none of its frames',
    'Upgrade the older side; if both are the same, something else speaks on this port.',
  ),
  SSHD_CONFIG: entry(409, 78, false, 'the configuration of sshd cannot be changed', 'See the detail; nothing was left changed.'),
  NODE_VERSION: entry(500, 78, false, 'this Node.js is too old', 'Use Node.js 20.19 or newer.'),
  DOCUMENT_INVALID: entry(
    400,
    65,
    false,
    'the document is not valid',
    'Correct the place that is shown; docs/roles.md explains the fields.',
  ),
  REVISION_CONFLICT: entry(409, 75, false, 'somebody else changed it meanwhile', 'Get it again and repeat your change.'),
  ROLE_HELD: entry(409, 73, false, 'users hold this role', 'Take it from them first, or leave it and empty it.'),
  NOBODY_ADMINISTERS: entry(
    409,
    73,
    false,
    'nobody would be left who may administer everything',
    'Leave one user that is not disabled a role with administer: true and no deny rules.',
  ),
  INTERNAL: entry(500, 70, false, 'something went wrong inside Steno', 'Look at the log, and report it.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorCatalogue;

/** An error with a code from the catalogue. `detail` names the thing it happened to; never a secret. */
export class StenoError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown }) {
    super(detail === undefined ? errorCatalogue[code].message : `${errorCatalogue[code].message}: ${detail}`, options);
    this.name = 'StenoError';
    this.code = code;
    this.detail = detail;
  }

  get entry(): ErrorEntry {
    return errorCatalogue[this.code];
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code);
}
