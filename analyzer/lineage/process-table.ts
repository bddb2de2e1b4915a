/**
 * Which program a process runs, from the forks and executions of its session in their order: what an event does not say of the process that
 * acted, or of the parent of one that was started. The same answer in SQL: relation.ts; relation.test.ts compares the two.
 *
 *     fork   the child runs what its parent runs
 *     exec   the process runs the program of the row
 *
 * A program is handed on over `MAX_FORKS` forks without an execution, and no further: SQL needs a bound. Unknown is what began before the
 * session was recorded.
 */
import type { EventRow } from '#schemas/events/rows.js';
import type { Program } from '../predicate/field.js';

export const MAX_FORKS = 2;
/** Processes of one session; one with more forgets those that ended, then the oldest. */
const MAX_PROCESSES = 10_000;
const MAX_SESSIONS = 10_000;

interface Process {
  readonly program: Program;
  readonly forks: number;
  ended: boolean;
}

export class ProcessTable {
  /** By session and emitter, the one longest without an event first. */
  readonly #sessions = new Map<string, Map<number, Process>>();
  #recent: { readonly session: string; readonly emitter: string; readonly processes: Map<number, Process> } | null = null;

  /**
   * Takes the next row, and answers the program that the row leaves out: of `exec` that of the parent, of every other kind that of
   * the process that acted. Rows of one session come in their order; null where the program is not known.
   */
  take(row: EventRow): Program | null {
    if (row.source !== 'kernel' || row.session === '') return null;
    const { pid, ppid, child } = numbersOf(row.data);
    if (pid === undefined) return null;
    const processes = this.#processesOf(row);
    const other = processes.get(row.kind === 'exec' ? (ppid ?? -1) : pid);
    if (row.kind === 'exec') put(processes, pid, { program: { path: row.path, command: row.name }, forks: 0, ended: false });
    else if (row.kind === 'fork' && child !== undefined) {
      if (other !== undefined && other.forks < MAX_FORKS)
        put(processes, child, { program: other.program, forks: other.forks + 1, ended: false });
      // The number may have been another process's before.
      else processes.delete(child);
    } else if (row.kind === 'exit' && other !== undefined) other.ended = true;
    return other?.program ?? null;
  }

  #processesOf({ session, emitter }: EventRow): Map<number, Process> {
    // Rows of one session come one after the other.
    const recent = this.#recent;
    if (recent?.session === session && recent.emitter === emitter) return recent.processes;
    const key = `${session} ${emitter}`;
    const processes = this.#sessions.get(key) ?? new Map<number, Process>();
    this.#sessions.delete(key);
    this.#sessions.set(key, processes);
    if (this.#sessions.size > MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#recent = { session, emitter, processes };
    return processes;
  }
}

function put(processes: Map<number, Process>, pid: number, process: Process): void {
  processes.delete(pid);
  processes.set(pid, process);
  if (processes.size <= MAX_PROCESSES) return;
  for (const [number, { ended }] of processes) if (ended) processes.delete(number);
  if (processes.size > MAX_PROCESSES) processes.delete(processes.keys().next().value!);
}

interface Numbers {
  readonly pid: number | undefined;
  readonly ppid: number | undefined;
  readonly child: number | undefined;
}

/** Several tables take the same row, and events of one process that follow one another often have the same data. */
let lastData = '';
let lastNumbers: Numbers = { pid: undefined, ppid: undefined, child: undefined };

function numbersOf(data: string): Numbers {
  if (data !== lastData) {
    lastNumbers = parsedNumbers(data);
    lastData = data;
  }
  return lastNumbers;
}

function parsedNumbers(data: string): Numbers {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    value = null;
  }
  const read = (key: string): number | undefined => {
    const found: unknown =
      typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
    return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : undefined;
  };
  return { pid: read('pid'), ppid: read('ppid'), child: read('child') };
}
