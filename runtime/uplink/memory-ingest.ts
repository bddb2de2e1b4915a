/**
 * The uplink's receiving end, in memory, for tests of senders. It speaks the real protocol over a real socket, checks the
 * chain, and acknowledges; hooks make it fail where ingest may. It stores nothing durably. Used by client.test.ts and by the
 * tests of the gateway's recorder.
 */
import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import WebSocket, { WebSocketServer } from 'ws';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { MAX_UPLINK_FRAME, UPLINK_PROTOCOL, UPLINK_VERSIONS, decodeUplink, encodeUplink } from '#schemas/uplink.js';
import type { UplinkFrame } from '#schemas/uplink.js';

export interface MemoryRecording {
  readonly blocks: { readonly n: number; readonly head: string; readonly content: Buffer }[];
  readonly parts: { readonly part: number; readonly checkpoint: SignedCheckpoint }[];
  stored: number;
  closed: boolean;
}

export interface IngestHooks {
  /**
   * Called for each frame before it is handled. `drop`: the connection dies; `done`: it dies after handling, before any
   * answer; `refuse`: the whole connection is refused.
   */
  frame?: (frame: UplinkFrame, count: number) => 'go on' | 'drop' | 'done' | 'refuse';
  /** Null: accepted. Otherwise the session is refused when it opens. */
  refuseOpen?: (session: string) => string | null;
  refuseEvents?: (id: string, rows: readonly Record<string, unknown>[]) => string | null;
  /** False: blocks are acknowledged as received but not as stored. */
  stores?: () => boolean;
  /** The newest version supported. */
  version?: number;
  /** False: nothing is acknowledged. */
  acks?: () => boolean;
}

export class MemoryIngest {
  readonly hooks: IngestHooks;
  /** Recordings by session; event logs by `SESSION/events`. */
  readonly recordings = new Map<string, MemoryRecording>();
  /** Audit rows by id: a resend adds nothing. */
  readonly events = new Map<string, Record<string, unknown>>();
  readonly batches: string[] = [];
  readonly faults: string[] = [];
  /** Frames of all kinds, and the number of blocks received more than once. */
  frames = 0;
  resent = 0;
  connections = 0;
  /** Drafts received, by session; of event logs by `SESSION/events`. */
  readonly drafts = new Map<string, { readonly n: number; readonly from: number; readonly text: string }[]>();
  #server: WebSocketServer | null = null;
  #port = 0;
  #waiting: { readonly until: () => boolean; readonly resolve: () => void }[] = [];

