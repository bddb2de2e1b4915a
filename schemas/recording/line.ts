/**
 * The lines of a recording: asciicast v3 with Steno's own codes.
 *
 * Line 1 is the header, every further line `[interval, code, data]`, where interval is the time since the previous line
 * in seconds, written with millisecond precision. Codes `o i r m x` are asciicast v3; `k j g b s` are Steno's and skipped
 * by players that do not know them (docs/format.md, "Lines"); `e` occurs in event logs only. Parsing is strict and bounded:
 * a line has at most `MAX_LINE_BYTES`, in an event log `MAX_EVENT_LINE_BYTES`. Tested in line.test.ts.
 */
import { StenoError } from '../base/errors.js';

export const RECORDING_FORMAT = 1;
/** Upper bound of one encoded line in bytes of UTF-8, its newline included. */
export const MAX_LINE_BYTES = 65_536;
/**
 * The same for a line in an event log. A line longer than a block is a block by itself, which must fit into one uplink
 * message.
 */
export const MAX_EVENT_LINE_BYTES = 983_040;

/** The signed streams of a session: its recording, and the log of its kernel events, each with its own chain. */
export type Stream = 'recording' | 'events';

export function lineLimit(stream: Stream): number {
  return stream === 'events' ? MAX_EVENT_LINE_BYTES : MAX_LINE_BYTES;
}

export type SessionKind = 'shell' | 'exec' | 'sftp' | 'subsystem' | 'forward';

/**
 * A container of a pod; `image` includes its digest if the cluster reports it, and is empty if the user may not read the
 * pod.
 */
export interface PodFacts {
  readonly cluster: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly image: string;
}

/** The recorder's knowledge when the session opened; member `steno` of the asciicast header. */
export interface SessionFacts {
  readonly format: typeof RECORDING_FORMAT;
  /** 26 characters of Crockford base32 in lower case: 48 bits of ms since 1970, 80 random bits (ULID). */
  readonly session: string;
  readonly kind: SessionKind;
  readonly gateway: string;
  /** Monotonic per gateway: a number missing between two others is a recording that was lost or withheld. */
  readonly counter: number;
  readonly user: string;
  readonly roles: readonly string[];
  readonly node: string;
  readonly login: string;
  readonly source_address: string;
  readonly client_version: string;
  /** Serial of the user's certificate, in decimal. */
  readonly certificate_serial: string;
  readonly certificate_key_id: string;
  /** Ids of the access requests that the certificate carried. */
  readonly requests: readonly string[];
  readonly tty: boolean;
  /** Milliseconds since 1970 at session time 0. */
  readonly started_at: number;
  readonly recording: RecordingMode;
  /** The container of a session that is not on a node; `node` is then `CLUSTER/NAMESPACE/POD`, which no node is named. */
  readonly pod?: PodFacts;
  /** Labels of the node, or of the Kubernetes cluster, when the session began. Omitted by older gateways, and if they do not fit. */
  readonly labels?: Readonly<Record<string, string>>;
  /** `events`: the header of the session's event log. If omitted, that of its recording. */
  readonly stream?: 'events';
}

export function streamOf({ steno }: RecordingHeader): Stream {
  return steno.stream ?? 'recording';
}

/**
 * Which streams without a terminal are recorded in full, from the fewest to the most: none; those whose protocol Steno does not
 * follow (shells, commands, unknown subsystems); all, file transfers and forwarded connections too.
 */
export const streamsModes = ['limited', 'commands', 'full'] as const;
/** How much of long unechoed input is kept, from least to most. */
export const unechoedModes = ['digest', 'full'] as const;

/** The recording settings of the role. */
export interface RecordingMode {
  readonly mode: 'strict' | 'best_effort';
  readonly streams: (typeof streamsModes)[number];
  /** Bytes kept per direction of a stream that is not recorded in full, beside its tail. */
  readonly limit: number;
  /** `digest` by default. */
  readonly unechoed?: (typeof unechoedModes)[number];
}

export interface RecordingHeader {
  readonly version: 3;
  readonly term: { readonly cols: number; readonly rows: number; readonly type?: string };
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly command?: string;
  readonly title?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly steno: SessionFacts;
}

export type StreamName = 'in' | 'out' | 'err';

