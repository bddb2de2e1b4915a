/**
 * The fields of a search, with their meanings and values. The parser, the stores, completion in the page and
 * docs/search.md derive from this table; a test compares the page with it.
 */
import { eventKinds } from '../events/kinds.js';
import { findingStates, severities, tiers } from '../events/rows.js';

/** Kinds of rows: a line of a screen, the command of a session, an event of that kind, an audit row, a finding. */
export const searchKinds = ['screen', 'command', ...eventKinds, 'audit', 'finding'] as const;
export type SearchKind = (typeof searchKinds)[number];

const sessionMarks = ['finding', 'gap', 'kernel', 'screen'] as const;

interface Field {
  /**
   * pattern: text with wildcards. path: like a pattern, but without a leading `/` or `*` it matches the end of a path. address: a pattern, or a
   * block as in `10.0.0.0/8`. number, bytes: ranges. moment: a point in time or a span. choice: one of a list. label: `KEY=VALUE`, or `KEY` alone.
   */
  readonly takes: 'pattern' | 'path' | 'address' | 'number' | 'bytes' | 'moment' | 'choice' | 'label';
  readonly choices?: readonly string[];
  readonly text: string;
  readonly example: string;
}

export const searchFields = {
  user: { takes: 'pattern', text: 'the user of the session; for an audit row, the actor', example: 'user:alice' },
  node: { takes: 'pattern', text: 'the node, or CLUSTER/NAMESPACE/POD', example: 'node:web-*' },
  login: { takes: 'pattern', text: 'the account on the node', example: 'login:root' },
  session: { takes: 'pattern', text: 'the id of a session', example: 'session:01k6…' },
  kind: { takes: 'choice', choices: searchKinds, text: 'what was found', example: 'kind:exec' },
  exe: { takes: 'path', text: 'a program that was started', example: 'exe:curl' },
  argv: { takes: 'pattern', text: 'the whole command line of a program that was started', example: 'argv:"*--no-check-certificate*"' },
  path: { takes: 'path', text: 'a file or folder in kernel events, sftp and transfers', example: 'path:/etc/shadow' },
  dst: { takes: 'address', text: 'the other end of a connection, or of a datagram', example: 'dst:10.0.0.0/8' },
  port: { takes: 'number', text: 'the port of a connection or of a listening socket', example: 'port:4444' },
  dns: { takes: 'pattern', text: 'a name that was looked up', example: 'dns:*.example.com' },
  sha256: { takes: 'pattern', text: 'the hash of a program or of a transferred file', example: 'sha256:9f86d0*' },
  size: { takes: 'bytes', text: 'bytes of a file or transfer', example: 'size:>10MB' },
  outcome: { takes: 'pattern', text: 'how it ended', example: 'outcome:failure' },
  reason: { takes: 'pattern', text: 'why, or how a file was opened', example: 'reason:*O_WRONLY*' },
  verb: { takes: 'pattern', text: 'the event of an audit row, or the verb of a Kubernetes request', example: 'verb:session.refused' },
  rule: { takes: 'pattern', text: 'the rule of a finding', example: 'rule:steno/*' },
  severity: { takes: 'choice', choices: severities, text: 'the severity of a finding', example: 'severity:critical' },
  state: { takes: 'choice', choices: findingStates, text: 'the state of a finding', example: 'state:open' },
  tier: {
    takes: 'choice',
    choices: tiers,
    text: 'the tier of a finding; signals are found only if tier, rule or technique is named',
    example: 'tier:signal',
  },
  technique: { takes: 'pattern', text: 'the ATT&CK technique of a finding', example: 'technique:T1003*' },
  cluster: { takes: 'pattern', text: 'the Kubernetes cluster', example: 'cluster:prod' },
  namespace: { takes: 'pattern', text: 'the namespace in it', example: 'namespace:shop' },
  pod: { takes: 'pattern', text: 'the pod', example: 'pod:web-*' },
  container: { takes: 'pattern', text: 'the container', example: 'container:app' },
  image: { takes: 'pattern', text: 'the image of the container', example: 'image:*nginx*' },
  label: { takes: 'label', text: 'a label of the node when the session began', example: 'label:env=prod' },
  request: { takes: 'pattern', text: 'the access request that the session used', example: 'request:7f3a…' },
  has: { takes: 'choice', choices: sessionMarks, text: 'sessions with at least one of these', example: 'has:finding' },
  after: { takes: 'moment', text: 'at or after a moment', example: 'after:2026-03-01' },
  before: { takes: 'moment', text: 'before a moment', example: 'before:2h' },
  during: {
    takes: 'moment',
    text: 'within a day, hour, minute or span; for a session (kind:command), running at some time in it',
    example: 'during:2026-03-01T14..2026-03-01T16',
  },
} as const satisfies Readonly<Record<string, Field>>;

export type SearchField = keyof typeof searchFields;

export function isSearchField(name: string): name is SearchField {
  return Object.hasOwn(searchFields, name);
}

export function fieldFacts(field: SearchField): Field {
  return searchFields[field];
}
