/**
 * Follows one session with the real programs in the real kernel and collects its rows as ingest would get them, to test what
 * is seen of real activity. The collector runs in this thread.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kernelRows } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import type { KernelGap } from '#schemas/kernel/orders.js';
import { kernelEventClasses } from '#schemas/policy/role.js';
import type { KernelEventClass } from '#schemas/policy/role.js';
import { Collector } from '../collecting/collector.js';
import { bootClock } from '../probes/libbpf.js';
import type { FromCollector, ToCollector } from '../collecting/messages.js';
import type { ExpectedExec } from '../probes/expected-exec.js';
import { KernelPrograms } from '../probes/programs.js';
import type { SessionCounters } from '../probes/programs.js';

export const SESSION = '01jd0000000000000000000000';

export interface Seen {
  readonly kind: KernelRow[4];
  readonly offset: number;
  readonly path: string;
  readonly sha256: string;
  readonly address: string;
  readonly port: number | null;
  readonly name: string;
  readonly reason: string;
  readonly outcome: string;
  readonly count: number | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Outcome {
  readonly seen: readonly Seen[];
  readonly gaps: readonly KernelGap[];
  readonly counters: SessionCounters;
  readonly code: number | null;
  readonly output: string;
  /** Number of processes that fitted the expectation. */
  readonly matches: number;
  /** In the form in which they would be sent. */
  readonly rows: readonly KernelRow[];
}

export interface ProbeOptions {
  readonly ringSize?: number;
  readonly classes?: readonly KernelEventClass[];
  readonly spawn?: SpawnOptions;
  readonly input?: string;
  /** Reads nothing from the ring until the program has ended, to provoke losses. */
  readonly asleep?: boolean;
  /** Called with the program's output as it arrives. */
  readonly onOutput?: (text: string) => void;
  /** Bytes the log may hold. */
  readonly budget?: number;
  /** The program itself belongs to no session: the first process that fits this one does. */
  readonly expect?: ExpectedExec;
}

export class Probe {
  readonly programs: KernelPrograms;
  #number = 0;

  constructor(ringSize?: number) {
    this.programs = KernelPrograms.open(ringSize === undefined ? {} : { ringSize });
  }

  /** Runs a program as a session and waits until its last process is gone and everything was read. */
  async run(file: string, args: readonly string[], options: ProbeOptions = {}): Promise<Outcome> {
    const number = ++this.#number;
    const folder = mkdtempSync(join(tmpdir(), 'steno-probe-'));
    const inbox: ToCollector[] = [];
    const rows: KernelRow[] = [];
    const gaps: KernelGap[] = [];
    const boot = bootClock();
    let finished = (): void => undefined;
    const closed = new Promise<void>((resolve, reject) => {
      finished = () => inbox.push({ kind: 'close' });
      const post = (message: FromCollector): void => {
        if (message.kind === 'batch') {
          rows.push(...kernelRows.parse(JSON.parse(Buffer.from(message.payload).toString('utf8'))));
          inbox.push({ kind: 'stored', batch: message.id, lost: [] });
        } else if (message.kind === 'gap') gaps.push(message.gap);
        else if (message.kind === 'finished') finished();
        else if (message.kind === 'closed') resolve();
        else if (message.kind === 'failed') reject(new Error(message.reason));
      };
      const collector = new Collector(
        {
          ring: this.programs.ring,
          totalsFd: this.programs.totalsFd,
          folder,
          closeMs: 60_000,
          ...(options.budget === undefined ? {} : { budget: options.budget }),
        },
        { post, receive: () => inbox.shift(), now: Date.now, boot },
      );
      inbox.push({
        kind: 'begin',
        session: {
          number,
          session: SESSION,
          classes: options.classes ?? kernelEventClasses,
          mode: 'strict',
          boot_ns: Number(boot()),
          offset_ms: 0,
          error_ms: 0,
          way: null,
        },
      });
      const start = (): ChildProcess => spawn(file, [...args], { stdio: ['pipe', 'pipe', 'pipe'], ...options.spawn });
      const classes = options.classes ?? kernelEventClasses;
      const window = options.expect === undefined ? null : this.programs.expect(number, classes, options.expect);
      const child = window === null ? this.programs.begin(number, classes, start) : start();
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(options.input ?? '');
      child.stdout?.on('data', (data: Buffer) => {
        output += data.toString();
        options.onOutput?.(data.toString());
      });
      child.stderr?.on('data', (data: Buffer) => {
        output += data.toString();
      });
      child.on('error', reject);
      child.on('exit', (exit) => {
        code = exit;
      });
      child.on('close', () => {
        matches = window?.matches() ?? 0;
        window?.close();
        inbox.push({ kind: 'settle', number, ask: 1 }, { kind: 'ended', number });
        if (options.asleep === true) collector.start();
      });
      if (options.asleep !== true) collector.start();
    });
    let output = '';
    let code: number | null = null;
    let matches = 0;
    try {
      await closed;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    return { rows, seen: seenOf(rows), gaps, counters: this.programs.counters(number), code, output, matches };
  }

  sh(script: string, options: ProbeOptions = {}): Promise<Outcome> {
    return this.run('/bin/sh', ['-c', script], options);
  }

  close(): void {
    this.programs.close();
  }
}

/** Merges a late digest, and what it says of its worth, into the row of its execution. */
function seenOf(rows: readonly KernelRow[]): Seen[] {
  const late = new Map<unknown, { readonly sha256: string; readonly worth: Readonly<Record<string, unknown>> }>();
  const isDigest = ([, , , , kind, , , , , , name]: KernelRow): boolean => kind === 'file' && name === 'digest';
  for (const row of rows) {
    if (!isDigest(row)) continue;
    const { of, sha256_unconfirmed: unconfirmed } = JSON.parse(row[14]) as Record<string, unknown>;
    late.set(of, { sha256: row[7], worth: unconfirmed === undefined ? {} : { sha256_unconfirmed: unconfirmed } });
  }
  return rows
    .filter((row) => !isDigest(row))
    .map((row) => {
      const [, block, index, offset, kind, path, , sha256, address, port, name, reason, outcome, count, text] = row;
      const { sha256_missing: missing, ...data } = JSON.parse(text) as Record<string, unknown>;
      const found = late.get(`${block}.${index}`);
      return {
        kind,
        offset,
        path,
        sha256: found?.sha256 ?? sha256,
        address,
        port,
        name,
        reason,
        outcome,
        count,
        data: found !== undefined ? { ...data, ...found.worth } : missing === undefined ? data : { ...data, sha256_missing: missing },
      };
    });
}

/** The arguments of every execution, each joined into one text. */
export function commands({ seen }: Pick<Outcome, 'seen'>): readonly string[] {
  return seen.filter(({ kind }) => kind === 'exec').map(({ data }) => (data['argv'] as readonly string[]).join(' '));
}