/** `s` lines: facts about a stream or channel, beside its bytes. `channel` distinguishes forwarded connections. */
export type StreamFact =
  | ExecFact
  | { readonly fact: 'subsystem'; readonly name: string }
  | { readonly fact: 'environment'; readonly name: string; readonly value: string }
  /** The `o` lines that follow come from this stream, until the next such line. */
  | { readonly fact: 'stream'; readonly name: 'stdout' | 'stderr' }
  | { readonly fact: 'signal'; readonly name: string; readonly from: 'client' | 'node' }
  | { readonly fact: 'agent_forwarding' }
  /**
   * From here on the session's input is withheld from its target, or reaches it again. `reason`: why the session was frozen;
   * `by`: the participant who paused or resumed it. Without `by` it was a lock, or a rule of a role.
   */
  | { readonly fact: 'input_gate'; readonly state: 'closed' | 'open'; readonly reason: string; readonly by?: string }
  /**
   * Names the author of the `i` lines that follow, and of the gaps and facts about unechoed input, until the next such line.
   * Before the first, the author is the session's user.
   */
  | { readonly fact: 'typist'; readonly user: string }
  | { readonly fact: 'forward_listen'; readonly address: string; readonly port: number }
  | {
      readonly fact: 'forward_open';
      readonly channel: number;
      readonly direction: 'local' | 'remote' | 'agent';
      readonly address: string;
      readonly port: number;
      readonly origin_address: string;
      readonly origin_port: number;
    }
  | { readonly fact: 'forward_close'; readonly channel: number }
  /** One file operation of sftp, scp or rsync. Sizes in bytes; `sha256` (hex) only if the whole content passed. */
  | FileFact
  /** From here on the node recorded the session's kernel events; its clock differs by at most `error_ms`. */
  | {
      readonly fact: 'kernel';
      readonly classes: readonly string[];
      readonly error_ms: number;
      /** The events go into a signed log beside this recording; if omitted, only into the event store. */
      readonly log?: true;
    }
  /**
   * Unechoed input to a terminal that was longer than any secret, so it counts as data. `bytes` and `sha256` cover all of it, from
   * the preceding gap `input_not_echoed`; its content is in the `b` lines between them if the role says so.
   */
  | { readonly fact: 'unechoed'; readonly bytes: number; readonly sha256: string }
  | ClipboardFact
  | PasteFact
  /** Total of one direction of one stream, whether or not its bytes were kept; for input of a terminal, the content of the `i` lines. */
  | { readonly fact: 'total'; readonly stream: StreamName; readonly channel?: number; readonly bytes: number; readonly sha256: string };

/**
 * A program wrote or requested the clipboard of the user's terminal (OSC 52), `count` times within a second. `bytes`: the total, decoded;
 * `largest`: the largest one. `hides`: part of the content is invisible when pasted. The content is in the preceding `o` lines.
 */
export interface ClipboardFact {
  readonly fact: 'clipboard';
  readonly action: 'write' | 'read';
  /** Such as `c` for the clipboard; empty: the terminal's default. With several, the first. */
  readonly selection: string;
  readonly count: number;
  readonly bytes: number;
  readonly largest: number;
  readonly hides: boolean;
}

/** More than 1 KiB arrived at a terminal at once, within `ms`. `bracketed`: the client marked it as a paste. */
export interface PasteFact {
  readonly fact: 'paste';
  readonly bytes: number;
  readonly lines: number;
  readonly bracketed: boolean;
  readonly ms: number;
}

/**
 * The command of an exec. A command that does not fit into one line takes `parts` consecutive lines, `part` 1 to `parts`, whose
 * `command`s are concatenated. Without the two numbers, the command is complete.
 */
export interface ExecFact {
  readonly fact: 'exec';
  readonly command: string;
  readonly part?: number;
  readonly parts?: number;
}

export interface FileFact {
  readonly fact: 'file';
  readonly protocol: 'sftp' | 'scp' | 'rsync' | 'git';
  readonly operation:
    | 'read'
    | 'write'
    | 'open'
    | 'list'
    | 'stat'
    | 'create'
    | 'remove'
    | 'rename'
    | 'link'
    | 'symlink'
    | 'mkdir'
    | 'rmdir'
    | 'setstat'
    | 'fetch'
    | 'push';
  readonly path: string;
  readonly target?: string;
  readonly size?: number;
  readonly sha256?: string;
  /** Octal permission bits as a number. */
  readonly mode?: number;
  readonly outcome: 'success' | 'failure' | 'unfinished';
  /** Why size or digest is missing, or the server's answer. */
  readonly note?: string;
}

