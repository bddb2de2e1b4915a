/**
 * The file browser of a node's terminal: one current folder, and transfers that run one at a time.
 *
 *     opening ──SFTP answers──► open ──the channel ends, or the terminal──► over
 *     a transfer: waiting ──its turn──► running ──► done, failed, cancelled
 *                    ▲                     └── the name is taken ──► asks ──replace──► waiting
 *
 * A download is collected as blobs, which the browser keeps outside the page's memory, and is saved when it is complete. Tested against
 * OpenSSH in test/end-to-end/page-ssh.test.ts, and in Chromium in terminal-files.test.ts beside it.
 */
import { StenoError } from '#schemas/base/errors.js';
import { utf8Bytes } from '#schemas/ssh/wire.js';
import type { Subsystem, SubsystemEvents } from '../ssh/session.js';
import { LastWords, gatewayWords } from '../ssh/gateway-words.js';
import { SftpClient, SftpRefusal, joined } from './sftp.js';
import type { Entry } from './sftp.js';

export interface Transfer {
  readonly id: number;
  readonly direction: 'up' | 'down';
  /** The name as the server sent it: show it as text only. */
  readonly name: string;
  /** Bytes; null if unknown. */
  readonly total: number | null;
  readonly done: number;
  readonly state: 'waiting' | 'running' | 'asks' | 'done' | 'failed' | 'cancelled';
  /** The reason of a failed transfer. */
  readonly why: string;
}

export interface FilesState {
  readonly phase: 'opening' | 'open' | 'over';
  /** The last message of the gateway or the node, such as whom the session is waiting for or why it ended. */
  readonly said: string;
  /** Null until a folder is shown. */
  readonly folder: { readonly path: Uint8Array; readonly entries: readonly Entry[]; readonly cut: boolean } | null;
  readonly loading: boolean;
  /** Why the last requested folder is not shown. */
  readonly error: string;
  readonly transfers: readonly Transfer[];
}

/** Limit of a download in the browser; use `sftp` for larger files. */
const MAX_DOWNLOAD = 2 ** 31;
const BLOB_BYTES = 8 << 20;
const PROGRESS_MS = 100;
const MAX_TRANSFERS = 200;
/** Bytes, the limit of the nodes' file systems. */
const MAX_NAME = 255;

interface Job {
  readonly abort: AbortController;
  readonly path: Uint8Array;
  readonly run: (id: number, job: Job) => Promise<void>;
}

export interface FileBrowserParts {
  /** Opens the channel; null if no terminal is running. */
  readonly open: (events: SubsystemEvents) => Subsystem | null;
  readonly save: (name: string, content: Blob) => void;
  /** Monotonic ms. */
  readonly now: () => number;
}

export class FileBrowser {
  readonly #parts: FileBrowserParts;
  readonly #client: SftpClient;
  readonly #channel: Subsystem | null;
  readonly #words = new LastWords();
  readonly #listeners = new Set<() => void>();
  readonly #jobs = new Map<number, Job>();
  #state: FilesState = { phase: 'opening', said: '', folder: null, loading: true, error: '', transfers: [] };
  #queue: Promise<void> = Promise.resolve();
  #ids = 0;
  /** Counts requested folders, so that the answer to an older request is ignored. */
  #asked = 0;

  constructor(parts: FileBrowserParts) {
    this.#parts = parts;
    this.#client = new SftpClient((bytes) => this.#channel?.send(bytes) ?? false);
    this.#channel = parts.open({
      started: () => void this.#start(),
      data: (bytes, taken) => {
        try {
          this.#client.receive(bytes);
          taken();
        } catch (error) {
          this.#channel?.close();
          this.#end(wordsOf(error));
        }
      },
      said: (bytes) => {
        this.#words.take(bytes);
        if (this.#state.phase !== 'over') this.#set({ said: lastLines(this.#words.text) });
      },
      ended: (why) => this.#end(why),
    });
    if (this.#channel === null) this.#end('The terminal does not run');
  }

