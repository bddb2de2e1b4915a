/**
 * The rows of the event store, on which searches, lists and exports of sessions are based.
 *
 * Rows of sessions, screens and recorded events are derived: they can be rebuilt from the recordings. Names follow ECS and OCSF
 * nouns, so that a column maps onto a SIEM's field without a table of translations.
 *
 * Conventions, the same in every table:
 * - a moment is an integer of milliseconds since 1970-01-01 UTC (`at`, `started_at`, ...);
 * - `offset_ms` is session time, the position to which a replay seeks;
 * - an absent string is `''`; an absent number is `null`;
 * - `data` is the text of a JSON object with the fields that have no column.
 *
 * A row is identified by its content, never by its time of arrival: (`session`, `source`, `emitter`, `block`, `index`) for
 * events, (`session`, `block`, `index`) for screen lines, `id` for audit; for session rows and findings the highest `version`
 * counts.
 *
 * The validators are for rows from outside the process; they bound every field. Tested in `stores/events/engine/rows.test.ts`.
 */
import { z } from 'zod';
import { eventKinds, eventSources, kindPattern } from './kinds.js';
import type { EventKind, EventSource } from './kinds.js';

/** 26 lower-case Crockford base32 digits; the leading ten are the time, so ids sort by their start. */
export const sessionIdPattern = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;

export const sessionKinds = ['shell', 'exec', 'sftp', 'subsystem', 'forward'] as const;
export type SessionKind = (typeof sessionKinds)[number];

/** live: recording. ended: over, but not every object is stored. sealed: complete and signed. interrupted: cut off. */
export const sessionStates = ['live', 'ended', 'sealed', 'interrupted'] as const;
export type SessionState = (typeof sessionStates)[number];

export interface SessionRow {
  readonly session: string;
  /** Grows with each change of this session's row; the highest wins, whatever the order of arrival. */
  readonly version: number;
  readonly kind: SessionKind;
  readonly user: string;
  readonly roles: readonly string[];
  readonly node: string;
  readonly login: string;
  readonly gateway: string;
  /** Counts up per gateway without holes: a hole means that a session was deleted or never uploaded. */
  readonly counter: number;
  readonly source_address: string;
  readonly client_version: string;
  /** Decimal digits of the u64 serial, which a JavaScript number cannot hold. */
  readonly certificate_serial: string;
  readonly certificate_key_id: string;
  readonly command: string;
  readonly tty: boolean;
  readonly cols: number;
  readonly rows: number;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly state: SessionState;
  readonly exit_code: number | null;
  readonly exit_signal: string | null;
  /** From the user to the node, and from the node to the user. */
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly blocks: number;
  /** The recording before and after compression. */
  readonly recording_bytes: number;
  readonly stored_bytes: number;
  /** Lower-case hex of the hash of the last block stored, or ''. */
  readonly chain_head: string;
  /** The access requests that the certificate carried, with commas; '' for none. */
  readonly request_id: string;
  /** A target that is not a node: a container of a pod in a Kubernetes cluster. `node` is then `CLUSTER/NAMESPACE/POD`, which no node is named. */
  readonly cluster: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly image: string;
  /** Labels of the target when the session began. Rules about labels use these, even if the labels change later. */
  readonly labels: Readonly<Record<string, string>>;
  /** False for recordings without labels: rules on labels then treat every label as unknown. */
  readonly labels_known: boolean;
}

export interface EventRow {
  /** '' for events without a session: requests to a Kubernetes API, facts about a node. */
  readonly session: string;
  readonly source: EventSource;
  /** The service that sent the row, as in `agent/web-3`; '' for rows derived from a recording. */
  readonly emitter: string;
  /** The block of the recording, or the file of the node's log, that contains the event, and the event's position in it. */
  readonly block: number;
  readonly index: number;
  readonly at: number;
  readonly offset_ms: number;
  readonly kind: EventKind;
  /** The name of the kind as it was sent, for `unknown`; '' for all others. */
  readonly raw_kind: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly path: string;
  readonly size: number | null;
  readonly sha256: string;
  readonly address: string;
  readonly port: number | null;
  readonly name: string;
  readonly reason: string;
  readonly outcome: string;
  readonly count: number | null;
  readonly data: string;
}

