/**
 * SHA-256 of configuration files (schemas/kernel/configuration.ts) before and after a session changed them.
 *
 *     session begins ──► listed files whose current state is not known are read: "before"
 *     opened for writing, renamed or linked onto, truncated, removed ──► settled: the process has closed it ──► read: "after"
 *     last process gone ──► files that have not settled are read immediately ──► the session's last row
 *
 * The kernel reports an open but not a close, so a file is examined until the process that opened it no longer has it open, for at most
 * `LONGEST_MS`. "Before" is the last content read before the change; changes outside of sessions since that read are not known.
 *
 * The user controls what is at a path. The path is opened with O_PATH and read through the same descriptor only if it is a regular file
 * of at most 1 MiB whose name is the path itself, with links in its folders resolved: nothing outside the list is read. Processes in
 * another mount namespace see other files under these names: those files are not read, and the row says so. Tested in contents.test.ts.
 */
import { createHash } from 'node:crypto';
import { open, readFile, readdir, readlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { MAX_CONFIGURATION_BYTES, configurationOf } from '#schemas/kernel/configuration.js';
import { CONTENT, PLACE } from './open-flags.js';

/** Delay between the last change and the first look at a file. */
const SETTLE_MS = 200;
/** A file that stays open this long is read as it is. */
const LONGEST_MS = 60_000;
/** Limit of changed files waiting, over all sessions; beyond it the oldest is read immediately. */
const MAX_WAITING = 256;
/** Rows per session, so that a loop that rewrites a file does not fill the log. */
const MAX_ROWS = 500;
/** Longest wait for a file system at the end of a session. */
const ANSWER_MS = 5_000;
const MAX_KNOWN = 8_192;
const MAX_LISTED = 2_000;
const MAX_HOMES = 500;
const MAX_DESCRIPTORS = 4_096;
/** Maximum difference between a change and the time that the file system records for it. */
const CHANGED_WITHIN_MS = 2_000;
const SCAN_EVERY_MS = 10_000;

const files = ['/etc/sudoers', '/etc/doas.conf', '/etc/crontab', '/etc/anacrontab', '/etc/pam.conf', '/etc/ld.so.preload', '/etc/ld.so.conf', '/etc/rc.local', '/etc/ssh/sshd_config']; // prettier-ignore
const folders = ['/etc/sudoers.d', '/etc/pam.d', '/etc/ssh/sshd_config.d', '/etc/cron.d', '/etc/cron.hourly', '/etc/cron.daily', '/etc/cron.weekly', '/etc/cron.monthly', '/var/spool/cron', '/var/spool/cron/crontabs', '/etc/systemd/system', '/etc/systemd/user', '/etc/ld.so.conf.d', '/etc/security']; // prettier-ignore

export type Content = { readonly sha256: string; readonly size: number } | { readonly missing: string };

export interface ContentChange {
  readonly pid: number;
  readonly path: string;
  readonly content: Content;
  /** The content known before the change, and when it was read (ms since 1970). */
  readonly before: { readonly sha256: string; readonly at: number } | null;
}

interface Waiting {
  readonly number: number;
  readonly path: string;
  pid: number;
  readonly before: ContentChange['before'];
  readonly first: number;
  due: number;
}

interface Known {
  /** Key made of inode, size and times. */
  readonly state: string;
  readonly sha256: string;
  readonly at: number;
}

export interface ContentsParts {
  /** ms since 1970. */
  readonly now: () => number;
  /** `number`: number of the session. */
  readonly emit: (number: number, change: ContentChange) => void;
  /** Whether a process sees the same files as this one; null: the process is gone. */
  readonly isOurs?: (pid: number) => Promise<boolean | null>;
}

interface Read {
  readonly content: Content;
  readonly state: string;
  /** ms since 1970 of the last change; for a missing file, a value later than any time. */
  readonly changed: number;
}

function absent(missing: string): Read {
  return { content: { missing }, state: '', changed: Infinity };
}

export class Contents {
  readonly #parts: ContentsParts;
  readonly #known = new LRUCache<string, Known>({ max: MAX_KNOWN });
  /** By session and path. */
  readonly #waiting = new Map<string, Waiting>();
  /** For each session: rows made so far, and changes whose file is being read. */
  readonly #sessions = new Map<number, { rows: number; reading: number }>();
  #scanning: Promise<void> | null = null;
  #scannedAt = -Infinity;
  /** Files are read one after another, so a file system that does not answer blocks only one thread. */
  #busySince: number | null = null;

  constructor(parts: ContentsParts) {
    this.#parts = parts;
  }

  /** Called when a session begins: reads the listed files whose current state is not known. Resolves when done; never rejects. */
  scan(paths?: readonly string[]): Promise<void> {
    const now = this.#parts.now();
    if (this.#scanning === null && now - this.#scannedAt < SCAN_EVERY_MS) return Promise.resolve();
    this.#scannedAt = now;
    this.#scanning ??= this.#scan(paths)
      .catch(() => undefined)
      .finally(() => {
        this.#scanning = null;
      });
    return this.#scanning;
  }

  /** Called when a process has changed, or begun to change, the file at a listed path. `at`: ms since 1970. */
  changed(number: number, pid: number, path: string, at: number): void {
    const key = `${number} ${path}`;
    const due = this.#parts.now() + SETTLE_MS;
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      waiting.pid = pid;
      waiting.due = due;
      return;
    }
    const of = this.#sessions.get(number) ?? { rows: 0, reading: 0 };
    this.#sessions.set(number, of);
    if (of.rows >= MAX_ROWS) return;
    const known = this.#known.get(path);
    const before = known !== undefined && known.at < at ? { sha256: known.sha256, at: known.at } : null;
    this.#waiting.set(key, { number, path, pid, before, first: this.#parts.now(), due });
    if (this.#waiting.size > MAX_WAITING) this.#waiting.values().next().value!.due = 0;
  }

  /** Whether rows of the session are still to come; `last`: make them immediately, since the session's last process is gone. */
  pending(number: number, last: boolean): boolean {
    if (last) for (const waiting of this.#waiting.values()) if (waiting.number === number) waiting.due = 0;
    // A file system that does not answer must not keep a session from ending: its content rows are then missing, but not the writes
    // themselves.
    if (this.#busySince !== null && this.#parts.now() - this.#busySince > ANSWER_MS) return false;
    const waits = [...this.#waiting.values()].some((waiting) => waiting.number === number);
    return waits || (this.#sessions.get(number)?.reading ?? 0) > 0;
  }

  /** Called when the session is over. */
  forget(number: number): void {
    this.#sessions.delete(number);
    for (const [key, waiting] of this.#waiting) if (waiting.number === number) this.#waiting.delete(key);
  }

  /** Called every few ms. */
  turn(): void {
    if (this.#busySince !== null || this.#waiting.size === 0) return;
    const now = this.#parts.now();
    for (const [key, waiting] of this.#waiting) {
      if (waiting.due > now) continue;
      this.#busySince = now;
      const of = this.#sessions.get(waiting.number);
      if (of !== undefined) of.reading += 1;
      void this.#settle(key, waiting)
        .catch(() => undefined)
        .finally(() => {
          this.#busySince = null;
          if (of !== undefined) of.reading -= 1;
        });
      return;
    }
  }

  async #settle(key: string, waiting: Waiting): Promise<void> {
    const { number, path, pid, before, first } = waiting;
    const now = this.#parts.now();
    const of = this.#sessions.get(number);
    const isLast = waiting.due === 0 || now - first >= LONGEST_MS;
    if (!isLast && (await isOpenIn(pid, path))) {
      waiting.due = now + SETTLE_MS;
      return;
    }
    // A change from here on counts as another one.
    this.#waiting.delete(key);
    const ours = await (this.#parts.isOurs ?? isInOurMounts)(pid);
    const read = ours === false ? absent('other mounts') : await this.#read(path);
    // If the process is gone, it is unknown which files it saw: accept this file only if it changed at that time.
    const { content, state } = ours === null && read.changed < first - CHANGED_WITHIN_MS ? absent('other mounts') : read;
    if ('sha256' in content) this.#known.set(path, { state, sha256: content.sha256, at: this.#parts.now() });
    else if (content.missing !== 'other mounts') this.#known.delete(path);
    // The content is the same as before: the file was opened for writing and not written, or written back.
    if (
      of === undefined ||
      this.#sessions.get(number) !== of ||
      of.rows >= MAX_ROWS ||
      ('sha256' in content && before?.sha256 === content.sha256)
    )
      return;
    of.rows += 1;
    this.#parts.emit(number, { pid, path, content, before });
  }

  async #scan(paths: readonly string[] | undefined): Promise<void> {
    for (const path of paths ?? (await listed())) {
      if (configurationOf(path) === null) continue;
      const { content, state } = await this.#read(path);
      if ('sha256' in content) {
        // Do not read a file while a session is changing it: the content could be incomplete.
        const changing = [...this.#waiting.values()].some((waiting) => waiting.path === path);
        if (!changing && this.#known.get(path)?.state !== state)
          this.#known.set(path, { state, sha256: content.sha256, at: this.#parts.now() });
      }
    }
  }

  /** Never rejects. A file whose state is known is not read again. */
  async #read(path: string): Promise<Read> {
    let place: FileHandle;
    try {
      place = await open(path, PLACE);
    } catch (error) {
      return absent((error as NodeJS.ErrnoException).code === 'ENOENT' ? 'gone' : 'unreadable');
    }
    try {
      const facts = await place.stat({ bigint: true });
      if (!facts.isFile()) return absent(facts.isSymbolicLink() ? 'a link' : 'no regular file');
      const through = `/proc/self/fd/${place.fd}`;
      // The path leads elsewhere through a folder that is a link.
      if ((await readlink(through)) !== path) return absent('elsewhere');
      if (facts.size > BigInt(MAX_CONFIGURATION_BYTES)) return absent('too large');
      const state = `${facts.dev} ${facts.ino} ${facts.size} ${facts.mtimeNs} ${facts.ctimeNs}`;
      const changed = Number(facts.ctimeMs);
      const known = this.#known.get(path);
      if (known?.state === state) return { content: { sha256: known.sha256, size: Number(facts.size) }, state, changed };
      const file = await open(through, CONTENT);
      try {
        const buffer = Buffer.allocUnsafe(MAX_CONFIGURATION_BYTES + 1);
        let length = 0;
        for (;;) {
          const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
          if (bytesRead === 0) break;
          length += bytesRead;
          if (length > MAX_CONFIGURATION_BYTES) return absent('too large');
        }
        const sha256 = createHash('sha256').update(buffer.subarray(0, length)).digest('hex');
        return { content: { sha256, size: length }, state, changed };
      } finally {
        await file.close();
      }
    } catch {
      return absent('unreadable');
    } finally {
      await place.close().catch(() => undefined);
    }
  }
}

/** The listed files that exist, at most `MAX_LISTED`. */
async function listed(): Promise<readonly string[]> {
  const found = [...files];
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => []);
    for (const name of names) found.push(`${folder}/${name}`);
  }
  const accounts = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const homes = new Set(accounts.split('\n').flatMap((line) => line.split(':')[5] ?? []));
  for (const home of [...homes].filter((one) => one.startsWith('/')).slice(0, MAX_HOMES))
    found.push(`${home}/.ssh/authorized_keys`, `${home}/.ssh/authorized_keys2`);
  return found.slice(0, MAX_LISTED);
}

/** Whether a process has the path open; false if the process is gone. */
async function isOpenIn(pid: number, path: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => []);
  for (const descriptor of descriptors.slice(0, MAX_DESCRIPTORS)) {
    if ((await readlink(`${folder}/${descriptor}`).catch(() => '')) === path) return true;
  }
  return false;
}

async function isInOurMounts(pid: number): Promise<boolean | null> {
  const namespaceOf = (of: string): Promise<string> => readlink(`/proc/${of}/ns/mnt`).catch(() => '');
  const theirs = await namespaceOf(String(pid));
  return theirs === '' ? null : theirs === (await namespaceOf('self'));
}
