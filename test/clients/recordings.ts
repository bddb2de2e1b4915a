/** The parts of a recording that the cases compare. */
import { createHash } from 'node:crypto';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { parseHeader, parseLine } from '#schemas/recording/line.js';
import type { FileFact, RecordingHeader, RecordingLine, StreamFact } from '#schemas/recording/line.js';
import type { Viewer } from '../end-to-end/client-tools.js';

export interface Recording {
  readonly info: SessionInfo;
  readonly header: RecordingHeader;
  readonly lines: readonly RecordingLine[];
  readonly facts: readonly StreamFact[];
}

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

export async function recordingOf(viewer: Viewer, info: SessionInfo): Promise<Recording> {
  const [first, ...rest] = (await viewer.cast(info.id)).trimEnd().split('\n');
  const lines = rest.map((line) => parseLine(line)).filter((line) => line !== null);
  return { info, header: parseHeader(first!), lines, facts: lines.flatMap((line) => (line.code === 's' ? [line.data] : [])) };
}

/** Kind, exit code and end of a session. A session that was cut off is `interrupted` in place of `complete`. */
export function outline({ info }: Recording): object {
  return { kind: info.kind, tty: info.tty, exit: info.exit_code, end: info.state === 'interrupted' ? 'interrupted' : 'complete' };
}

/** The command in full: a long one spans several lines. */
export function commandOf({ facts }: Recording): string {
  return facts.flatMap((fact) => (fact.fact === 'exec' ? [fact.command] : [])).join('');
}

/** Bytes and digest of each stream, as `in 6 5891b5…`. */
export function totals({ facts }: Recording): readonly string[] {
  return facts.flatMap((fact) => (fact.fact === 'total' ? [total(fact.stream, fact.bytes, fact.sha256)] : [])).sort();
}

export function total(stream: string, bytes: number, digest: string): string {
  return `${stream} ${bytes} ${digest}`;
}

const changing = new Set<FileFact['operation']>(['read', 'write', 'remove', 'rename', 'symlink', 'mkdir', 'rmdir']);

/** Operations on files, without queries (stat, list), which differ between clients. */
export function operations({ facts }: Recording): readonly object[] {
  return facts
    .filter((fact): fact is FileFact => fact.fact === 'file' && changing.has(fact.operation))
    .map(({ operation, path, target, size, sha256: digest, outcome }) => ({
      operation,
      path,
      outcome,
      ...(target === undefined ? {} : { target }),
      ...(operation === 'read' || operation === 'write' ? { size, sha256: digest } : {}),
    }));
}

export function transfer(operation: 'read' | 'write', path: string, bytes: Buffer | string): object {
  return { operation, path, outcome: 'success', size: Buffer.byteLength(bytes), sha256: sha256(bytes) };
}

/** Forwarded connections: their direction and destination. */
export function forwards({ facts }: Recording): readonly object[] {
  return facts.flatMap((fact) =>
    fact.fact === 'forward_open' ? [{ direction: fact.direction, address: fact.address, port: fact.port }] : [],
  );
}

export function resizes({ lines }: Recording): readonly string[] {
  return lines.flatMap((line) => (line.code === 'r' ? [line.data] : []));
}