  get state(): FilesState {
    return this.#state;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Shows a folder, given as a path that the user typed or that the node sent. */
  async go(path: string | Uint8Array): Promise<void> {
    const mine = ++this.#asked;
    this.#set({ loading: true, error: '' });
    try {
      const real = await this.#client.realPath(typeof path === 'string' ? utf8Bytes(path) : path);
      const { entries, cut } = await this.#client.list(real);
      if (mine === this.#asked) this.#set({ folder: { path: real, entries: [...entries].sort(inOrder), cut }, loading: false });
    } catch (error) {
      if (mine === this.#asked) this.#set({ loading: false, error: wordsOf(error) });
    }
  }

  up(): void {
    if (this.#state.folder !== null) void this.go(joined(this.#state.folder.path, utf8Bytes('..')));
  }

  /** Opens a folder; downloads anything else. For a link, the node is asked for the target. */
  async pick(entry: Entry): Promise<void> {
    const { folder } = this.#state;
    if (folder === null) return;
    const path = joined(folder.path, entry.name);
    try {
      const found = entry.kind === 'link' ? await this.#client.stat(path) : entry;
      if (found.kind === 'folder') await this.go(path);
      else this.#download(path, textOf(entry.name), found.size);
    } catch (error) {
      this.#set({ error: wordsOf(error) });
    }
  }

  /** Makes a folder in the current one. */
  makeFolder(name: string): Promise<void> {
    return this.#alter((folder) => this.#client.makeFolder(pathOf(folder, name)));
  }

  /** Renames an entry; an existing entry of that name is not overwritten. */
  rename(entry: Entry, name: string): Promise<void> {
    return this.#alter(async (folder) => {
      const to = pathOf(folder, name);
      // Version 3 of SFTP forbids overwriting, but not every server complies.
      if (await this.#isThere(to)) throw new Error('This name is taken');
      await this.#client.rename(joined(folder, entry.name), to);
    });
  }

  /** Removes a file, a link, or an empty folder. */
  remove(entry: Entry): Promise<void> {
    return this.#alter((folder) => this.#client.remove(joined(folder, entry.name), entry.kind));
  }

  upload(files: readonly File[]): void {
    const { folder } = this.#state;
    if (folder === null) return;
    for (const file of files) {
      const path = joined(folder.path, utf8Bytes(file.name));
      this.#add({ direction: 'up', name: file.name, total: file.size }, path, (id, job) => this.#send(id, job, file, false));
    }
  }

  /** Overwrites the file whose name the upload conflicts with. */
  replace(id: number): void {
    const job = this.#jobs.get(id);
    if (job !== undefined && this.#transfer(id)?.state === 'asks') this.#enqueue(id, job);
  }

  cancel(id: number): void {
    const { state } = this.#transfer(id) ?? {};
    if (state !== 'waiting' && state !== 'running' && state !== 'asks') return;
    this.#jobs.get(id)?.abort.abort();
    this.#change(id, { state: 'cancelled' });
    this.#jobs.delete(id);
  }

  close(): void {
    this.#listeners.clear();
    this.#channel?.close();
    this.#end('');
  }

  async #start(): Promise<void> {
    try {
      await this.#client.open();
      this.#set({ phase: 'open', said: '' });
    } catch {
      // The reason is reported where the channel ends.
      return;
    }
    await this.go('.');
  }

  #end(why: string): void {
    if (this.#state.phase === 'over') return;
    const told = gatewayWords(this.#words.text);
    const said = told !== null ? [told.what, told.fix].filter((text) => text !== '').join('. ') : why === '' ? 'File transfer ended' : why;
    this.#set({ phase: 'over', said, loading: false });
    this.#client.ended(new StenoError('GATEWAY_LOST', said));
    for (const { abort } of this.#jobs.values()) abort.abort();
  }

  #download(path: Uint8Array, name: string, total: number | null): void {
    this.#add({ direction: 'down', name, total }, path, async (id, { abort }) => {
      const [blobs, pieces]: [Blob[], Uint8Array<ArrayBuffer>[]] = [[], []];
      let [done, held] = [0, 0];
      for await (const bytes of this.#client.read(path)) {
        abort.signal.throwIfAborted();
        done += bytes.length;
        held += bytes.length;
        if (done > MAX_DOWNLOAD) throw new Error('It is larger than 2 GiB: use sftp');
        pieces.push(bytes as Uint8Array<ArrayBuffer>);
        if (held >= BLOB_BYTES) {
          blobs.push(new Blob(pieces.splice(0)));
          held = 0;
        }
        this.#progress(id, done);
      }
      this.#change(id, { done, total: done, state: 'done' });
      this.#parts.save(savedName(name), new Blob([...blobs, ...pieces], { type: 'application/octet-stream' }));
    });
  }

  async #send(id: number, job: Job, file: File, replace: boolean): Promise<void> {
    const { path, abort } = job;
    if (!replace) {
      const there = await this.#found(path);
      if (there?.kind === 'folder') throw new Error('A folder has this name');
      if (there !== null) {
        this.#jobs.set(id, { ...job, run: (mine, given) => this.#send(mine, given, file, true) });
        return this.#change(id, { state: 'asks' });
      }
    }
    await this.#client.write(path, file, (done) => this.#progress(id, done), abort.signal);
    this.#change(id, { done: file.size, state: 'done' });
    if (this.#state.folder !== null && !this.#state.loading) void this.go(this.#state.folder.path);
  }

  /** The entry of this name, with links followed; null if there is none. */
  async #found(path: Uint8Array): Promise<Entry | null> {
    return this.#client.stat(path).catch((error: unknown) => {
      if (error instanceof SftpRefusal && error.missing) return null;
      throw error;
    });
  }

  /** Also true for a dangling link. */
  async #isThere(path: Uint8Array): Promise<boolean> {
    if ((await this.#found(path)) !== null) return true;
    const { folder } = this.#state;
    return folder !== null && folder.entries.some(({ name }) => textOf(joined(folder.path, name)) === textOf(path));
  }

  /** Changes something in the current folder, then reloads the folder. */
  async #alter(change: (folder: Uint8Array) => Promise<void>): Promise<void> {
    const { folder } = this.#state;
    if (folder === null) return;
    this.#set({ error: '' });
    try {
      await change(folder.path);
      if (this.#state.folder?.path === folder.path && !this.#state.loading) await this.go(folder.path);
    } catch (error) {
      this.#set({ error: wordsOf(error) });
    }
  }

  #add(about: Pick<Transfer, 'direction' | 'name' | 'total'>, path: Uint8Array, run: Job['run']): void {
    if (this.#jobs.size >= MAX_TRANSFERS) return this.#set({ error: `At most ${MAX_TRANSFERS} transfers wait` });
    const id = this.#ids++;
    const kept = this.#state.transfers.filter((one) => this.#jobs.has(one.id));
    const over = this.#state.transfers.filter((one) => !this.#jobs.has(one.id)).slice(-20);
    this.#set({ transfers: [...over, ...kept, { id, ...about, done: 0, state: 'waiting', why: '' }] });
    this.#enqueue(id, { abort: new AbortController(), path, run });
  }

  #enqueue(id: number, job: Job): void {
    this.#jobs.set(id, job);
    this.#change(id, { state: 'waiting' });
    this.#queue = this.#queue.then(async () => {
      if (this.#transfer(id)?.state !== 'waiting') return;
      this.#change(id, { state: 'running' });
      try {
        await job.run(id, job);
      } catch (error) {
        if (this.#transfer(id)?.state === 'running') this.#change(id, { state: 'failed', why: wordsOf(error) });
      }
      if (this.#transfer(id)?.state !== 'asks') this.#jobs.delete(id);
    });
  }

  #told = -Infinity;
  #progress(id: number, done: number): void {
    const now = this.#parts.now();
    if (now - this.#told < PROGRESS_MS) return;
    this.#told = now;
    this.#change(id, { done });
  }

  #transfer(id: number): Transfer | undefined {
    return this.#state.transfers.find((one) => one.id === id);
  }

  /** Updates a transfer; a cancelled transfer no longer changes. */
  #change(id: number, change: Partial<Transfer>): void {
    this.#set({
      transfers: this.#state.transfers.map((one) => (one.id === id && one.state !== 'cancelled' ? { ...one, ...change } : one)),
    });
  }

  #set(change: Partial<FilesState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** Throws if the name is not valid. */
function pathOf(folder: Uint8Array, name: string): Uint8Array {
  const bytes = utf8Bytes(name);
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw new Error('That is no name');
  if (bytes.length > MAX_NAME) throw new Error('The name is too long');
  return joined(folder, bytes);
}

/** For display: invalid UTF-8 is replaced. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** A file name that cannot be mistaken for something else. */
function savedName(name: string): string {
  return name.replace(/[\p{C}\p{Zl}\p{Zp}/\\]/gu, '_').slice(0, 200) || 'file';
}

function inOrder(a: Entry, b: Entry): number {
  const folders = Number(b.kind === 'folder') - Number(a.kind === 'folder');
  return folders === 0 ? textOf(a.name).localeCompare(textOf(b.name)) : folders;
}

/** The last lines from the gateway: whom the session is waiting for, and how they join it. */
function lastLines(text: string): string {
  const lines = text.split(/\r?\n/).flatMap((line) => /^steno: +(.{1,400})$/.exec(line.trimEnd())?.[1] ?? []);
  return lines.slice(-3).join('\n');
}

function wordsOf(error: unknown): string {
  if (error instanceof StenoError) return error.detail ?? error.message;
  return error instanceof Error ? error.message : 'It failed';
}
