/**
 * Observer of SFTP version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions, as used by sftp, modern scp, psftp,
 * WinSCP, sshfs and Ansible. Later versions, which no OpenSSH server supports, are given up.
 *
 * Requests wait by id for their replies; the content of WRITE and DATA passes through without being held. There is one fact
 * for each file on CLOSE and one for each other operation when it is answered; attribute requests are only counted. At most
 * `MAX_REQUESTS` requests in flight are followed. Tested against OpenSSH's programs in sftp.test.ts.
 */
import type { FileFact } from '#schemas/recording/line.js';
import {
  Budget,
  MAX_OPEN_FILES,
  MAX_PATH_BYTES,
  Unfollowed,
  connectionBudget,
  fileFact,
  plainText,
  textCost,
} from '../observing/budget.js';
import { Feed, Lost, skip } from '../observing/feed.js';
import type { Passage, Reading } from '../observing/feed.js';
import type { Follows, Report, StreamObserver } from '../observing/observer.js';
import { SftpFile } from './file.js';
import { costOf, listFact, statusOf, writes } from './request.js';
import type { Directory, Pending } from './request.js';
import { KnownSizes, readNames } from './sizes.js';
import { Fields, MAX_HANDLE, MAX_PACKET, status, types } from './packets.js';

const MAX_REQUESTS = 1024;
/** Two paths and an attribute block. Every server refuses longer requests. */
const MAX_REQUEST_BODY = 2 * MAX_PATH_BYTES + 1024;
const REQUEST_COST = 96;
/** Bytes that may pass without a file or request that accounts for them; beyond this, everything is recorded (`follows`). */
const MAX_UNACCOUNTED = 1 << 20;

/** `connection`: the budget for early content that the connection's streams share. */
export function observeSftp(report: Report, connection: Budget = connectionBudget()): StreamObserver {
  return new SftpObserver(report, connection);
}

class SftpObserver implements StreamObserver {
  private readonly report: Report;
  private readonly budget = new Budget();
  private readonly early: Budget;
  private readonly sizes = new KnownSizes();
  private readonly unfollowed: Unfollowed;
  private readonly files = new Map<string, SftpFile>();
  private readonly directories = new Map<string, Directory>();
  /** Files that the client closed while requests were unanswered. */
  private readonly closing = new Set<SftpFile>();
  private readonly pending = new Map<number, { readonly cost: number; readonly request: Pending }>();
  private unaccounted = 0;
  private stats = 0;
  private statPath = '';
  private readonly requests: Feed;
  private readonly replies: Feed;

  constructor(report: Report, connection: Budget) {
    this.report = report;
    this.early = connection;
    this.unfollowed = new Unfollowed(report, `more than ${MAX_OPEN_FILES} files or ${MAX_REQUESTS} requests at a time`);
    this.requests = new Feed(this.readRequests(), (reason) => this.lost('input', reason));
    this.replies = new Feed(this.readReplies(), (reason) => this.lost('output', reason));
  }

  get follows(): Follows {
    return this.requests.active && this.replies.active && this.unaccounted <= MAX_UNACCOUNTED ? 'both' : 'neither';
  }

  input(bytes: Buffer): void {
    this.requests.push(bytes);
  }

  output(bytes: Buffer): void {
    this.replies.push(bytes);
  }

  end(): void {
    if (!this.requests.active) return;
    this.requests.stop();
    this.replies.stop();
    this.flush();
  }

  private lost(side: 'input' | 'output', reason: string | null): void {
    const feed = side === 'input' ? this.requests : this.replies;
    this.requests.stop();
    this.replies.stop();
    this.report({
      gap: {
        reason: 'file_operations',
        stream: side === 'input' ? 'in' : 'out',
        detail: `not SFTP version 3 from byte ${feed.taken} on: ${reason ?? 'ended'}`,
      },
    });
    this.flush();
  }

  /** Reports all operations that were never answered. */
  private flush(): void {
    for (const { request } of this.pending.values()) {
      if (request.kind === 'operation') this.report({ ...request.fact, outcome: 'unfinished' });
      else if (request.kind === 'open')
        this.report(
          fileFact({ protocol: 'sftp', operation: writes(request.flags) ? 'write' : 'read', path: request.path, outcome: 'unfinished' }),
        );
      else if (request.kind === 'opendir')
        this.report(fileFact({ protocol: 'sftp', operation: 'list', path: request.path, outcome: 'unfinished' }));
    }
    this.pending.clear();
    for (const file of [...this.files.values(), ...this.closing]) for (const fact of file.facts()) this.report(fact);
    for (const directory of this.directories.values()) this.report(listFact(directory, 'unfinished'));
    this.files.clear();
    this.closing.clear();
    this.directories.clear();
    if (this.stats > 0) {
      const note = this.stats > 1 ? `and ${this.stats - 1} more attribute requests` : undefined;
      this.report(fileFact({ protocol: 'sftp', operation: 'stat', path: this.statPath, note, outcome: 'success' }));
    }
    this.stats = 0;
    this.unfollowed.end();
  }