/** `g` lines: something missing from the recording, and the reason. */
export interface Gap {
  readonly reason:
    /** A stream without a terminal exceeded its limit: `bytes` of `stream` are only in the totals. */
    | 'body_limit'
    /** Typed input that the terminal did not echo, such as a password. */
    | 'input_not_echoed'
    /** Input to a terminal while its session was frozen: not delivered, and not recorded, not even its length. */
    | 'input_discarded'
    /** The recorder could not write and the role is best_effort. */
    | 'recorder_failed'
    /** The gateway died; the recording was closed by its successor. */
    | 'interrupted'
    /** More file operations than the recorder follows at the same time. */
    | 'file_operations'
    /** The event log lacks `count` kernel events of the session, from `from` to `to` (ms of session time). */
    | 'kernel_events'
    /** `count` audit rows of the session were quarantined: the audit log lacks them. */
    | 'audit_events';
  readonly stream?: StreamName;
  readonly channel?: number;
  readonly bytes?: number;
  readonly count?: number;
  readonly from?: number;
  readonly to?: number;
  readonly detail?: string;
}

export interface Participant {
  readonly action: 'joined' | 'left';
  readonly user: string;
  readonly mode: 'owner' | 'observer' | 'peer' | 'moderator';
  readonly source_address: string;
  /** The invitation by which the participant joined, with the inviter's reason. Omitted if their own roles permitted it. */
  readonly invitation?: { readonly id: string; readonly by: string; readonly reason: string };
  /** Omitted by older gateways, and for participants without a connection of their own. */
  readonly connection?: ClientConnection;
}

/** A TCP connection as the gateway accepted it: together with the source address, these facts identify it among concurrent ones. */
export interface ClientConnection {
  readonly source_port: number;
  /** The gateway's address to which the client connected. */
  readonly address: string;
  readonly port: number;
  /** ms since 1970. */
  readonly accepted_at: number;
  /** Boot id of the gateway's machine, without which a loopback address is ambiguous. */
  readonly machine: string;
}

/** The screen when the line is reached, as escape sequences for a terminal of this size just reset. */
export interface Keyframe {
  readonly cols: number;
  readonly rows: number;
  readonly screen: string;
  /** From here on, rows of the screen index are derived without earlier state; sealing keeps only anchors. */
  readonly anchor?: true;
}

/**
 * Bytes that were not valid UTF-8. For stream `out` or `err` of a terminal they are the exact bytes of the preceding `o`
 * line, which shows them with U+FFFD; otherwise they are the only record of a binary stream.
 */
export interface RawBytes {
  readonly stream: StreamName;
  readonly channel?: number;
  readonly replaces: boolean;
  readonly base64: string;
}

export type LineBody =
  | { readonly code: 'o'; readonly data: string }
  | { readonly code: 'i'; readonly data: string }
  | { readonly code: 'r'; readonly data: string }
  | { readonly code: 'm'; readonly data: string }
  /** Exit status in decimal, or the name of the signal. */
  | { readonly code: 'x'; readonly data: string }
  | { readonly code: 'k'; readonly data: Keyframe }
  | { readonly code: 'j'; readonly data: Participant }
  | { readonly code: 'g'; readonly data: Gap }
  | { readonly code: 'b'; readonly data: RawBytes }
  | { readonly code: 's'; readonly data: StreamFact }
  /** One kernel event: block, index, and the further columns of `kernelRow` (schemas/kernel/kernel.ts) as the node sent them. */
  | { readonly code: 'e'; readonly data: readonly unknown[] };

/** A line with its interval in milliseconds since the line before. */
export type RecordingLine = LineBody & { readonly interval: number };

/** Milliseconds as asciicast seconds: shortest decimal with at most three digits after the point. */
export function formatInterval(ms: number): string {
  return String(ms / 1000);
}

/** Meaning of a header without recording mode: the default of roles before streams were recorded in full. */
const DEFAULT_RECORDING: RecordingMode = { mode: 'strict', streams: 'limited', limit: 1 << 20 };

/** The key id that the authority writes into a user's certificate. */
function usualKeyId(user: string): string {
  return `user=${user}`;
}

/** Omits defaults that `parseHeader` fills in: the default recording mode, the usual key id, the start encoded in the id, no requests. */
export function encodeHeader(header: RecordingHeader): string {
  const { recording, certificate_key_id: keyId, started_at: startedAt, requests, ...steno } = header.steno;
  const usual =
    recording.mode === DEFAULT_RECORDING.mode &&
    recording.streams === DEFAULT_RECORDING.streams &&
    recording.limit === DEFAULT_RECORDING.limit &&
    recording.unechoed === undefined;
  const start = startedAt === sessionTime(steno.session) ? {} : { started_at: startedAt };
  const written = {
    ...steno,
    ...start,
    ...(keyId === usualKeyId(steno.user) ? {} : { certificate_key_id: keyId }),
    ...(requests.length === 0 ? {} : { requests }),
    ...(usual ? {} : { recording }),
  };
  return `${JSON.stringify({ ...header, steno: written })}\n`;
}

