/**
 * Reads `struct login` of agent/bpf/events.h: little endian, field by field, in its order. Tested in login-record.test.ts, and by real
 * logins in login-watch.test.ts.
 */

export interface LoginRecord {
  /** CLOCK_BOOTTIME, ns. */
  readonly time: bigint;
  /** Process of the started program, and of the program that started it. */
  readonly pid: number;
  readonly doorPid: number;
  readonly uid: number;
  /** Logins that the ring had no room for, since it was made. */
  readonly lost: number;
  /** The name of the file that lets people in: `sshd-session`, `su`. */
  readonly door: string;
  /** As it was asked for. */
  readonly program: string;
  readonly argv: readonly string[];
  readonly argvCut: boolean;
  /** Of the first variables of the environment that it began with, those that are named in `KEPT`. */
  readonly variables: ReadonlyMap<string, string>;
}

const DOOR = 32;
const PROGRAM = DOOR + 16;
const ARGUMENTS = PROGRAM + 256;
const MAX_ARGUMENTS = 1024;
const ENVIRONMENT = ARGUMENTS + MAX_ARGUMENTS;
const MAX_ENVIRONMENT = 2048;
export const LOGIN_BYTES = ENVIRONMENT + MAX_ENVIRONMENT;

/** Others can hold secrets, and stay in the kernel's ring. */
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

/** Each ended by a zero; what comes behind the last is one that was cut. */
function texts(bytes: Buffer): readonly string[] {
  const all = bytes.toString('utf8').split('\0');
  if (all.at(-1) === '') all.pop();
  return all;
}
