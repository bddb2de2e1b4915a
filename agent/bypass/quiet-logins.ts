/**
 * Finds connections to this machine's sshd for which no program was started: `ssh -N` for its forwardings, and files through sshd's
 * built-in SFTP.
 *
 * No execution reveals these, so every five seconds this looks for sshd processes that have switched to an account. A connection that
 * ends sooner is not seen, and neither is one of root, since sshd then does not switch. An aid, not a boundary. Tested in
 * login-watch.test.ts.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import type { FreeEvent } from '#runtime/uplink/free-event-rows.js';
import type { Accounts } from './accounts.js';

/** A shell starts within this time of the connection and is recorded as a login of its own. */
const YOUNG_MS = 3_000;
const TICKS_A_SECOND = 100;
/** The account of sshd's process before the login. */
const UNPRIVILEGED: ReadonlySet<string> = new Set(['sshd', '_sshd']);
const MAX_DESCRIPTORS = 64;
const MAX_TOLD = 10_000;

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  /** In clock ticks since the machine started. */
  readonly started: number;
}

export class QuietLogins {
  readonly #accounts: Accounts;
  /** Start time by pid. */
  #told = new Map<number, number>();

  constructor(accounts: Accounts) {
    this.#accounts = accounts;
  }

  /** Called when a program of this process was recorded. */
  told(pid: number): void {
    const process = processOf(pid);
    if (process !== null && this.#told.size < MAX_TOLD) this.#told.set(pid, process.started);
  }

  /** Returns logins that were not recorded before. `now`: ms since 1970. */
  async look(now: number): Promise<readonly FreeEvent[]> {
    const processes = new Map(allProcesses().map((one) => [one.pid, one]));
    const servers = [...processes.values()].filter(({ name }) => name === 'sshd' || name === 'sshd-session');
    const uids = new Map(servers.map(({ pid }) => [pid, uidOf(pid)]));
    const upMs = Number(read('/proc/uptime').split(' ', 1)[0]) * 1_000;
    const events: FreeEvent[] = [];
    const told = new Map<number, number>();
    for (const one of servers) {
      const { pid, parent, started } = one;
      const uid = uids.get(pid) ?? 0;
      if (uid === 0 || isBelow(process.pid, one, processes)) continue;
      const ageMs = upMs - (started * 1_000) / TICKS_A_SECOND;
      if (this.#told.get(pid) === started) {
        told.set(pid, started);
        continue;
      }
      // The process that serves SFTP is a child of the one that has the connection.
      if (ageMs < YOUNG_MS || uids.get(parent) === uid) continue;
      const login = await this.#accounts.nameOf(uid);
      if (UNPRIVILEGED.has(login)) continue;
      told.set(pid, started);
      const [address = '', port = null] = peerOf(pid) ?? [];
      events.push({
        ...{
          kind: 'login',
          user: '',
          login: login === '' ? `${uid}` : login,
          at: Math.round(now - ageMs),
          name: 'sshd',
          outcome: 'success',
        },
        ...{ reason: 'no program was started', address, port },
        data: JSON.stringify({ door: one.name, door_pid: pid, uid }),
      });
    }
    this.#told = told;
    return events;
  }
}

function allProcesses(): readonly Process[] {
  return readdirSync('/proc').flatMap((name) => {
    const found = /^\d+$/.test(name) ? processOf(Number(name)) : null;
    return found === null ? [] : [found];
  });
}

function processOf(pid: number): Process | null {
  const text = read(`/proc/${pid}/stat`);
  const [open, close] = [text.indexOf('('), text.lastIndexOf(')')];
  if (open < 0 || close < 0) return null;
  // The fields from the state on: fields 3 and following of proc(5).
  const fields = text.slice(close + 2).split(' ');
  return { pid, parent: Number(fields[1]), name: text.slice(open + 1, close), started: Number(fields[19]) };
}

function uidOf(pid: number): number {
  return Number(/^Uid:\s+\d+\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
}

function isBelow(top: number, { parent }: Process, processes: ReadonlyMap<number, Process>): boolean {
  for (let at = parent, steps = 0; at > 1 && steps < 64; at = processes.get(at)?.parent ?? 0, steps += 1) if (at === top) return true;
  return false;
}

/** Address and port of the remote end of the process's first TCP connection from elsewhere. */
function peerOf(pid: number): readonly [string, number] | null {
  const sockets = new Set<string>();
  try {
    for (const name of readdirSync(`/proc/${pid}/fd`).slice(0, MAX_DESCRIPTORS)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1];
      if (inode !== undefined) sockets.add(inode);
    }
  } catch {
    // The process has ended, or a descriptor was closed.
  }
  if (sockets.size === 0) return null;
  for (const table of ['tcp', 'tcp6']) {
    for (const line of read(`/proc/${pid}/net/${table}`).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [host, port] = (fields[2] ?? '').split(':');
      // State 1: established.
      if (fields[3] === '01' && sockets.has(fields[9] ?? '') && host !== undefined && port !== undefined)
        return [addressOf(host), Number.parseInt(port, 16)];
    }
  }
  return null;
}

/** 32-bit words, each in the machine's byte order, which is little endian. */
export function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, 'hex').reverse()]);
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff) return bytes.slice(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return groups.join(':').replace(/(?:^|:)0(?::0)+(?::|$)/, '::');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
