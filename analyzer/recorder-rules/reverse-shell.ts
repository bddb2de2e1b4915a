/**
 * Finds a shell that takes its commands from a connection, from kernel events and not from the text of a command: a process opened a
 * connection to elsewhere (or accepted one), and the same process, or a child of it, became a shell without a script.
 *
 *     connect, pid 7          connect, pid 7
 *     exec sh -i, pid 7       fork 7 → 8;  exec sh, pid 8
 *
 * Rows do not contain what a descriptor is open on, so the shell's input is inferred and not observed: programs that connect and then
 * start a shell for a person (an editor with a remote file) look the same. Tested in reverse-shell.test.ts.
 */
import type { EventKind } from '#schemas/events/kinds.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { Detection, Detector, Observation, SessionDetector } from '../detection/detector.js';
import { basename, shells } from '../normal-form/interpret.js';
import { dataOf, happened, numberAt, perSession, recorderRule } from './recorder-rule.js';

const reverseShell = recorderRule(
  'shell-on-connection',
  'A process with a connection became a shell',
  'alert',
  'critical',
  ['T1059.004', 'T1095'],
  'Freeze the session and look at the address: somebody there may be typing. Kill the process, then find out how it was started.',
);

const MAX_PROCESSES = 4_096;
/** Maximum time between the connection and the shell. */
const WITHIN_MS = 60_000;
/** Programs that connect and start shells for the user at the terminal. */
const ordinary =
  /^(?:ssh|sshd|mosh-client|tmux|screen|vim?|nvim|emacs|code|node_modules|git|sudo|su|login|dockerd?|podman|kubectl|make|apt(?:-get)?|dpkg|dnf|yum|npm|yarn)$/;

/** Kinds of events about processes and connections. Most events are about files, whose data need not be read. */
const told: ReadonlySet<EventKind> = new Set(['connect', 'accept', 'fork', 'exec', 'exit']);

interface Process {
  readonly program: string;
  readonly connection: EventRow | null;
  readonly forks: number;
}

class ConnectionWatch implements SessionDetector {
  readonly #processes = new Map<string, Process>();

  take(observation: Observation): readonly Detection[] {
    if (observation.kind !== 'event' || observation.row.source !== 'kernel' || !told.has(observation.row.kind)) return [];
    const { row } = observation;
    const data = dataOf(row);
    const pid = numberAt(data, 'pid');
    if (pid === null) return [];
    const key = (of: number): string => `${row.emitter} ${of}`;
    const known = this.#processes.get(key(pid)) ?? { program: '', connection: null, forks: 0 };
    switch (row.kind) {
      case 'connect':
      case 'accept':
        if (isElsewhere(row)) this.#put(key(pid), { ...known, connection: row, forks: 0 });
        return [];
      case 'fork': {
        const child = numberAt(data, 'child');
        if (child === null) return [];
        // A subshell forks once, a pipeline in it twice.
        if (known.forks < 2) this.#put(key(child), { ...known, forks: known.forks + 1 });
        else this.#processes.delete(key(child));
        return [];
      }
      case 'exec':
        return this.#exec(row, key(pid), known, argumentsOf(data.argv));
      case 'exit':
        this.#processes.delete(key(pid));
        return [];
      default:
        return [];
    }
  }

  #exec(row: EventRow, key: string, { program, connection }: Process, argv: readonly string[]): readonly Detection[] {
    const name = basename(row.path);
    // A program other than a shell may keep the connection and start a shell: `nc -e`, a wrapper.
    this.#put(key, { program: name, connection: shells.has(name) ? null : connection, forks: 0 });
    if (row.outcome !== 'success' || connection === null || !shells.has(name) || ordinary.test(program)) return [];
    if (row.at - connection.at > WITHIN_MS || !hasNoScript(argv)) return [];
    const { address, port, kind } = connection;
    const where = `${address}${port === null ? '' : ` port ${port}`}`;
    const reason = `${program === '' ? 'a process' : program} ${kind === 'accept' ? 'accepted a connection from' : 'connected to'} ${where}, then became ${name}`;
    return [happened(reverseShell, [connection, row], reason, `${where} ${program}`)];
  }

  #put(key: string, process: Process): void {
    this.#processes.delete(key);
    this.#processes.set(key, process);
    if (this.#processes.size > MAX_PROCESSES) this.#processes.delete(this.#processes.keys().next().value!);
  }
}

function isElsewhere({ name, address, kind }: EventRow): boolean {
  return (kind === 'accept' || name === 'tcp' || name === 'udp') && address !== '' && !address.startsWith('/') && name !== 'unix';
}

function argumentsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

/** Whether there are only options, none of which is a command. */
function hasNoScript(argv: readonly string[]): boolean {
  return argv.slice(1).every((word) => /^-/.test(word) && !/^-[a-zA-Z]*c/.test(word));
}

export function reverseShellDetector(): Detector {
  return perSession('reverse-shell', [reverseShell], () => new ConnectionWatch());
}