  constructor(hooks: IngestHooks = {}) {
    this.hooks = hooks;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/uplink`;
  }

  async listen(): Promise<void> {
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port: this.#port,
      maxPayload: MAX_UPLINK_FRAME,
      handleProtocols: () => UPLINK_PROTOCOL,
    });
    await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
    this.#port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#connection(socket));
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    for (const socket of server.clients) socket.terminate();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Tells the sender that a session is followed, or no longer followed. */
  follow(session: string, on: boolean, stream?: 'events'): void {
    for (const socket of this.#server?.clients ?? []) socket.send(encodeUplink('follow', { session, stream, on }));
  }

  /** Resolves as soon as `until` holds after some frame. */
  async when(until: () => boolean): Promise<void> {
    if (until()) return;
    await new Promise<void>((resolve) => this.#waiting.push({ until, resolve }));
  }

  /** Resolves when the session is closed and stored. */
  async closedSession(session: string): Promise<MemoryRecording> {
    await this.when(() => this.recordings.get(session)?.closed === true);
    return this.recordings.get(session)!;
  }

  #connection(socket: WebSocket): void {
    this.connections += 1;
    const send = (frame: Uint8Array): void => {
      if (socket.readyState === WebSocket.OPEN) socket.send(frame);
    };
    socket.on('error', () => undefined);
    socket.on('message', (data) => {
      if (socket.readyState !== WebSocket.OPEN) return;
      const frame = decodeUplink(data as Buffer);
      this.frames += 1;
      const fate = this.hooks.frame?.(frame, this.frames) ?? 'go on';
      if (fate === 'drop') {
        socket.terminate();
        return;
      }
      if (fate === 'refuse') {
        send(encodeUplink('refuse', { code: 'UPLINK_MALFORMED', detail: 'as the test wanted' }));
        socket.close();
        return;
      }
      const answers: Uint8Array[] = [];
      this.#handle(frame, answers);
      if (fate === 'done') socket.terminate();
      else answers.forEach(send);
      this.#waiting = this.#waiting.filter(({ until, resolve }) => {
        if (!until()) return true;
        resolve();
        return false;
      });
    });
  }

  #handle(frame: UplinkFrame, answers: Uint8Array[]): void {
    const fault = (what: string): void => {
      this.faults.push(what);
    };
    switch (frame.kind) {
      case 'hello':
        answers.push(
          frame.header.version > (this.hooks.version ?? Math.max(...UPLINK_VERSIONS))
            ? encodeUplink('refuse', { code: 'UPLINK_VERSION', detail: `version ${frame.header.version}` })
            : encodeUplink('hello', { version: frame.header.version, name: 'ingest' }),
        );
        return;
      case 'open': {
        const { session, stream } = frame.header;
        const key = keyOf(session, stream);
        const code = this.hooks.refuseOpen?.(session) ?? null;
        if (code !== null) {
          answers.push(encodeUplink('refuse', { session, stream, code, detail: 'as the test wanted' }));
          return;
        }
        const recording = this.recordings.get(key) ?? { blocks: [], parts: [], stored: 0, closed: false };
        this.recordings.set(key, recording);
        // Forget unstored blocks, as a restarted ingest does.
        while (recording.blocks.length > recording.stored) recording.blocks.pop();
        while ((recording.parts.at(-1)?.checkpoint.block ?? 0) > recording.stored) recording.parts.pop();
        answers.push(encodeUplink('resume', { session, stream, stored: recording.stored, closed: recording.closed }));
        return;
      }
      case 'block': {
        const { session, stream, n, head } = frame.header;
        const recording = this.recordings.get(keyOf(session, stream));
        if (recording === undefined) return fault(`block ${n} before open`);
        if (n <= recording.blocks.length) {
          this.resent += 1;
          return;
        }
        if (n !== recording.blocks.length + 1) return fault(`block ${n} after ${recording.blocks.length}`);
        const content = Buffer.from(frame.payload);
        const before = recording.blocks.at(-1)?.head ?? sha256(Buffer.from(`steno-${stream ?? 'recording'}/1\n${session}`)).toString('hex');
        const length = Buffer.alloc(8);
        length.writeBigUInt64BE(BigInt(content.length));
        if (sha256(Buffer.from(before, 'hex'), length, content).toString('hex') !== head) return fault(`block ${n} breaks the chain`);
        recording.blocks.push({ n, head, content });
        if (this.hooks.acks?.() !== false) answers.push(ack(session, stream, recording));
        return;
      }
      case 'draft': {
        const { session, stream, n, from } = frame.header;
        const key = keyOf(session, stream);
        const drafts = this.drafts.get(key) ?? [];
        this.drafts.set(key, drafts);
        drafts.push({ n, from, text: Buffer.from(frame.payload).toString() });
        return;
      }
      case 'checkpoint':
      case 'close': {
        const { session, stream, part, checkpoint } = frame.header;
        const recording = this.recordings.get(keyOf(session, stream));
        if (recording === undefined) return fault(`checkpoint ${part} before open`);
        if (part !== recording.parts.length + 1) return fault(`part ${part} after ${recording.parts.length}`);
        if (checkpoint.block !== recording.blocks.length)
          return fault(`checkpoint at ${checkpoint.block} with ${recording.blocks.length} blocks`);
        if (checkpoint.head !== recording.blocks.at(-1)?.head) return fault(`checkpoint ${part} does not match the chain`);
        recording.parts.push({ part, checkpoint });
        if (this.hooks.stores?.() === false) return;
        recording.stored = checkpoint.block;
        recording.closed = frame.kind === 'close';
        if (this.hooks.acks?.() !== false) answers.push(ack(session, stream, recording));
        return;
      }
      case 'events': {
        const { id } = frame.header;
        const rows = JSON.parse(Buffer.from(frame.payload).toString()) as Record<string, unknown>[];
        const code = this.hooks.refuseEvents?.(id, rows) ?? null;
        if (code !== null) {
          answers.push(encodeUplink('refuse', { events: id, code, detail: 'as the test wanted' }));
          return;
        }
        this.batches.push(id);
        for (const row of rows) this.events.set(row['id'] as string, row);
        answers.push(encodeUplink('ack', { events: id }));
        return;
      }
      case 'ack':
      case 'follow':
      case 'resume':
      case 'refuse':
        return fault(`unexpected ${frame.kind}`);
    }
  }
}

function ack(session: string, stream: 'events' | undefined, { blocks, stored, closed }: MemoryRecording): Uint8Array {
  return encodeUplink('ack', { session, stream, received: blocks.length, stored, closed });
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function keyOf(session: string, stream: 'events' | undefined): string {
  return stream === undefined ? session : `${session}/${stream}`;
}
