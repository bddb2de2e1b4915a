/**
 * One uplink connection: frames in, acknowledgements out.
 *
 *     connected ──hello──► greeted ──open──► (per session and stream) recovering ──► open ──close, all stored──► closed
 *        │  5 s without hello      └──events──► (authority, gateway) audit rows, (agent) kernel rows, (gateway, agent)
 *        │                                      events without a session ──► ack
 *        └──anything that is not a frame──► refuse, close
 *
 * A fault in one session refuses that session; a fault of the connection closes it. At most `MAX_UNPROCESSED` bytes wait
 * here, in unhandled frames and unstored parts: beyond that the socket is not read, and the gateway's spool fills instead.
 * Tested in connection.test.ts.
 */
import { createHash } from 'node:crypto';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import { StenoError, errorCatalogue } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { auditRow } from '#schemas/events/rows.js';
import { TRIAGE_EVENT } from '#schemas/events/triage.js';
import { freeEvent, freeRows } from '#schemas/events/free-rows.js';
import type { AuditRow, EventRow } from '#schemas/events/rows.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import {
  MAX_UPLINK_FRAME,
  PIECE_MARK,
  UPLINK_DRAFTS_VERSION,
  UPLINK_EVENT_DRAFTS_VERSION,
  UPLINK_STREAMS_VERSION,
  UPLINK_VERSIONS,
  decodeUplink,
  encodeUplink,
} from '#schemas/uplink.js';
import type { UplinkFrame, UplinkHeader } from '#schemas/uplink.js';
import { fingerprint } from '#runtime/ssh/keys.js';
import type { Log } from '#runtime/log.js';
import type { Backlog } from '../writing/backlog.js';
import type { KernelEvents } from './kernel-events.js';
import { EventLogWriter } from '../writing/event-log-writer.js';
import { SessionWriter } from '../writing/session-writer.js';
import type { StreamWriter, WriterOwner, WriterParts } from '../writing/session-writer.js';
import { certificateFault } from '#recordings/read/checkpoint-signature.js';

const MAX_UNPROCESSED = 8 << 20;
const HELLO_TIMEOUT_MS = 5_000;
/** Audit rows about refusals, per connection: a peer that is refused again and again must not fill a table. */
const MAX_REFUSALS = 100;
const MAX_SESSIONS = 20_000;
const MAX_EVENTS = 1_000;
const auditRows = z.array(auditRow).max(MAX_EVENTS);

export interface UplinkPeer {
  readonly kind: string;
  readonly name: string;
}

export interface UplinkParts extends WriterParts {
  /** Public key lines of the recording CA whose certificates gateways may present now. */
  readonly admits: () => readonly string[];
  /** All writers, by session: a second connection takes over from the first. */
  readonly writers: WriterTable;
  readonly kernel: KernelEvents;
  readonly onClosed: (session: string, startedAt: number) => void;
  /** Whether anybody follows rows. */
  readonly followed: () => boolean;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
  /** Bytes of lines not rendered yet, bytes of parts not yet in the object store, and batches of kernel rows. */
  readonly indexing: Backlog;
  readonly storing: Backlog;
  readonly kernelBacklog: Backlog;
}

/** The stream that a frame belongs to: a session's recording, or its event log. */
interface StreamName {
  readonly session: string;
  readonly stream?: 'events' | undefined;
}

interface Session {
  readonly of: StreamName;
  /** Handles the frames of this session one after the other. */
  queue: Promise<void>;
  writer: StreamWriter | null;
  refused: boolean;
  told: boolean;
  /** Releases the session to the next connection. */
  free: () => void;
}

function keyOf({ session, stream }: StreamName): string {
  return stream === undefined ? session : `${session}/${stream}`;
}

/** Which connection writes which stream; a later one waits until the earlier one has let go. */
export class WriterTable {
  readonly #owners = new Map<string, { readonly release: () => Promise<void>; readonly writer: () => StreamWriter | null }>();

