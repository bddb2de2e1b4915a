/**
 * The rows of the event store: what searches, lists and exports see of a session.
 *
 * Everything here but `audit` is derived: it can be rebuilt from the recordings. Names follow ECS and OCSF
 * nouns, so that a column maps onto a SIEM's field without a table of translations.
 *
 * Conventions, the same in every table:
 * - a moment is an integer of milliseconds since 1970-01-01 UTC (`at`, `started_at`, ...);
 * - `offset_ms` is the time of the session's own clock, the position a replay seeks to;
 * - an absent string is `''`; an absent number is `null`;
 * - `data` is the text of a JSON object with what has no column of its own.
 *
 * A row is identified by its content, never by when it arrived: (`session`, `block`, `index`) for events and
 * screen lines, `id` for audit; of session rows the highest `version` is the true one.
 *
 * The validators are for rows that come from outside the process; they bound every field. Tested in
 * `stores/events/rows.test.ts`.
 */
import { z } from 'zod';

/** 26 lower-case Crockford base32 digits; the leading ten are the time, so ids sort by their start. */
export const sessionIdPattern = /^[0-7][0-9a-hjkmnp-tv-z]{25}$/;

export const sessionKinds = ['shell', 'exec', 'sftp', 'subsystem', 'forward'] as const;
export type SessionKind = (typeof sessionKinds)[number];

/** live: recording. ended: over, not every object stored. sealed: whole and signed. interrupted: cut off. */
export const sessionStates = ['live', 'ended', 'sealed', 'interrupted'] as const;
export type SessionState = (typeof sessionStates)[number];

export const eventKinds = [
  'exec',
  'exit',
  'file',
  'connect',
  'listen',
  'dns',
  'sftp',
  'kube',
  'forward',
  'gap',
  // Of the session itself: who joined or left, signals, markers, and what went through a stream in all.
  'participant',
  'signal',
  'marker',
  'stream',
  // Of the kernel, beside exec, exit, file, connect, listen, dns and gap: schemas/kernel.ts.
  'kernel',
  'fork',
  'accept',
  'send',
  'privilege',
  'system',
  'escape',
] as const;
export type EventKind = (typeof eventKinds)[number];

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
  /** Monotonic for each gateway, without holes: a hole is a session that was deleted or never uploaded. */
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
}

export interface EventRow {
  readonly session: string;
  /** The block of the recording that carried the event, and the event's place in it. */
  readonly block: number;
  readonly index: number;
  readonly at: number;
  readonly offset_ms: number;
  readonly kind: EventKind;
  readonly user: string;
  readonly node: string;
  readonly login: string;
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

/** Which table holds which row. */
export interface EventTables {
  readonly sessions: SessionRow;
  readonly events: EventRow;
  readonly screen: ScreenRow;
  readonly audit: AuditRow;
}
export type EventTable = keyof EventTables;

const u16 = z.int().min(0).max(0xffff);
const u32 = z.int().min(0).max(0xffff_ffff);
/** Up to 2^53 - 1: what a JavaScript number holds exactly. */
const count53 = z.int().min(0);
/** 1970 to 2200: inside what the store's DateTime64(3) can hold. */
const moment = z.int().min(0).max(7_258_118_400_000);
const session = z.string().regex(sessionIdPattern);
const name = z.string().max(255);
const line = z.string().max(4096);
const address = z.string().max(255);
const sha256 = z.string().regex(/^([0-9a-f]{64})?$/);
/** The text of a JSON object, at most 256 Ki UTF-16 units: 32 KiB of arguments may be escapes of six characters each. */
const data = z.string().max(262_144).refine(isJsonObject, 'not a JSON object');

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
});

export const eventRow = z.strictObject({
  session,
  block: u32,
  index: u32,
  at: moment,
  offset_ms: count53,
  kind: z.enum(eventKinds),
  user: name,
  node: name,
  login: name,
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

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

// A validator that drifts from its row type does not compile: each must produce exactly the row.
type Exact<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Produced<T extends z.ZodType> = Readonly<z.output<T>>;
type Frozen<T> = { readonly [K in keyof T]: T[K] extends string[] ? readonly string[] : T[K] };
type Matches = [
  Exact<Frozen<Produced<typeof sessionRow>>, SessionRow>,
  Exact<Frozen<Produced<typeof eventRow>>, EventRow>,
  Exact<Frozen<Produced<typeof screenRow>>, ScreenRow>,
  Exact<Frozen<Produced<typeof auditRow>>, AuditRow>,
];
/** The four validators by table. */
export const rowValidators = {
  sessions: sessionRow,
  events: eventRow,
  screen: screenRow,
  audit: auditRow,
} as const satisfies Matches extends true[] ? Record<EventTable, z.ZodType> : never;