/** Empty values for the columns of an event; a row overrides those that its kind has (kinds.ts). */
export const noFacts = {
  raw_kind: '',
  cluster: '',
  namespace: '',
  pod: '',
  container: '',
  path: '',
  size: null,
  sha256: '',
  address: '',
  port: null,
  name: '',
  reason: '',
  outcome: '',
  count: null,
  data: '{}',
} as const satisfies Partial<EventRow>;

/** One rendered line, stored once, with the time it first appeared. */
export interface ScreenRow {
  readonly session: string;
  readonly block: number;
  readonly index: number;
  readonly at: number;
  readonly offset_ms: number;
  /** Counted from 0 at the top of the screen. */
  readonly row: number;
  readonly text: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
}

export interface AuditRow {
  readonly id: string;
  readonly at: number;
  /** `noun.verb`, as in `session.start` or `auth.refused`. */
  readonly event: string;
  readonly actor: string;
  readonly target: string;
  readonly outcome: 'success' | 'failure';
  /** A code of the error catalogue, or ''. */
  readonly code: string;
  readonly reason: string;
  readonly source_address: string;
  readonly session: string;
  readonly node: string;
  readonly login: string;
  readonly data: string;
}

export const severities = ['info', 'low', 'medium', 'high', 'critical'] as const;
/**
 * open: nobody has looked yet. acknowledged: somebody is looking. resolved: dealt with. dismissed: a false alarm. suppressed: expected
 * to be a false alarm.
 */
export const findingStates = ['open', 'acknowledged', 'resolved', 'dismissed', 'suppressed'] as const;
export type FindingState = (typeof findingStates)[number];
export const findingIdPattern = /^[A-Za-z0-9._:-]{1,128}$/;

/** signal: a tag, notifies nobody. alert: a single event that notifies. session: a chain or behaviour of a whole session. In `data` of a finding. */
export const tiers = ['signal', 'alert', 'session'] as const;
export type Tier = (typeof tiers)[number];

/** A rule of the analyzer matched. */
export interface FindingRow {
  /** Id of the finding; finding the same match again gives the same id. */
  readonly id: string;
  /** Grows with each change of the finding's state; the highest wins. */
  readonly version: number;
  readonly rule: string;
  readonly rule_version: number;
  readonly severity: (typeof severities)[number];
  /** ATT&CK ids, as in `T1003.008`. */
  readonly techniques: readonly string[];
  /** '' for a finding without a session. */
  readonly session: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly at: number;
  /** Session time, and the row of the screen if the finding is about something shown. */
  readonly offset_ms: number | null;
  readonly row: number | null;
  /** Ids of the events that prove it (`eventId`). */
  readonly evidence: readonly string[];
  readonly state: (typeof findingStates)[number];
  /** Findings with the same key are shown as one. */
  readonly dedup_key: string;
  readonly data: string;
}

/** Names an event within the store, for evidence and links. */
export function eventId(row: Pick<EventRow, 'session' | 'source' | 'emitter' | 'block' | 'index'>): string {
  return `${row.session}:${row.source}:${row.emitter}:${row.block}.${row.index}`;
}

/** The row type of each table. */
export interface EventTables {
  readonly sessions: SessionRow;
  readonly events: EventRow;
  readonly screen: ScreenRow;
  readonly audit: AuditRow;
  readonly findings: FindingRow;
}
export type EventTable = keyof EventTables;

const u16 = z.int().min(0).max(0xffff);
const u32 = z.int().min(0).max(0xffff_ffff);
/** Up to 2^53 - 1, which a JavaScript number holds exactly. */
const count53 = z.int().min(0);
/** 1970 to 2200, within the range of the store's DateTime64(3). */
const moment = z.int().min(0).max(7_258_118_400_000);
const session = z.string().regex(sessionIdPattern);
const name = z.string().max(255);
const line = z.string().max(4096);
const address = z.string().max(255);
const sha256 = z.string().regex(/^([0-9a-f]{64})?$/);
/** The text of a JSON object, at most 256 Ki UTF-16 units: 32 KiB of arguments may be escapes of six characters each. */
const data = z.string().max(262_144).refine(isJsonObject, 'not a JSON object');

