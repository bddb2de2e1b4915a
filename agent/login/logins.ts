/**
 * The machine's login records, utmp(5), wtmp(5) and lastlog(5), for sessions with a terminal, as sshd keeps them.
 *
 * A missing file is not created: systems without them (musl, Debian 13) have other records, kept by their PAM (pam_lastlog2,
 * pam_wtmpdb). Records have the C library's `struct utmp` and `struct lastlog` of 64-bit Linux; a session runs even if its
 * record cannot be written. utmp slots are chosen by terminal, without the C library's lock, which could block this process.
 * Tested in test/agent/login.test.ts with last(1).
 */
import { closeSync, existsSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';

export interface LoginFiles {
  readonly utmp: string;
  readonly wtmp: string;
  readonly lastlog: string;
}
export const systemFiles: LoginFiles = { utmp: '/var/run/utmp', wtmp: '/var/log/wtmp', lastlog: '/var/log/lastlog' };

export interface LoginEntry {
  readonly pid: number;
  /** For example `pts/3`. */
  readonly line: string;
  readonly user: string;
  readonly uid: number;
  /** The user's address. */
  readonly host: string;
}

const USER_PROCESS = 7;
const DEAD_PROCESS = 8;
/** x86_64 keeps 32-bit times for old programs; other 64-bit systems do not. */
const compact = process.arch === 'x64';
const SIZE = compact ? 384 : 400;
const LAST_SIZE = compact ? 292 : 296;

/** Writes the login; the returned function writes the logout. `now`: ms since 1970. */
export function recordLogin(entry: LoginEntry, now: () => number, files: LoginFiles = systemFiles): () => void {
  const began = now();
  write(record(USER_PROCESS, entry, began), entry.line, files);
  remember(entry, began, files.lastlog);
  const logOut = (): void => {
    if (!open.delete(logOut)) return;
    write(record(DEAD_PROCESS, { ...entry, user: '', host: '' }, now()), entry.line, files);
  };
  open.add(logOut);
  closing ??= process.once('exit', closeLoginRecords);
  return logOut;
}

const open = new Set<() => void>();
let closing: unknown;
/** Sessions end with this process, so their logouts must be written now. */
export function closeLoginRecords(): void {
  for (const logOut of [...open]) logOut();
}

function record(type: number, { pid, line, user, host }: LoginEntry, now: number): Buffer {
  const bytes = Buffer.alloc(SIZE);
  bytes.writeInt16LE(type, 0);
  bytes.writeInt32LE(pid, 4);
  bytes.write(line, 8, 31, 'utf8');
  bytes.write(idOf(line), 40, 4, 'utf8');
  bytes.write(user, 44, 31, 'utf8');
  bytes.write(host, 76, 255, 'utf8');
  const [seconds, micros] = [Math.floor(now / 1000), (now % 1000) * 1000];
  if (compact) {
    bytes.writeUInt32LE(seconds, 340);
    bytes.writeInt32LE(micros, 344);
  } else {
    bytes.writeBigInt64LE(BigInt(seconds), 344);
    bytes.writeBigInt64LE(BigInt(micros), 352);
  }
  return bytes;
}

function idOf(line: string): string {
  return line.replace(/^pts\//, 'ts/').slice(-4);
}

function write(bytes: Buffer, line: string, { utmp, wtmp }: LoginFiles): void {
  try {
    if (existsSync(wtmp)) append(wtmp, bytes);
    if (existsSync(utmp)) replace(utmp, bytes, line);
  } catch {
    // No permission, or disk full: the session matters more than its record.
  }
}

/** Writes lastlog, which has one record per account, indexed by uid. */
function remember({ uid, line, host }: LoginEntry, now: number, path: string): void {
  const bytes = Buffer.alloc(LAST_SIZE);
  const text = LAST_SIZE - 288;
  if (compact) bytes.writeUInt32LE(Math.floor(now / 1000), 0);
  else bytes.writeBigInt64LE(BigInt(Math.floor(now / 1000)), 0);
  bytes.write(line, text, 31, 'utf8');
  bytes.write(host, text + 32, 255, 'utf8');
  try {
    const file = openSync(path, 'r+');
    try {
      writeSync(file, bytes, 0, LAST_SIZE, uid * LAST_SIZE);
    } finally {
      closeSync(file);
    }
  } catch {
    // Missing, no permission, or disk full.
  }
}

function append(path: string, bytes: Buffer): void {
  const file = openSync(path, 'a');
  try {
    writeSync(file, bytes);
  } finally {
    closeSync(file);
  }
}

function replace(path: string, bytes: Buffer, line: string): void {
  const file = openSync(path, 'r+');
  try {
    const { size } = fstatSync(file);
    const slot = Buffer.alloc(SIZE);
    let at = 0;
    for (; at + SIZE <= size; at += SIZE) {
      readSync(file, slot, 0, SIZE, at);
      if (slot.toString('utf8', 8, 40).split('\0')[0] === line) break;
    }
    writeSync(file, bytes, 0, SIZE, at + SIZE <= size ? at : size - (size % SIZE));
  } finally {
    closeSync(file);
  }
}
