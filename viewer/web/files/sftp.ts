/**
 * An SFTP client over a channel: lists and makes folders; reads, writes, renames and removes files; with a bounded number of requests
 * in flight.
 *
 *     opening ──VERSION──► open ──the channel ends, or a malformed reply──► over: every call fails with the reason
 *
 * It depends on neither DOM nor SSH. Tested in test/end-to-end/page-ssh.test.ts against OpenSSH.
 */
import { StenoError } from '#schemas/base/errors.js';
import { concatBytes, utf8Bytes } from '#schemas/ssh/wire.js';
import { OPEN, ReplyBuffer, initPacket, requestPacket } from './packets.js';
import type { Attributes, Reply, Request } from './packets.js';

/** Bytes per read or write, a size that every server accepts, and the number of requests in flight. */
const CHUNK = 32 * 1024;
const AHEAD = 24;
/** Entries of a folder beyond this are not listed. */
export const MAX_ENTRIES = 2_000;

const [NO_MORE, KIND, FOLDER, FILE, LINK] = [1, 0o170_000, 0o040_000, 0o100_000, 0o120_000];
const words: Readonly<Record<number, string>> = {
  2: 'There is no such file',
  3: 'The node does not permit it',
  4: 'The node says that it failed',
  8: 'The node cannot do that',
};

/** The node refused a request; the channel stays open. */
export class SftpRefusal extends Error {
  readonly missing: boolean;

  constructor(code: number) {
    super(words[code] ?? `The node refused it (status ${code})`);
    this.missing = code === 2;
  }
}

export type FileKind = 'folder' | 'file' | 'link' | 'other';

export interface Entry {
  readonly name: Uint8Array;
  readonly kind: FileKind;
  /** Bytes. */
  readonly size: number | null;
  /** ms since 1970. */
  readonly modified: number | null;
}

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

export class SftpClient {
  readonly #send: (bytes: Uint8Array) => boolean;
  readonly #buffer = new ReplyBuffer();
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #over: Error | null = null;
  #opening: Waiting | null = null;

  /** `send` returns false when too much is already waiting. */
  constructor(send: (bytes: Uint8Array) => boolean) {
    this.#send = send;
  }

