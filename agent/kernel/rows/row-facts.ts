/**
 * Fields common to rows of every kind: the actor, the result, the place, and any doubts.
 *
 * A path is the one the kernel reached, or the one requested; where the two may differ, the row says so in plain text.
 * Tested in rows.test.ts and ../probes/paths.test.ts.
 */
import { constants } from 'node:os';
import type { KernelKind } from '#schemas/events/kinds.js';
import { flags, mayBeElsewhere, pathOf, resolvePath, textOf } from '../records/record.js';
import type { KernelRecord, Text } from '../records/record.js';

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
export const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

export interface Row {
  readonly kind: KernelKind;
  readonly path?: string;
  readonly size?: number;
  readonly sha256?: string;
  readonly address?: string;
  readonly port?: number;
  readonly name?: string;
  readonly reason?: string;
  readonly outcome?: string;
  readonly count?: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Requests through io_uring have no known result. */
export function outcomeOf(record: KernelRecord): string {
  const { result } = record;
  if (record.has(flags.uring)) return 'submitted';
  if (result >= 0) return 'success';
  return errnoNames.get(-result) ?? `errno ${-result}`;
}

export type Data = Record<string, unknown>;

/** Built without copies, since this runs for every event. */
export function who(record: KernelRecord): Data {
  const { pid, tid, uid, euid } = record;
  const data: Data = { pid };
  if (tid !== pid) data['tid'] = tid;
  data['uid'] = uid;
  if (euid !== uid) data['euid'] = euid;
  return data;
}

/** `who`, plus remarks about the record itself. */
export function noted(record: KernelRecord): Data {
  const data = who(record);
  const { flags: set } = record;
  if ((set & flags.cut) !== 0) data['cut'] = true;
  if ((set & flags.uring) !== 0) data['io_uring'] = true;
  if ((set & flags.unreadable) !== 0) data['unreadable'] = true;
  if ((set & flags.compat) !== 0) data['bits'] = 32;
  if ((set & flags.filtered) !== 0) data['filtered'] = true;
  return data;
}

/** The exact bytes, if they were not UTF-8. */
export function rawOf(what: string, raw: Buffer | undefined): Record<string, unknown> {
  return raw === undefined ? {} : { [`${what}_base64`]: raw.toString('base64') };
}

/** For an operation that this version does not know: it is never skipped and never taken for another. */
export function unknownRow(record: KernelRecord): Row {
  return {
    kind: 'system',
    name: `unknown ${record.kind}.${record.op}`,
    outcome: outcomeOf(record),
    data: { ...noted(record), a: record.a, b: record.b },
  };
}

/** A path, and whether it is only the requested one, which may lead elsewhere. */
export interface Place extends Text {
  readonly asked?: boolean;
}

/** The path in texts `i` and `i + 1`: the one reached, or the folder and the requested name. */
export function place(record: KernelRecord, i: 0 | 2): Place {
  const base = pathOf(record.text(i));
  if (record.has(flags.reached) && i === 0) return base;
  // Neither folder nor name: a descriptor without a path, or an unreadable text. It must not appear as the root.
  if (!record.holds(i) && !record.holds(i + 1)) return { text: '' };
  const asked = textOf(record.text(i + 1));
  const raw = asked.raw ?? base.raw;
  return {
    text: resolvePath(base.text, asked.text),
    ...(raw === undefined ? {} : { raw }),
    ...(base.above === undefined ? {} : { above: base.above }),
    ...(mayBeElsewhere(asked.text) ? { asked: true } : {}),
  };
}

const aboves = { cut: 'beginning cut', detached: 'in a detached mount' } as const;

export function aboveOf({ above }: Text): readonly string[] {
  return above === undefined ? [] : [aboves[above]];
}

/** Remarks about a path, for readers. */
export function marksOf(where: Place): readonly string[] {
  return where.asked === true ? [...aboveOf(where), 'as asked'] : aboveOf(where);
}

/** A seccomp filter of the session can answer in the kernel's place: success is then unconfirmed. */
export function unconfirmed(record: KernelRecord): readonly string[] {
  return record.has(flags.filtered) && record.result >= 0 ? ['unconfirmed'] : [];
}

export function reasonOf(...parts: readonly string[]): { readonly reason?: string } {
  const said = parts.filter((part) => part !== '');
  return said.length === 0 ? {} : { reason: said.join(',') };
}

/** argv as the kernel holds it: consecutive texts, each ended by NUL; the last may be cut. */
export function splitArguments(bytes: Buffer): Text[] {
  if (bytes.length === 0) return [];
  const whole = textOf(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes);
  if (whole.raw === undefined) return whole.text.split('\0').map((text) => ({ text }));
  const parts: Text[] = [];
  for (let from = 0; from < bytes.length;) {
    const nul = bytes.indexOf(0, from);
    const end = nul < 0 ? bytes.length : nul;
    parts.push(textOf(bytes.subarray(from, end)));
    from = end + 1;
  }
  return parts;
}