/** At most 256 labels: a node has 64. */
const labels = z.record(z.string().max(255), z.string().max(1024)).refine((all) => Object.keys(all).length <= 256, 'too many labels');

export const sessionRow = z.strictObject({
  session,
  version: count53,
  kind: z.enum(sessionKinds),
  user: name,
  roles: z.array(name).max(256),
  node: name,
  login: name,
  gateway: name,
  counter: count53,
  source_address: address,
  client_version: name,
  certificate_serial: z
    .string()
    .regex(/^\d{1,20}$/)
    .refine((digits) => digits.padStart(20, '0') <= '18446744073709551615', 'beyond 64 bits'),
  certificate_key_id: z.string().max(1024),
  command: z.string().max(65_536),
  tty: z.boolean(),
  cols: u16,
  rows: u16,
  started_at: moment,
  ended_at: moment.nullable(),
  state: z.enum(sessionStates),
  exit_code: u32.nullable(),
  exit_signal: name.nullable(),
  bytes_in: count53,
  bytes_out: count53,
  blocks: u32,
  recording_bytes: count53,
  stored_bytes: count53,
  chain_head: sha256,
  request_id: name,
  cluster: name,
  namespace: name,
  pod: name,
  container: name,
  image: z.string().max(1024),
  labels,
  labels_known: z.boolean(),
});

export const eventRow = z.strictObject({
  session: session.or(z.literal('')),
  source: z.enum(eventSources),
  emitter: name,
  block: u32,
  index: u32,
  at: moment,
  offset_ms: count53,
  kind: z.enum(eventKinds),
  raw_kind: z.union([z.literal(''), z.string().regex(kindPattern)]),
  user: name,
  node: name,
  login: name,
  cluster: name,
  namespace: name,
  pod: name,
  container: name,
  path: line,
  size: count53.nullable(),
  sha256,
  address,
  port: u16.nullable(),
  name: line,
  reason: line,
  outcome: name,
  count: count53.nullable(),
  data,
});

export const screenRow = z.strictObject({
  session,
  block: u32,
  index: u32,
  at: moment,
  offset_ms: count53,
  row: u16,
  text: z.string().max(65_536),
  user: name,
  node: name,
  login: name,
});

export const auditRow = z.strictObject({
  id: z.string().min(1).max(64),
  at: moment,
  event: z
    .string()
    .max(64)
    .regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/),
  actor: name,
  target: line,
  outcome: z.enum(['success', 'failure']),
  code: z.string().regex(/^[A-Z0-9_]{0,64}$/),
  reason: line,
  source_address: address,
  session: z.union([session, z.literal('')]),
  node: name,
  login: name,
  data,
});

export const findingRow = z.strictObject({
  id: z.string().min(1).max(128),
  version: count53,
  rule: name,
  rule_version: u32,
  severity: z.enum(severities),
  techniques: z.array(z.string().max(32)).max(64),
  session: session.or(z.literal('')),
  user: name,
  node: name,
  login: name,
  at: moment,
  offset_ms: count53.nullable(),
  row: u16.nullable(),
  evidence: z.array(z.string().max(512)).max(1000),
  state: z.enum(findingStates),
  dedup_key: z.string().max(512),
  data,
});

export function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

// A validator that differs from its row type does not compile: each must produce exactly the row.
type Exact<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Produced<T extends z.ZodType> = Readonly<z.output<T>>;
type Frozen<T> = { readonly [K in keyof T]: T[K] extends string[] ? readonly string[] : T[K] };
type Matches = [
  Exact<Frozen<Produced<typeof sessionRow>>, SessionRow>,
  Exact<Frozen<Produced<typeof eventRow>>, EventRow>,
  Exact<Frozen<Produced<typeof screenRow>>, ScreenRow>,
  Exact<Frozen<Produced<typeof auditRow>>, AuditRow>,
  Exact<Frozen<Produced<typeof findingRow>>, FindingRow>,
];
/** The validators by table. */
export const rowValidators = {
  sessions: sessionRow,
  events: eventRow,
  screen: screenRow,
  audit: auditRow,
  findings: findingRow,
} as const satisfies Matches extends true[] ? Record<EventTable, z.ZodType> : never;
