/**
 * Determines which program a process runs, from the forks and executions of its session in order. An event does not contain the program
 * of the process that acted, or that of the parent of a started process. The SQL counterpart is relation.ts; relation.test.ts compares
 * the two.
 *
 *     fork   the child runs its parent's program
 *     exec   the process runs the program of the row
 *
 * A program is inherited over at most `MAX_FORKS` forks without an execution, because SQL needs a bound. Processes that began before
 * the recording are unknown.
 */
import type { EventRow } from '#schemas/events/rows.js';
import type { Program } from '../predicate/field.js';

export const MAX_FORKS = 2;
/** Limit per session; beyond it, processes that ended are forgotten first, then the oldest. */
const MAX_PROCESSES = 10_000;
const MAX_SESSIONS = 10_000;

interface Process {
  readonly program: Program;
  readonly forks: number;
  ended: boolean;
}

export class ProcessTable {
  /** By session and emitter, least recently used first. */
  readonly #sessions = new Map<string, Map<number, Process>>();
  #recent: { readonly session: string; readonly emitter: string; readonly processes: Map<number, Process> } | null = null;

  /**
   * Takes the next row and returns the program that the row does not contain: for `exec` that of the parent, for every other kind that
   * of the process that acted. Rows of one session come in order; null if the program is unknown.
   */
  take(row: EventRow): Program | null {
    if (row.source !== 'kernel' || row.session === '') return null;
    const { pid, ppid, child } = row.kind === 'exec' || row.kind === 'fork' ? numbersOf(row.data) : processOf(row.data);
    if (pid === undefined) return null;
    const processes = this.#processesOf(row);
    const other = processes.get(row.kind === 'exec' ? (ppid ?? -1) : pid);
    if (row.kind === 'exec') put(processes, pid, { program: { path: row.path, command: row.name }, forks: 0, ended: false });
    else if (row.kind === 'fork' && child !== undefined) {
      if (other !== undefined && other.forks < MAX_FORKS)
        put(processes, child, { program: other.program, forks: other.forks + 1, ended: false });
      // The number may have belonged to another process before.
      else processes.delete(child);
    } else if (row.kind === 'exit' && other !== undefined) other.ended = true;
    return other?.program ?? null;
  }

  #processesOf({ session, emitter }: EventRow): Map<number, Process> {
    // Rows of one session usually arrive in sequence.
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

/** Several tables take the same row, and successive events of a process often have the same data. */
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

/**
 * The process of an event that starts none. Nodes write its number first, and reading it there costs a third of parsing the JSON, which a
 * busy node would make the analyzer do 20,000 times a second. A later `pid`, or an escape that may hide one, would win in JSON.
 */
function processOf(data: string): Numbers {
  if (data === lastProcessData) return lastProcess;
  const [, pid] = firstPid.exec(data) ?? [];
  const isOnly = pid !== undefined && !data.includes('"pid"', FIRST_LENGTH) && !data.includes('\\');
  lastProcess = isOnly ? { pid: Number(pid), ppid: undefined, child: undefined } : parsedNumbers(data);
  lastProcessData = data;
  return lastProcess;
}

const FIRST_LENGTH = '{"pid"'.length;
/** Up to 15 digits are safe integers. */
const firstPid = /^\{"pid":(0|[1-9]\d{0,14})[,}]/;
let lastProcessData = '';
let lastProcess: Numbers = { pid: undefined, ppid: undefined, child: undefined };