export function encodeLine(interval: number, body: LineBody): string {
  return `[${formatInterval(interval)},"${body.code}",${JSON.stringify(body.data)}]\n`;
}

/**
 * Encodes a `b` line as `encodeLine` does, for base64 that this process has just produced: it needs no escaping, and scanning for
 * escapes costs six times as much as the rest of the line. Not for base64 from elsewhere.
 */
export function encodeRawLine(interval: number, { base64, ...facts }: RawBytes): string {
  return `[${formatInterval(interval)},"b",${JSON.stringify(facts).slice(0, -1)},"base64":"${base64}"}]\n`;
}

/** UTF-16 units per part of a command; each takes at most six bytes in JSON. */
const COMMAND_PART = 10_000;
const encoder = new TextEncoder();

/** Splits a command into facts that fit into one line each: a single one if possible. No part ends inside a character. */
export function execFacts(command: string): readonly ExecFact[] {
  const whole: ExecFact = { fact: 'exec', command };
  // A unit takes at least one byte, so a longer command is too long without encoding it.
  if (command.length < MAX_LINE_BYTES && encoder.encode(encodeLine(1e9, { code: 's', data: whole })).length <= MAX_LINE_BYTES)
    return [whole];
  const pieces: string[] = [];
  for (let at = 0; at < command.length;) {
    const end = at + COMMAND_PART;
    const last = command.charCodeAt(end - 1);
    const cut = end < command.length && last >= 0xd800 && last < 0xdc00 ? end - 1 : end;
    pieces.push(command.slice(at, cut));
    at = cut;
  }
  return pieces.map((piece, i) => ({ fact: 'exec', command: piece, part: i + 1, parts: pieces.length }));
}

/** Rejoins the parts of a command, up to `limit` UTF-16 units; a longer command is cut and ends in CUT_MARK. */
export function joinCommand(before: string, { command, part }: ExecFact, limit: number): string {
  if (part === undefined || part === 1) return cutText(command, limit);
  return before.length >= limit ? before : cutText(before + command, limit);
}

/** Marks the end of a cut text. */
export const CUT_MARK = '\u2026';

/** Cuts a text to at most `limit` UTF-16 units, including the mark; never inside a character. */
export function cutText(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const last = text.charCodeAt(limit - 2);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? limit - 2 : limit - 1) + CUT_MARK;
}

