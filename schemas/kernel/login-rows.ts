/**
 * Filters out the node service's own login, which runs before anything of the user: its programs have the user's command among their
 * arguments, and it reads the account's password entry. Rules would attribute both to the user.
 *
 *     login  ── the first execution sets the login up (agent/login/invocation.ts) ──► its shells and su(1) are the login's own
 *     user   ── the account's shell was executed, or any execution is something else ──► for good
 *
 * Nothing of the user runs before the account's shell, so nothing can hide in the omitted rows. Tested in login-rows.test.ts.
 */
import { HANDOVER } from './process-tree.js';
import type { EventKind } from '../events/kinds.js';
import type { EventRow } from '../events/rows.js';

const SET_UP = /^\{ echo \d+ >\/proc\/self\/loginuid; \} 2>\/dev\/null; /;
/** Acts of a process; losses, and rows about the recording itself, are passed on in any phase. */
const acts: ReadonlySet<EventKind> = new Set(['exit', 'file', 'connect', 'listen', 'dns', 'fork', 'accept', 'send', 'privilege', 'system']);

export class LoginRows {
  #phase: 'start' | 'login' | 'user' = 'start';
  /** The process that announced the handover: its next execution is the account's shell. */
  #handing: number | null = null;

  /** Returns whether the row belongs to the login itself. Call it with rows in order. */
  take({ source, kind, data }: Pick<EventRow, 'source' | 'kind' | 'data'>): boolean {
    if (source !== 'kernel' || this.#phase === 'user') return false;
    if (kind !== 'exec') return this.#phase === 'login' && acts.has(kind);
    const { argv, pid } = factsOf(data);
    const isSetUp = argv.some((argument) => SET_UP.test(argument));
    const isHandover = argv.some((argument) => argument.startsWith(HANDOVER));
    if (this.#phase === 'start') this.#phase = isSetUp ? 'login' : 'user';
    else if ((pid !== null && pid === this.#handing) || !(isSetUp || isHandover)) this.#phase = 'user';
    // su(1) also gets the text of the handover and runs it as `sh -c`.
    if (isHandover && argv[1] === '-c') this.#handing = pid;
    return this.#phase === 'login';
  }
}

function factsOf(data: string): { readonly argv: readonly string[]; readonly pid: number | null } {
  const value = JSON.parse(data) as { readonly argv?: unknown; readonly pid?: unknown };
  return {
    argv: Array.isArray(value.argv) ? value.argv.filter((one): one is string => typeof one === 'string') : [],
    pid: typeof value.pid === 'number' ? value.pid : null,
  };
}
