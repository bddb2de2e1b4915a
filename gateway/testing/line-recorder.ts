/**
 * A recorder that writes the lines of each session to one file, at once and in order: no blocks, chain or limits. For tests of the
 * recorded content; the gateway itself uses `recorder/`. `full` makes the next recordings impossible.
 */
import { appendFileSync, closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import { encodeHeader, encodeLine, parseHeader, parseLine, RECORDING_FORMAT, sessionId } from '#schemas/recording/line.js';
import type { LineBody, RecordingHeader, RecordingLine } from '#schemas/recording/line.js';
import type { FreeEvent } from '#runtime/uplink/free-event-rows.js';
import type { AuditEntry, OpenFacts, Recorder, SessionRecorder, TerminalSize } from '../recorder/recorder.js';

export class LineRecorder implements Recorder {
  readonly #directory: string;
  #counter = 0;
  full = false;
  readonly audits: AuditEntry[] = [];
  readonly events: FreeEvent[] = [];
  readonly live = new Set<string>();
  readonly #failures = new Map<string, (error: StenoError) => void>();
  /** Sessions ask for a pause after each write while this is true. */
  slow = false;
  readonly #waiting: (() => void)[] = [];
  readonly #keepBytes: boolean;
  /** Bytes of output seen. */
  shown = 0;

  constructor(directory: string, keepBytes = true) {
    this.#directory = directory;
    this.#keepBytes = keepBytes;
  }

  async open(facts: OpenFacts, term: TerminalSize, command?: string): Promise<SessionRecorder> {
    if (this.full) throw new StenoError('SPOOL_FULL', 'test');
    const started = Date.now();
    const session = sessionId(started, randomBytes(10));
    const fd = openSync(join(this.#directory, `${session}.cast`), 'wx', 0o600);
    const steno = { ...facts, format: RECORDING_FORMAT as 1, session, gateway: 'test', counter: ++this.#counter, started_at: started };
    writeSync(
      fd,
      encodeHeader({ version: 3, term, timestamp: Math.floor(started / 1000), ...(command === undefined ? {} : { command }), steno }),
    );
    let closed = false;
    const write = (body: LineBody): boolean => {
      if (!closed) writeSync(fd, encodeLine(0, body));
      return !this.slow;
    };
    this.live.add(session);
    return {
      session,
      output: (stream, bytes, channel) =>
        this.#count(bytes) && this.#keepBytes
          ? write({
              code: 'b',
              data: { stream, replaces: false, base64: bytes.toString('base64'), ...(channel === undefined ? {} : { channel }) },
            })
          : !this.slow,
      input: (bytes, channel) =>
        this.#keepBytes
          ? write({
              code: 'b',
              data: { stream: 'in', replaces: false, base64: bytes.toString('base64'), ...(channel === undefined ? {} : { channel }) },
            })
          : true,
      typist: (user) => void write({ code: 's', data: { fact: 'typist', user } }),
      history: () => {
        const all = readFileSync(join(this.#directory, `${session}.cast`));
        return { lines: all.subarray(all.indexOf(0x0a) + 1), whole: true, held: Buffer.alloc(0) };
      },
      onReady: (callback) => void (this.slow ? this.#waiting.push(callback) : process.nextTick(callback)),
      follows: () => undefined,
      resize: (cols, rows) => void write({ code: 'r', data: `${cols}x${rows}` }),
      fact: (fact) => void write({ code: 's', data: fact }),
      gap: (gap) => void write({ code: 'g', data: gap }),
      logEvents: () => false,
      participant: (participant) => void write({ code: 'j', data: participant }),
      marker: (text) => void write({ code: 'm', data: text }),
      exit: (status) => void write({ code: 'x', data: String(status) }),
      onFailure: (callback) => void this.#failures.set(session, callback),
      close: async () => {
        if (closed) return;
        closed = true;
        closeSync(fd);
        this.live.delete(session);
      },
    };
  }

  #count(bytes: Buffer): boolean {
    this.shown += bytes.length;
    return true;
  }

  audit(entry: AuditEntry): void {
    this.audits.push(entry);
    appendFileSync(join(this.#directory, 'audit.jsonl'), `${JSON.stringify(entry)}\n`);
  }

  get eventsFull(): boolean {
    return this.full;
  }

  event(event: FreeEvent): void {
    this.events.push(event);
  }

  async close(): Promise<void> {
    if (this.live.size > 0) throw new Error(`${this.live.size} recordings are still open`);
  }

  /** Makes the recordings of this session fail from now on. */
  break(): void {
    for (const failed of this.#failures.values()) failed(new StenoError('RECORDING_IMPOSSIBLE', 'test'));
  }

  get paused(): boolean {
    return this.#waiting.length > 0;
  }

  ready(): void {
    this.slow = false;
    for (const callback of this.#waiting.splice(0)) callback();
  }

  recordings(): readonly Recording[] {
    return readdirSync(this.#directory)
      .filter((name) => name.endsWith('.cast'))
      .sort()
      .map((name) => {
        const [header, ...lines] = readFileSync(join(this.#directory, name), 'utf8').trimEnd().split('\n');
        return new Recording(
          parseHeader(header!),
          lines.map((line) => parseLine(line)!),
        );
      });
  }
}

export class Recording {
  readonly header: RecordingHeader;
  readonly lines: readonly RecordingLine[];

  constructor(header: RecordingHeader, lines: readonly RecordingLine[]) {
    this.header = header;
    this.lines = lines;
  }

  bytes(stream: 'in' | 'out' | 'err', channel?: number): Buffer {
    return Buffer.concat(
      this.lines.flatMap((line) =>
        line.code === 'b' && line.data.stream === stream && line.data.channel === channel ? [Buffer.from(line.data.base64, 'base64')] : [],
      ),
    );
  }

  get exit(): string | undefined {
    return this.lines.find((line) => line.code === 'x')?.data as string | undefined;
  }

  facts(name: string): readonly Record<string, unknown>[] {
    return this.lines.flatMap((line) =>
      line.code === 's' && line.data.fact === name ? [line.data as unknown as Record<string, unknown>] : [],
    );
  }
}