  private passOver(length: number): Passage {
    this.unaccounted += length;
    return skip(length);
  }

  // Client to node.

  private *readRequests(): Reading {
    const init = yield 9;
    const initLength = init.readUInt32BE(0);
    if (init[4] !== types.init || initLength < 5 || initLength > MAX_PACKET) throw new Lost('the client does not start with INIT');
    yield this.passOver(initLength - 5);
    for (;;) {
      const head = yield 9;
      const length = head.readUInt32BE(0);
      const type = head[4]!;
      const id = head.readUInt32BE(5);
      if (length < 5 || length > MAX_PACKET) throw new Lost(`a request of ${length} bytes`);
      if (type === types.write) {
        yield* this.readWrite(id, length - 5);
      } else if (length - 5 > MAX_REQUEST_BODY) {
        yield this.passOver(length - 5);
        this.unfollowed.add();
      } else {
        this.request(type, id, new Fields(yield length - 5));
      }
    }
  }

  private *readWrite(id: number, body: number): Reading {
    const handleLength = (yield 4).readUInt32BE(0);
    if (handleLength > MAX_HANDLE || body < 4 + handleLength + 12) throw new Lost('a WRITE is malformed');
    const head = yield handleLength + 12;
    const file = this.files.get(head.toString('latin1', 0, handleLength));
    const offset = head.readUInt32BE(handleLength) * 2 ** 32 + head.readUInt32BE(handleLength + 4);
    const length = head.readUInt32BE(handleLength + 8);
    const rest = body - 4 - handleLength - 12 - length;
    if (rest < 0) throw new Lost('a WRITE is longer than its packet');
    if (file === undefined) {
      yield this.passOver(length + rest);
      return;
    }
    this.wait(id, { kind: 'write', file });
    file.startWrite(offset, length);
    yield { length, to: (slice) => file.writes.bytes(slice) };
    file.endWrite();
    if (rest > 0) yield this.passOver(rest);
  }

  private request(type: number, id: number, fields: Fields): void {
    switch (type) {
      case types.open: {
        const path = fields.text();
        const flags = fields.u32();
        this.wait(id, { kind: 'open', path, flags, mode: fields.left >= 4 ? fields.attributes().mode : undefined });
        return;
      }
      case types.close:
        this.wait(id, { kind: 'close', handle: fields.handle() });
        return;
      case types.read: {
        const file = this.files.get(fields.handle());
        if (file !== undefined) this.wait(id, { kind: 'read', file, offset: fields.u64(), length: fields.u32() });
        return;
      }
      case types.fstat: {
        this.stats++;
        const file = this.files.get(fields.handle());
        if (file === undefined) return;
        if (this.stats === 1) this.statPath = file.path;
        this.wait(id, { kind: 'fstat', file });
        return;
      }
      case types.fsetstat: {
        const file = this.files.get(fields.handle());
        const { size, mode } = fields.attributes();
        if (file === undefined) return;
        if (size !== undefined) file.resize(size);
        this.wait(id, { kind: 'fsetstat', file, resized: size !== undefined, mode });
        return;
      }
      case types.lstat:
      case types.stat: {
        const path = fields.text();
        if (this.stats++ === 0) this.statPath = path;
        this.ask(id, { kind: 'stat', path });
        return;
      }
      case types.opendir:
        this.wait(id, { kind: 'opendir', path: fields.text() });
        return;
      case types.readdir: {
        const directory = this.directories.get(fields.handle());
        if (directory !== undefined) this.wait(id, { kind: 'readdir', directory });
        return;
      }
      case types.setstat: {
        const path = fields.text();
        this.setstat(id, path, fields);
        return;
      }
      case types.remove:
        this.operation(id, 'remove', fields.text());
        return;
      case types.mkdir:
        this.operation(id, 'mkdir', fields.text());
        return;
      case types.rmdir:
        this.operation(id, 'rmdir', fields.text());
        return;
      case types.rename:
        this.operation(id, 'rename', fields.text(), fields.text());
        return;
      case types.symlink: {
        // OpenSSH's order, which clients follow, differs from the draft's: the target comes first.
        const target = fields.text();
        this.operation(id, 'symlink', fields.text(), target);
        return;
      }
      case types.extended:
        this.extended(id, fields.text(), fields);
        return;
      case types.realpath:
      case types.readlink:
        return;
      default:
        throw new Lost(`a request of unknown type ${type}`);
    }
  }