  /** Negotiates the version; nothing may be requested before. */
  async open(): Promise<void> {
    await new Promise<Reply>((resolve, reject) => {
      this.#opening = { resolve, reject };
      if (this.#over !== null) reject(this.#over);
      else this.#send(initPacket());
    });
  }

  /** Throws SSH_PROTOCOL, after which the channel is unusable. */
  receive(bytes: Uint8Array): void {
    if (this.#over !== null) return;
    this.#buffer.put(bytes);
    try {
      for (let reply = this.#buffer.next(); reply !== null; reply = this.#buffer.next()) this.#take(reply);
    } catch (error) {
      this.ended(error instanceof Error ? error : new StenoError('SSH_PROTOCOL'));
      throw error;
    }
  }

  /** The channel has ended: all calls fail with this error. */
  ended(why: Error): void {
    if (this.#over !== null) return;
    this.#over = why;
    this.#opening?.reject(why);
    for (const { reject } of this.#waiting.values()) reject(why);
    this.#waiting.clear();
  }

  /** The absolute path of a name; `.` is the directory in which sessions start. */
  async realPath(path: Uint8Array): Promise<Uint8Array> {
    const reply = await this.#ask({ kind: 'realpath', path });
    const name = reply.kind === 'name' ? reply.names[0]?.name : undefined;
    return name ?? wrong();
  }

  async stat(path: Uint8Array): Promise<Entry> {
    const reply = await this.#ask({ kind: 'stat', path });
    return reply.kind === 'attrs' ? entryOf(path, reply.attributes) : wrong();
  }

  /** `cut`: whether there are more than `MAX_ENTRIES`. */
  async list(path: Uint8Array): Promise<{ readonly entries: readonly Entry[]; readonly cut: boolean }> {
    const handle = await this.#handle({ kind: 'opendir', path });
    const entries: Entry[] = [];
    try {
      while (entries.length <= MAX_ENTRIES) {
        const reply = await this.#askOrEnd({ kind: 'readdir', handle });
        if (reply === null) break;
        if (reply.kind !== 'name') return wrong();
        for (const { name, ...attributes } of reply.names) if (!isDots(name)) entries.push(entryOf(name, attributes));
      }
    } finally {
      this.#forget(handle);
    }
    return { entries: entries.slice(0, MAX_ENTRIES), cut: entries.length > MAX_ENTRIES };
  }

  /** The bytes of a file in order, up to its end at the time the end is reached. */
  async *read(path: Uint8Array): AsyncGenerator<Uint8Array, void> {
    const handle = await this.#handle({ kind: 'open', path, flags: OPEN.read });
    const ahead: Promise<Uint8Array>[] = [];
    let offset = 0;
    const ask = (): void => {
      const range = this.#range(handle, offset);
      // A caller that stops early does not wait for the rest.
      range.catch(() => undefined);
      ahead.push(range);
      offset += CHUNK;
    };
    try {
      for (let i = 0; i < AHEAD; i++) ask();
      for (let first = ahead.shift(); first !== undefined; first = ahead.shift()) {
        const bytes = await first;
        if (bytes.length > 0) yield bytes;
        if (bytes.length < CHUNK) return;
        ask();
      }
    } finally {
      this.#forget(handle);
    }
  }

  /** Writes a file from scratch. `written`: number of bytes that the node has. Bytes already written stay on the node if this fails. */
  async write(path: Uint8Array, content: Blob, written: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    const handle = await this.#handle({ kind: 'open', path, flags: OPEN.write | OPEN.create | OPEN.truncate });
    const ahead: Promise<number>[] = [];
    let done = 0;
    const settle = async (): Promise<void> => {
      signal.throwIfAborted();
      done += await ahead.shift()!;
      written(done);
    };
    try {
      for (let offset = 0; offset < content.size; offset += CHUNK) {
        signal.throwIfAborted();
        const bytes = new Uint8Array(await content.slice(offset, offset + CHUNK).arrayBuffer());
        const one = this.#ask({ kind: 'write', handle, offset, bytes })
          .then(accepted)
          .then(() => bytes.length);
        one.catch(() => undefined);
        ahead.push(one);
        if (ahead.length >= AHEAD) await settle();
      }
      while (ahead.length > 0) await settle();
    } catch (error) {
      this.#forget(handle);
      throw error;
    }
    // Some servers report a full disk only now.
    accepted(await this.#ask({ kind: 'close', handle }));
  }

  async makeFolder(path: Uint8Array): Promise<void> {
    accepted(await this.#ask({ kind: 'mkdir', path }));
  }

  /** Fails if `to` exists. */
  async rename(path: Uint8Array, to: Uint8Array): Promise<void> {
    accepted(await this.#ask({ kind: 'rename', path, to }));
  }

  /** Removes a file, a link itself, or an empty folder. */
  async remove(path: Uint8Array, kind: FileKind): Promise<void> {
    accepted(await this.#ask({ kind: kind === 'folder' ? 'rmdir' : 'remove', path }));
  }

  /** `CHUNK` bytes from `offset` on, fewer only at the end of the file: servers may return less than was requested. */
  async #range(handle: Uint8Array, offset: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let have = 0;
    while (have < CHUNK) {
      const reply = await this.#askOrEnd({ kind: 'read', handle, offset: offset + have, length: CHUNK - have });
      if (reply === null) break;
      if (reply.kind !== 'data' || reply.bytes.length === 0 || reply.bytes.length > CHUNK - have) return wrong();
      pieces.push(reply.bytes);
      have += reply.bytes.length;
    }
    return pieces.length === 1 ? pieces[0]! : concatBytes(...pieces);
  }

  async #handle(request: Request): Promise<Uint8Array> {
    const reply = await this.#ask(request);
    return reply.kind === 'handle' ? reply.handle : wrong();
  }

  #forget(handle: Uint8Array): void {
    this.#ask({ kind: 'close', handle }).catch(() => undefined);
  }

  /** Null at the end of the file or the listing. */
  async #askOrEnd(request: Request): Promise<Reply | null> {
    const reply = await this.#askAnyhow(request);
    if (reply.kind !== 'status') return reply;
    if (reply.code === NO_MORE) return null;
    throw new SftpRefusal(reply.code);
  }

  async #ask(request: Request): Promise<Reply> {
    const reply = await this.#askAnyhow(request);
    if (reply.kind === 'status' && reply.code !== 0) throw new SftpRefusal(reply.code);
    return reply;
  }

  #askAnyhow(request: Request): Promise<Reply> {
    if (this.#over !== null) return Promise.reject(this.#over);
    const id = this.#next;
    this.#next = (this.#next + 1) >>> 0;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      if (this.#send(requestPacket(id, request))) return;
      this.#waiting.delete(id);
      reject(new StenoError('SSH_PROTOCOL', 'it does not read what is sent'));
    });
  }

  #take(reply: Reply): void {
    if (reply.kind === 'version') {
      if (this.#opening === null) return wrong();
      this.#opening.resolve(reply);
      this.#opening = null;
      return;
    }
    const waiting = this.#waiting.get(reply.id) ?? wrong();
    this.#waiting.delete(reply.id);
    waiting.resolve(reply);
  }
}

function accepted(reply: Reply): void {
  if (reply.kind !== 'status') wrong();
}

function wrong(): never {
  throw new StenoError('SSH_PROTOCOL', 'the node answers what was not asked');
}

function isDots(name: Uint8Array): boolean {
  return name.length <= 2 && name.every((byte) => byte === 0x2e);
}

function entryOf(name: Uint8Array, { size, mode, modified }: Attributes): Entry {
  const kinds: Readonly<Record<number, FileKind>> = { [FOLDER]: 'folder', [FILE]: 'file', [LINK]: 'link' };
  const kind = mode === null ? 'other' : (kinds[mode & KIND] ?? 'other');
  return { name, kind, size: kind === 'file' ? size : null, modified: modified === null ? null : modified * 1000 };
}

/** The path of a name in a folder. */
export function joined(folder: Uint8Array, name: Uint8Array): Uint8Array {
  return folder.at(-1) === 0x2f ? concatBytes(folder, name) : concatBytes(folder, utf8Bytes('/'), name);
}