  async take(of: StreamName, release: () => Promise<void>, writer: () => StreamWriter | null): Promise<() => void> {
    const key = keyOf(of);
    for (let owner = this.#owners.get(key); owner !== undefined; owner = this.#owners.get(key)) {
      await owner.release();
      if (this.#owners.get(key) === owner) this.#owners.delete(key);
    }
    const mine = { release, writer };
    this.#owners.set(key, mine);
    return () => {
      if (this.#owners.get(key) === mine) this.#owners.delete(key);
    };
  }

  /** The writer of the session's recording. */
  get(session: string): SessionWriter | null {
    const writer = this.#owners.get(session)?.writer();
    return writer instanceof SessionWriter ? writer : null;
  }

  hasEventLog(session: string): boolean {
    return this.#owners.has(keyOf({ session, stream: 'events' }));
  }

  *all(): Generator<SessionWriter> {
    for (const { writer } of this.#owners.values()) {
      const found = writer();
      if (found instanceof SessionWriter) yield found;
    }
  }
}

export class UplinkConnection {
  readonly #socket: WebSocket;
  readonly #peer: UplinkPeer;
  readonly #parts: UplinkParts;
  readonly #sessions = new Map<string, Session>();
  #certificate: WriterOwner['certificate'] | null = null;
  #greeted = false;
  #version = 1;
  #unprocessed = 0;
  #paused = false;
  #gone = false;
  #refusals = 0;
  #audits: Promise<void> = Promise.resolve();
  readonly #progress = new Set<Session>();
  readonly done: Promise<void>;

  constructor(socket: WebSocket, peer: UplinkPeer, parts: UplinkParts) {
    this.#socket = socket;
    this.#peer = peer;
    this.#parts = parts;
    const greeting = setTimeout(() => this.#refuseConnection(new StenoError('UPLINK_MALFORMED', 'no hello')), HELLO_TIMEOUT_MS);
    socket.on('message', (data: Buffer, isBinary) => {
      if (this.#gone) return;
      try {
        if (!isBinary) throw new StenoError('UPLINK_MALFORMED', 'a text message instead of a frame');
        this.#frame(decodeUplink(data), data.length);
        if (this.#greeted) clearTimeout(greeting);
      } catch (error) {
        this.#refuseConnection(error);
      }
    });
    socket.on('error', (error) => this.#parts.log.info({ peer: peer.name, err: error }, 'uplink connection failed'));
    this.done = new Promise((resolve) => {
      socket.on('close', () => {
        clearTimeout(greeting);
        this.#gone = true;
        void Promise.allSettled([...this.#sessions.values()].map((entry) => this.#release(entry))).then(() => resolve());
      });
    });
  }

  /** Accepts no more frames; work in progress is finished. */
  close(): void {
    this.#socket.close(1001);
    // Cut off a peer that does not answer the close.
    setTimeout(() => this.#socket.terminate(), 1_000).unref();
  }

  #frame(frame: UplinkFrame, bytes: number): void {
    if (frame.kind === 'hello') {
      this.#hello(frame.header);
      return;
    }
    if (!this.#greeted) throw new StenoError('UPLINK_MALFORMED', `${frame.kind} before hello`);
    switch (frame.kind) {
      case 'open':
        this.#open(frame.header);
        return;
      case 'block':
      case 'draft':
      case 'checkpoint':
      case 'close':
        this.#enqueue(frame, bytes);
        return;
      case 'events':
        this.#events(frame.header, frame.payload, bytes);
        return;
      default:
        throw new StenoError('UPLINK_MALFORMED', `${frame.kind} from a sender`);
    }
  }

  #hello(hello: UplinkHeader<'hello'>): void {
    if (this.#greeted) throw new StenoError('UPLINK_MALFORMED', 'hello twice');
    if (!UPLINK_VERSIONS.includes(hello.version)) throw new StenoError('UPLINK_VERSION', `version ${hello.version}`);
    if (hello.name !== this.#peer.name) throw new StenoError('UPLINK_UNAUTHENTICATED', 'the name differs from that in the certificate');
    if (hello.certificate !== undefined && this.#peer.kind === 'gateway') {
      const blob = Buffer.from(hello.certificate, 'base64');
      const fault = certificateFault(blob, this.#peer.name, this.#parts.admits(), this.#parts.clock());
      if (fault !== null) throw new StenoError('UPLINK_UNAUTHENTICATED', `the recording certificate: ${fault}`);
      this.#certificate = { blob, fingerprint: fingerprint(blob) };
    }
    this.#greeted = true;
    this.#version = hello.version;
    // Use the sender's own version: it would refuse another.
    this.#send(encodeUplink('hello', { version: hello.version, name: 'ingest' }));
  }

  #open(of: StreamName): void {
    const { session, stream } = of;
    const certificate = this.#certificate;
    if (certificate === null) throw new StenoError('UPLINK_UNAUTHENTICATED', 'sending sessions requires a recording certificate');
    if (!sessionIdPattern.test(session)) throw new StenoError('UPLINK_MALFORMED', 'not a session id');
    if (stream !== undefined && this.#version < UPLINK_STREAMS_VERSION)
      throw new StenoError('UPLINK_MALFORMED', `event logs require version 3`);
    if (this.#sessions.size >= MAX_SESSIONS) throw new StenoError('TOO_MANY', 'sessions on one connection');
    const known = this.#sessions.get(keyOf(of));
    if (known !== undefined && !known.refused) throw new StenoError('UPLINK_MALFORMED', 'open twice');
    const entry: Session = { of, queue: Promise.resolve(), writer: null, refused: false, told: false, free: () => undefined };
    this.#sessions.set(keyOf(of), entry);
    const before = known?.queue ?? Promise.resolve();
    entry.queue = before.then(() => this.#recover(entry, certificate)).catch((error: unknown) => this.#refuse(entry, error));
  }

  async #recover(entry: Session, certificate: WriterOwner['certificate']): Promise<void> {
    if (this.#gone) return;
    const { of } = entry;
    const { session } = of;
    entry.free = await this.#parts.writers.take(
      of,
      () => this.#release(entry),
      () => entry.writer,
    );
    const current = (): boolean => !this.#gone && this.#sessions.get(keyOf(of)) === entry;
    try {
      if (!current()) throw new StenoError('DRAINING');
      const opened = await (of.stream === 'events' ? EventLogWriter : SessionWriter).open(
        this.#parts,
        session,
        {
          gateway: this.#peer.name,
          certificate,
          onProgress: () => this.#ack(entry),
          onFailure: (error) => this.#refuse(entry, error),
          onFollowed: (on) => {
            if (this.#version >= UPLINK_DRAFTS_VERSION && current()) this.#send(encodeUplink('follow', { session, on }));
          },
        },
        () => !current(),
      );
      if (opened.kind === 'closed') {
        this.#sessions.delete(keyOf(of));
        entry.free();
        if (!opened.sealed) this.#parts.onClosed(session, opened.startedAt);
        this.#send(encodeUplink('resume', { ...of, stored: opened.blocks, closed: true }));
        return;
      }
      entry.writer = opened.writer;
      this.#send(encodeUplink('resume', { ...of, stored: opened.writer.stored, closed: false }));
      if (this.#parts.followed()) this.#follow(of, true);
    } catch (error) {
      entry.free();
      throw error;
    }
  }

  /**
   * Called when somebody starts to follow rows, or when nobody does any more: drafts of event logs are needed from their beginning, or
   * not at all.
   */
  followed(on: boolean): void {
    for (const { of, writer } of this.#sessions.values()) {
      if (!(writer instanceof EventLogWriter)) continue;
      // A new follower must not miss the part of a draft that was sent before.
      writer.forgetDraft();
      this.#follow(of, on);
    }
  }

  #follow(of: StreamName, on: boolean): void {
    if (of.stream === 'events' && this.#version >= UPLINK_EVENT_DRAFTS_VERSION) this.#send(encodeUplink('follow', { ...of, on }));
  }

  #enqueue(frame: Extract<UplinkFrame, { kind: 'block' | 'draft' | 'checkpoint' | 'close' }>, bytes: number): void {
    const entry = this.#sessions.get(keyOf(frame.header));
    // The sender may not have read yet that the session was closed or refused.
    if (entry === undefined || entry.refused) return;
    this.#take(bytes);
    this.#parts.indexing.add(bytes);
    entry.queue = entry.queue
      .then(async () => {
        const { writer } = entry;
        if (writer === null || entry.refused || this.#gone) return;
        if (frame.kind === 'block') {
          await writer.block(frame.header.n, frame.header.head, frame.payload);
          return;
        }
        if (frame.kind === 'draft') {
          writer.drafts(frame.header.n, frame.header.from, frame.payload);
          return;
        }
        const { bytes: held, done } = await writer.checkpoint(frame.header.part, frame.header.checkpoint, frame.kind === 'close');
        this.#take(held);
        this.#parts.storing.add(held);
        void done.then(() => {
          this.#parts.storing.settle(held);
          this.#give(held);
        });
        if (held === 0) this.#ack(entry);
      })
      .catch((error: unknown) => this.#refuse(entry, error))
      .finally(() => {
        this.#parts.indexing.settle(bytes);
        this.#give(bytes);
      });
  }

  /** Acknowledgements of one turn of the event loop are merged. */
  #ack(entry: Session): void {
    if (this.#progress.size === 0) setImmediate(() => this.#sendAcks());
    this.#progress.add(entry);
  }

  #sendAcks(): void {
    for (const entry of this.#progress) {
      const { of, writer } = entry;
      if (writer === null || entry.refused || this.#sessions.get(keyOf(of)) !== entry) continue;
      this.#send(encodeUplink('ack', { ...of, received: writer.received, stored: writer.stored, closed: writer.closed }));
      if (!writer.closed || entry.told) continue;
      entry.told = true;
      const { startedAt } = writer;
      // An event log is not repacked.
      void this.#release(entry).then(() => of.stream === 'events' || this.#parts.onClosed(of.session, startedAt));
    }
    this.#progress.clear();
  }

  #events({ id, table }: UplinkHeader<'events'>, payload: Uint8Array, bytes: number): void {
    if (table === 'events' && this.#version < 2) throw new StenoError('UPLINK_MALFORMED', 'these events require version 2');
    // Nodes report kernel events and nothing else about sessions; nobody else reports those.
    if (table !== 'events' && (table === 'kernel') !== (this.#peer.kind === 'agent'))
      throw new StenoError('UPLINK_UNAUTHENTICATED', `these events from a peer of kind ${this.#peer.kind}`);
    let value: unknown;
    try {
      value = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('utf8'));
    } catch {
      // A damaged batch holds up nothing else from this sender.
      return this.#refuseEvents(id, [], new StenoError('UPLINK_MALFORMED', 'events are not JSON'));
    }
    if (table === 'kernel') return this.#kernelEvents(id, value, bytes);
    if (table === 'events') return this.#freeEvents(id, value, bytes);
    const parsed = auditRows.safeParse(value);
    if (!parsed.success) return this.#refuseEvents(id, value, malformedRow(parsed.error));
    // Only the authority reports decisions about findings.
    if (this.#peer.kind !== 'authority' && parsed.data.some(({ event }) => event === TRIAGE_EVENT))
      return this.#refuseEvents(
        id,
        value,
        new StenoError('UPLINK_UNAUTHENTICATED', `${TRIAGE_EVENT} from a peer of kind ${this.#peer.kind}`),
      );
    this.#take(bytes);
    void this.#parts.batch
      .add({ id: `events ${this.#peer.kind}/${this.#peer.name} ${id}`, audit: parsed.data })
      .then(() => this.#send(encodeUplink('ack', { events: id })))
      .catch((error: unknown) => this.#refuseEvents(id, value, error))
      .finally(() => this.#give(bytes));
  }

  #freeEvents(id: string, value: unknown, bytes: number): void {
    const parsed = freeRows.safeParse(value);
    if (!parsed.success) return this.#refuseEvents(id, value, malformedRow(parsed.error));
    const events: EventRow[] = [];
    for (const row of parsed.data) {
      const event = freeEvent(row, this.#peer);
      if (event === null)
        return this.#refuseEvents(
          id,
          value,
          new StenoError('UPLINK_UNAUTHENTICATED', `events of ${row.source} from a peer of kind ${this.#peer.kind}`),
        );
      events.push(event);
    }
    this.#take(bytes);
    void this.#parts.batch
      .add({ id: `free ${this.#peer.kind}/${this.#peer.name} ${id}`, events })
      .then(() => this.#send(encodeUplink('ack', { events: id })))
      .catch((error: unknown) => this.#refuseEvents(id, value, error))
      .finally(() => this.#give(bytes));
  }

  #kernelEvents(id: string, value: unknown, bytes: number): void {
    this.#take(bytes);
    this.#parts.kernelBacklog.add();
    this.#parts.kernel
      .add(this.#peer.name, id, value)
      .then(() => this.#send(encodeUplink('ack', { events: id })))
      .catch((error: unknown) => this.#refuseEvents(id, value, error))
      .finally(() => {
        this.#parts.kernelBacklog.settle();
        this.#give(bytes);
      });
  }

  /**
   * A sender halves a refused batch until single rows are refused; those are lost, and each leaves an audit row that names
   * its session. So does a whole batch of a node the first time, since it is not known whether that node halves it.
   */
  #refuseEvents(id: string, rows: unknown, error: unknown): void {
    const { code, detail } = described(error);
    this.#send(encodeUplink('refuse', { events: id, code, detail }));
    if (errorCatalogue[code].retryable) return;
    this.#parts.log.warn({ peer: this.#peer.name, events: id, code, err: error }, 'refused events');
    const sessions = new Set((Array.isArray(rows) ? rows : []).map(sessionOf));
    const whole = this.#peer.kind === 'agent' && !id.includes(PIECE_MARK);
    const last = Array.isArray(rows) && (rows.length === 1 || (code !== 'UPLINK_MALFORMED' && sessions.size === 1));
    const [session = ''] = sessions;
    if (whole || last)
      this.#audit(code, detail, sessions.size === 1 ? session : '', { events: id, rows: Array.isArray(rows) ? rows.length : 0 });
  }

  #refuse(entry: Session, error: unknown): void {
    if (entry.refused || (error instanceof StenoError && error.code === 'DRAINING')) return;
    entry.refused = true;
    const { code, detail } = described(error);
    const { session, stream } = entry.of;
    this.#parts.log.warn({ peer: this.#peer.name, session, stream, code, err: error }, 'refused a session');
    this.#send(encodeUplink('refuse', { ...entry.of, code, detail }));
    this.#audit(code, detail, session, stream === undefined ? {} : { stream });
    const { writer } = entry;
    entry.writer = null;
    void writer?.close();
  }

  #refuseConnection(error: unknown): void {
    if (this.#gone) return;
    this.#gone = true;
    const { code, detail } = described(error);
    this.#parts.log.warn({ peer: this.#peer.name, code, err: error }, 'refused an uplink');
    this.#send(encodeUplink('refuse', { code, detail }));
    this.#audit(code, detail, '');
    this.close();
  }

  #audit(code: ErrorCode, detail: string, session: string, data: object = {}): void {
    if (this.#refusals++ >= MAX_REFUSALS) return;
    const row = refusal(this.#peer, code, detail, session, data, this.#parts.clock());
    this.#audits = this.#audits.then(() => this.#parts.batch.add({ id: row.id, audit: [row] })).catch(() => undefined);
  }

  async #release(entry: Session): Promise<void> {
    const key = keyOf(entry.of);
    if (this.#sessions.get(key) === entry) this.#sessions.delete(key);
    entry.refused = true;
    await entry.writer?.close();
    await entry.queue;
    // The queue may have opened the writer in the meantime.
    await entry.writer?.close();
    entry.free();
  }

  #take(bytes: number): void {
    this.#unprocessed += bytes;
    if (this.#unprocessed > MAX_UNPROCESSED && !this.#paused) {
      this.#paused = true;
      this.#socket.pause();
    }
  }

  #give(bytes: number): void {
    this.#unprocessed -= bytes;
    if (this.#paused && this.#unprocessed < MAX_UNPROCESSED / 2) {
      this.#paused = false;
      this.#socket.resume();
    }
  }

  /** Answers are small, one per frame; a peer that reads none of them is cut off. */
  #send(frame: Uint8Array): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(frame);
    if (this.#socket.bufferedAmount > MAX_UPLINK_FRAME) this.#socket.terminate();
  }
}

function described(error: unknown): { code: ErrorCode; detail: string } {
  if (error instanceof StenoError) return { code: error.code, detail: (error.detail ?? '').slice(0, 1024) };
  return { code: 'INTERNAL', detail: '' };
}

/** Identical refusals have the same id, so a gateway that retries leaves only one row. */
function refusal(peer: UplinkPeer, code: ErrorCode, detail: string, session: string, data: object, at: number): AuditRow {
  const id = createHash('sha256')
    .update(JSON.stringify([peer.kind, peer.name, code, detail, session, data, session === '' ? at : 0]))
    .digest('hex');
  return {
    id,
    at,
    event: 'uplink.refused',
    actor: `${peer.kind}/${peer.name}`,
    target: session === '' ? 'uplink' : session,
    outcome: 'failure',
    code,
    reason: detail,
    source_address: '',
    session,
    node: peer.kind === 'agent' ? peer.name : '',
    login: '',
    data: JSON.stringify(data),
  };
}

function malformedRow(error: z.ZodError): StenoError {
  return new StenoError('UPLINK_MALFORMED', `events: ${error.issues[0]?.path.join('.') ?? ''}`);
}

/** The session that a row names: the first element of kernel rows, a field of audit rows. */
function sessionOf(row: unknown): string {
  const named: unknown = Array.isArray(row) ? row[0] : (row as { readonly session?: unknown } | null)?.session;
  return typeof named === 'string' && sessionIdPattern.test(named) ? named : '';
}