  /** OpenSSH's PROTOCOL, sections 4.3 to 4.12. Extensions that do not touch a file are ignored. */
  private extended(id: number, name: string, fields: Fields): void {
    switch (name) {
      case 'posix-rename@openssh.com':
        this.operation(id, 'rename', fields.text(), fields.text());
        return;
      case 'hardlink@openssh.com': {
        const target = fields.text();
        this.operation(id, 'link', fields.text(), target);
        return;
      }
      case 'lsetstat@openssh.com': {
        const path = fields.text();
        this.setstat(id, path, fields);
        return;
      }
      case 'copy-data': {
        const from = this.files.get(fields.handle());
        fields.u64();
        fields.u64();
        const to = this.files.get(fields.handle());
        to?.writes.breakDigest(`copied on the node from ${plainText(from?.path ?? 'a file not followed')}`);
        return;
      }
    }
  }

  private setstat(id: number, path: string, fields: Fields): void {
    const { size, mode, others } = fields.attributes();
    if (size !== undefined) this.sizes.forget(path);
    this.wait(id, {
      kind: 'operation',
      fact: fileFact({
        protocol: 'sftp',
        operation: 'setstat',
        path,
        size,
        mode,
        note: others.length > 0 ? others.join(', ') : undefined,
        outcome: 'unfinished',
      }),
    });
  }

  private operation(id: number, operation: FileFact['operation'], path: string, target?: string): void {
    this.sizes.forget(path);
    if (target !== undefined) this.sizes.forget(target);
    this.wait(id, {
      kind: 'operation',
      fact: fileFact({ protocol: 'sftp', operation, path, target, outcome: 'unfinished' }),
    });
  }

  private wait(id: number, request: Pending): void {
    if (this.ask(id, request)) return;
    this.unfollowed.add();
    if (request.kind === 'read') request.file.reads.breakDigest('too many requests at a time');
    if (request.kind === 'write') request.file.writes.breakDigest('too many requests at a time');
  }

  /** Returns false if there is no room to follow the request. */
  private ask(id: number, request: Pending): boolean {
    const cost = REQUEST_COST + costOf(request);
    // If a client reuses an id before its reply, the new request is not followed and the reply counts for the older one.
    if (this.pending.size >= MAX_REQUESTS || this.pending.has(id) || !this.budget.take(cost)) return false;
    if ('file' in request) request.file.waiting++;
    this.pending.set(id, { cost, request });
    return true;
  }

  // Node to client.