/** The start of a text line that may still grow; `closeText()` ends it. The concatenated parts equal `encodeLine`. */
export function openText(interval: number, code: 'o' | 'i'): string {
  return `[${formatInterval(interval)},"${code}","`;
}
export function growText(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
export function closeText(): string {
  return '"]\n';
}

export function parseHeader(line: string): RecordingHeader {
  const value = parseJson(line, MAX_LINE_BYTES);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('the header is not an object');
  const header = value as Partial<RecordingHeader>;
  if (header.version !== 3) throw malformed('the header is not asciicast version 3');
  const { term, steno } = header;
  if (!isSize(term?.cols) || !isSize(term?.rows)) throw malformed('the header has no terminal size');
  if (typeof steno !== 'object' || steno === null) throw malformed('the header has no member "steno"');
  if (typeof steno.format !== 'number') throw malformed('the header has no format version');
  if (steno.format > RECORDING_FORMAT) throw new StenoError('RECORDING_VERSION', `format ${steno.format}`);
  if (typeof steno.session !== 'string' || !isSessionId(steno.session)) throw malformed('the header has no session id');
  if (steno.stream !== undefined && steno.stream !== 'events') throw new StenoError('RECORDING_VERSION', 'a stream that is not known');
  const startedAt: unknown = steno.started_at ?? sessionTime(steno.session);
  if (typeof startedAt !== 'number' || typeof steno.gateway !== 'string' || !isGatewayName(steno.gateway) || !isCount(steno.counter)) {
    throw malformed('the header lacks gateway, counter or start');
  }
  const requests: unknown = steno.requests ?? [];
  if (!Array.isArray(requests) || !requests.every((id): id is string => typeof id === 'string'))
    throw malformed('the requests of the header are not a list of ids');
  const whole = {
    ...steno,
    requests,
    started_at: startedAt,
    certificate_key_id: steno.certificate_key_id ?? usualKeyId(steno.user),
    recording: steno.recording ?? DEFAULT_RECORDING,
  };
  return { ...(header as RecordingHeader), steno: whole };
}

/** Parses one event line. Returns `null` for unknown codes of later versions, which are skipped, as players do. */
export function parseLine(line: string, stream: Stream = 'recording'): RecordingLine | null {
  const value = parseJson(line, lineLimit(stream));
  if (!Array.isArray(value) || value.length !== 3) throw malformed('a line is not [interval, code, data]');
  const [seconds, code, data] = value as [unknown, unknown, unknown];
  if (typeof seconds !== 'number' || !(seconds >= 0) || seconds > 1e9) throw malformed('an interval is not a time');
  if (typeof code !== 'string') throw malformed('a code is not a string');
  const interval = Math.round(seconds * 1000);
  switch (code) {
    case 'o':
    case 'i':
    case 'r':
    case 'm':
    case 'x':
      if (typeof data !== 'string') throw malformed(`data of "${code}" is not a string`);
      return { interval, code, data };
    case 'k':
    case 'j':
    case 'g':
    case 'b':
    case 's':
      if (typeof data !== 'object' || data === null || Array.isArray(data)) throw malformed(`data of "${code}" is not an object`);
      return { interval, code, data } as RecordingLine;
    case 'e':
      if (stream !== 'events') return null;
      if (!Array.isArray(data)) throw malformed('data of "e" is not a list');
      return { interval, code, data };
    default:
      return null;
  }
}

/** The start of a line as Steno writes it; verifiers require exactly this form. */
const headPattern = /^\[(\d{1,10}(?:\.\d{1,3})?),"([A-Za-z]{1,16})",/;

/** The interval of an encoded event line in ms and its code, without parsing the data. 64 characters of the line are enough. */
export function peekLine(line: string): { readonly interval: number; readonly code: string } {
  const head = headPattern.exec(line);
  if (head === null) throw malformed('a line is not [interval, code, data]');
  return { interval: Math.round(Number(head[1]) * 1000), code: head[2]! };
}

const keyframePattern =
  /^\[0,"k",\{"cols":([1-9]\d{0,3}),"rows":([1-9]\d{0,3}),"screen":("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-f]{4}))*")(,"anchor":true)?\}\]\n?$/;

/** A keyframe line as Steno writes it. Throws RECORDING_MALFORMED on any other spelling. */
export function parseKeyframe(line: string): Keyframe {
  const found = keyframePattern.exec(line);
  const [cols, rows] = [Number(found?.[1]), Number(found?.[2])];
  if (found === null || !isSize(cols) || !isSize(rows)) throw malformed('a keyframe is not in the form that Steno writes');
  return { cols, rows, screen: JSON.parse(found[3]!) as string, ...(found[4] === undefined ? {} : { anchor: true }) };
}

const sizePattern = /^(\d{1,4})x(\d{1,4})$/;
export function parseSize(data: string): { readonly cols: number; readonly rows: number } | null {
  const match = sizePattern.exec(data);
  if (match === null) return null;
  const cols = Number(match[1]);
  const rows = Number(match[2]);
  return isSize(cols) && isSize(rows) ? { cols, rows } : null;
}

/** A terminal has 1 to 1000 cells per side; larger sizes are clamped before they are recorded. */
export function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 1000;
}

/** As `isName` of identity.ts. A gateway's name is part of signed texts, so it cannot contain a pattern or a second line. */
const gatewayPattern = /^(?!.*\.\.)[a-z0-9][a-z0-9_.-]{0,62}$/;
export function isGatewayName(value: string): boolean {
  return gatewayPattern.test(value);
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

const sessionIdPattern = /^[0-9a-hjkmnp-tv-z]{26}$/;
export function isSessionId(value: string): boolean {
  return sessionIdPattern.test(value);
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
/** A session id from the time in ms since 1970 and ten random bytes: sorts by time. */
export function sessionId(now: number, random: Uint8Array): string {
  let id = '';
  let time = now;
  for (let i = 0; i < 10; i++) {
    id = alphabet[time % 32] + id;
    time = Math.floor(time / 32);
  }
  let bits = 0;
  let value = 0;
  for (const byte of random.subarray(0, 10)) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      id += alphabet[(value >> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return id;
}

/** The time that `sessionId` put into an id, in ms since 1970. */
export function sessionTime(session: string): number {
  let time = 0;
  for (const digit of session.slice(0, 10)) time = time * 32 + alphabet.indexOf(digit);
  return time;
}

function parseJson(line: string, limit: number): unknown {
  if (line.length > limit) throw malformed('a line is too long');
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new StenoError('RECORDING_MALFORMED', 'a line is not JSON', { cause });
  }
}

function malformed(detail: string): StenoError {
  return new StenoError('RECORDING_MALFORMED', detail);
}
