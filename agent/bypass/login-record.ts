/**
 * Reads `struct login` of agent/bpf/events.h: little endian, field by field, in order. Tested in login-record.test.ts, and with real
 * logins in login-watch.test.ts.
 */

export interface LoginRecord {
  /** CLOCK_BOOTTIME, ns. */
  readonly time: bigint;
  /** The started program's process, and that of the program that started it. */
  readonly pid: number;
  readonly doorPid: number;
  readonly uid: number;
  /** Logins for which the ring had no room, since the ring was created. */
  readonly lost: number;
  /** The name of the program that admits users: `sshd-session`, `su`. */
  readonly door: string;
  /** The path as requested. */
  readonly program: string;
  readonly argv: readonly string[];
  readonly argvCut: boolean;
  /** From the first variables of its initial environment: those named in `KEPT`. */
  readonly variables: ReadonlyMap<string, string>;
}

const DOOR = 32;
const PROGRAM = DOOR + 16;
const ARGUMENTS = PROGRAM + 256;
const MAX_ARGUMENTS = 1024;
const ENVIRONMENT = ARGUMENTS + MAX_ARGUMENTS;
const MAX_ENVIRONMENT = 2048;
export const LOGIN_BYTES = ENVIRONMENT + MAX_ENVIRONMENT;

/** Other variables can hold secrets and stay in the kernel's ring. */
const KEPT: ReadonlySet<string> = new Set(['SSH_CONNECTION', 'SSH_TTY', 'SSH_ORIGINAL_COMMAND', 'LOGNAME', 'USER', 'SUDO_USER']);

/** Null if the record is incomplete. */
export function readLogin(bytes: Uint8Array): LoginRecord | null {
  if (bytes.length < LOGIN_BYTES) return null;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const argumentBytes = Math.min(MAX_ARGUMENTS, view.readUInt32LE(20));
  const argv = texts(view.subarray(ARGUMENTS, ARGUMENTS + argumentBytes));
  const variables = new Map<string, string>();
  for (const text of texts(view.subarray(ENVIRONMENT, ENVIRONMENT + Math.min(MAX_ENVIRONMENT, view.readUInt32LE(24))))) {
    const at = text.indexOf('=');
    if (at > 0 && KEPT.has(text.slice(0, at)) && !variables.has(text.slice(0, at))) variables.set(text.slice(0, at), text.slice(at + 1));
  }
  return {
    time: view.readBigUInt64LE(0),
    pid: view.readUInt32LE(8),
    doorPid: view.readUInt32LE(12),
    uid: view.readUInt32LE(16),
    lost: view.readUInt32LE(28),
    door: texts(view.subarray(DOOR, PROGRAM))[0] ?? '',
    program: texts(view.subarray(PROGRAM, ARGUMENTS))[0] ?? '',
    argv,
    argvCut: argumentBytes === MAX_ARGUMENTS && view[ARGUMENTS + MAX_ARGUMENTS - 1] !== 0,
    variables,
  };
}

/** Each text ends with a NUL; text after the last NUL was cut off. */
function texts(bytes: Buffer): readonly string[] {
  const all = bytes.toString('utf8').split('\0');
  if (all.at(-1) === '') all.pop();
  return all;
}