  private *readReplies(): Reading {
    const version = yield 9;
    const versionLength = version.readUInt32BE(0);
    if (version[4] !== types.version || versionLength < 5 || versionLength > MAX_PACKET)
      throw new Lost('the node does not start with VERSION');
    if (version.readUInt32BE(5) !== 3) throw new Lost(`version ${version.readUInt32BE(5)}`);
    yield this.passOver(versionLength - 5);
    for (;;) {
      const head = yield 9;
      const length = head.readUInt32BE(0);
      const type = head[4]!;
      const id = head.readUInt32BE(5);
      if (length < 5 || length > MAX_PACKET) throw new Lost(`a reply of ${length} bytes`);
      const waiting = this.pending.get(id);
      if (waiting !== undefined) {
        this.pending.delete(id);
        this.budget.give(waiting.cost);
      }
      const request = waiting?.request;
      if (request !== undefined && 'file' in request) request.file.waiting--;
      let rest = length - 5;
      switch (type) {
        case types.data: {
          if (rest < 4) throw new Lost('a DATA is malformed');
          const size = (yield 4).readUInt32BE(0);
          rest -= 4;
          if (size > rest) throw new Lost('a DATA is longer than its packet');
          if (request?.kind === 'read') {
            const { file, offset } = request;
            file.reads.startPiece(offset, size);
            yield { length: size, to: (slice) => file.reads.bytes(slice) };
            file.reads.endPiece();
            if (size < request.length) file.shortRead(offset + size, offset + request.length);
            rest -= size;
          }
          break;
        }
        case types.status: {
          const body = Math.min(rest, 1024);
          const bytes = yield body;
          rest -= body;
          if (request !== undefined) this.answered(request, ...statusOf(bytes));
          break;
        }
        case types.handle: {
          if (rest > 4 + MAX_HANDLE) throw new Lost('a handle is too long');
          const handle = new Fields(yield rest).handle();
          rest = 0;
          if (request !== undefined) this.opened(request, handle);
          break;
        }
        case types.name: {
          if (rest < 4) throw new Lost('a NAME is malformed');
          const count = (yield 4).readUInt32BE(0);
          rest -= 4;
          if (request?.kind === 'readdir') {
            const { directory } = request;
            directory.entries += count;
            rest = yield* readNames(count, rest, (name, size) => this.sizes.set(`${directory.path}/${name}`, size));
          }
          break;
        }
        case types.attrs: {
          const body = Math.min(rest, 1024);
          const fields = new Fields(yield body);
          rest -= body;
          if (request?.kind === 'fstat') request.file.statSize = fields.attributes().size;
          else if (request?.kind === 'stat') this.known(request.path, fields.attributes().size);
          break;
        }
        case types.extendedReply:
          break;
        default:
          throw new Lost(`a reply of unknown type ${type}`);
      }
      if (rest > 0) yield request?.kind === 'readdir' ? skip(rest) : this.passOver(rest);
      if (request !== undefined && 'file' in request) this.settle(request.file);
    }
  }

  private answered(request: Pending, code: number, text: string): void {
    const ok = code === status.ok;
    switch (request.kind) {
      case 'open':
      case 'opendir':
        this.report(
          fileFact({
            protocol: 'sftp',
            operation: request.kind === 'opendir' ? 'list' : writes(request.flags) ? 'write' : 'read',
            path: request.path,
            outcome: 'failure',
            note: text,
          }),
        );
        return;
      case 'close': {
        const directory = this.directories.get(request.handle);
        if (directory !== undefined) {
          this.directories.delete(request.handle);
          this.budget.give(directory.cost);
          this.report(listFact(directory, ok ? 'success' : 'failure'));
          return;
        }
        const file = this.files.get(request.handle);
        if (file === undefined) return;
        this.files.delete(request.handle);
        file.closed = true;
        if (!ok) file.failure ??= text;
        this.closing.add(file);
        this.settle(file);
        return;
      }
      case 'read':
        if (code === status.eof) request.file.endOfFile = Math.min(request.file.endOfFile ?? Infinity, request.offset);
        else if (!ok) request.file.failure ??= text;
        return;
      case 'write':
        if (!ok) request.file.failure ??= text;
        return;
      case 'fsetstat':
        if (ok) request.file.mode = request.mode ?? request.file.mode;
        else if (request.resized) request.file.resizeFailed();
        return;
      case 'operation':
        this.report({ ...request.fact, outcome: ok ? 'success' : 'failure', ...(ok ? {} : { note: text }) });
        return;
      case 'fstat':
      case 'readdir':
      case 'stat':
        return;
    }
  }

  private known(path: string, size: number | undefined): void {
    if (size === undefined) this.sizes.forget(path);
    else this.sizes.set(path, size);
  }

  private opened(request: Pending, handle: string): void {
    if (request.kind !== 'open' && request.kind !== 'opendir') return;
    const cost = textCost(request.path) + textCost(handle) + 512;
    const known = this.files.has(handle) || this.directories.has(handle);
    if (known || this.files.size + this.closing.size + this.directories.size >= MAX_OPEN_FILES || !this.budget.take(cost)) {
      this.unfollowed.add();
      this.report(
        fileFact({
          protocol: 'sftp',
          operation: 'open',
          path: request.path,
          outcome: 'success',
          note: 'not followed: too many files are open',
        }),
      );
    } else if (request.kind === 'open') {
      this.files.set(handle, new SftpFile(request.path, request.flags, request.mode, this.early, cost, this.sizes.get(request.path)));
      if (writes(request.flags)) this.sizes.forget(request.path);
    } else {
      this.directories.set(handle, { path: request.path, cost, entries: 0 });
    }
  }

  /** Reports a file once it is closed and all its requests are answered. */
  private settle(file: SftpFile): void {
    if (!file.closed || file.waiting > 0 || !this.closing.delete(file)) return;
    for (const fact of file.facts()) this.report(fact);
    this.budget.give(file.cost);
  }
}
