/**
 * Dialogues of real programs, captured by `tap.mjs`, and functions that replay them to an observer: cut differently, damaged, or in
 * part.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FileFact, Gap } from '#schemas/recording/line.js';
import { observeStream } from '../streams/protocols.js';
import type { StreamKind } from '../streams/observing/observer.js';

export interface Transcript {
  readonly kind: StreamKind;
  readonly records: readonly { readonly direction: 'in' | 'out'; readonly bytes: Buffer }[];
}

export interface Seen {
  readonly facts: FileFact[];
  readonly gaps: Gap[];
}

const tapPath = fileURLToPath(new URL('./tap.mjs', import.meta.url));

/** A folder for one test file, with a program `tap` that is used in place of ssh. */
export class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'steno-streams-'));
  readonly tap = join(this.folder, 'tap');
  private readonly log = join(this.folder, 'log');

  constructor() {
    writeFileSync(this.tap, `#!/bin/sh\nexec '${process.execPath}' '${tapPath}' '${this.log}' "$@"\n`);
    chmodSync(this.tap, 0o755);
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** Runs a program that uses the tap, with any exit code, and returns the captured dialogue. */
  async run(
    program: string,
    args: readonly string[],
    options: { readonly input?: string; readonly cwd?: string; readonly env?: Record<string, string> } = {},
  ): Promise<Transcript & { readonly output: string; readonly code: number }> {
    rmSync(this.log, { force: true });
    const { code, output } = await new Promise<{ code: number; output: string }>((resolve) => {
      const child = execFile(
        program,
        args,
        { cwd: options.cwd ?? this.folder, env: { ...process.env, LC_ALL: 'C', ...options.env }, maxBuffer: 1 << 26 },
        (error, stdout, stderr) => {
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr });
        },
      );
      child.stdin?.end(options.input ?? '');
    });
    if (!existsSync(this.log)) throw new Error(`${program} did not use the tap: ${output}`);
    return { ...readTranscript(readFileSync(this.log)), output, code };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function readTranscript(log: Buffer): Transcript {
  let kind: StreamKind = { tty: false };
  const records: { direction: 'in' | 'out'; bytes: Buffer }[] = [];
  for (let at = 0; at < log.length;) {
    const length = log.readUInt32BE(at + 1);
    const bytes = log.subarray(at + 5, at + 5 + length);
    if (log[at] === 0) kind = JSON.parse(bytes.toString()) as StreamKind;
    else records.push({ direction: log[at] === 1 ? 'in' : 'out', bytes });
    at += 5 + length;
  }
  return { kind, records };
}

export type Cut = (length: number) => number;
export const whole: Cut = (length) => length;
export const bytewise: Cut = () => 1;

/** Pseudo-random numbers, the same each time. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
export function ragged(seed: number): Cut {
  const random = seeded(seed);
  return (length) => Math.min(length, 1 + Math.floor(random() ** 6 * 70_000));
}

export function replay(transcript: Transcript, cut: Cut = whole): Seen {
  const seen: Seen = { facts: [], gaps: [] };
  const observer = observeStream(transcript.kind, (fact) => {
    if ('gap' in fact) seen.gaps.push(fact.gap);
    else seen.facts.push(fact);
  });
  if (observer === null) throw new Error('no observer');
  for (const { direction, bytes } of transcript.records) {
    for (let at = 0; at < bytes.length;) {
      const size = Math.max(1, Math.min(bytes.length - at, cut(bytes.length - at)));
      // Each piece has its own memory, which is overwritten afterwards: an observer must not keep it.
      const piece = Buffer.from(bytes.subarray(at, at + size));
      if (direction === 'in') observer.input(piece);
      else observer.output(piece);
      piece.fill(0xa5);
      at += size;
    }
  }
  observer.end();
  observer.end();
  // Errors of the observer itself are contained, but a test never expects one.
  const fault = [...seen.facts.map((fact) => fact.note), ...seen.gaps.map((gap) => gap.detail)].find((text) =>
    text?.includes('the observer failed'),
  );
  if (fault !== undefined) throw new Error(fault);
  return seen;
}

/** The transcript with a few bytes changed, a record lost or its end cut off. */
export function damaged(transcript: Transcript, seed: number): Transcript {
  const random = seeded(seed);
  let records = transcript.records.map(({ direction, bytes }) => ({ direction, bytes: Buffer.from(bytes) }));
  const pick = (): number => Math.floor(random() * records.length);
  switch (seed % 4) {
    case 0:
      records = records.slice(0, pick());
      break;
    case 1:
      records.splice(pick(), 1);
      break;
    default:
      for (let i = 0; i < 1 + (seed % 7); i++) {
        const record = records[pick()];
        if (record !== undefined && record.bytes.length > 0)
          record.bytes[Math.floor(random() ** 3 * record.bytes.length)] = Math.floor(random() * 256);
      }
  }
  return { kind: transcript.kind, records };
}

/** Random bytes in both directions, the same amount each time. */
export function noise(kind: StreamKind, seed: number): Transcript {
  const random = seeded(seed);
  return {
    kind,
    records: Array.from({ length: 40 }, (_, i) => ({
      direction: i % 2 === 0 ? ('in' as const) : ('out' as const),
      bytes: Buffer.from(Array.from({ length: 500 }, () => Math.floor(random() * 256))),
    })),
  };
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
export function sha256Of(path: string): string {
  return sha256(readFileSync(path));
}

export function pattern(size: number, seed = 1): Buffer {
  const random = seeded(seed);
  const block = Buffer.from(Array.from({ length: Math.min(size, 65_521) }, () => Math.floor(random() * 256)));
  return Buffer.alloc(size, size === 0 ? undefined : block);
}
