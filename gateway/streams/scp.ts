/**
 * Observer of the old scp protocol (`scp -O`, and clients before OpenSSH 9): `scp -t` writes to the node, `scp -f`
 * reads from it. There is no specification; this follows `source()` and `sink()` of openssh-portable's scp.c.
 *
 * ```
 *   source  T<mtime> 0 <atime> 0 | C<mode> <size> <name> | D<mode> 0 <name> | E | 1<warning> | 2<error>    lines
 *   sink    0 | 1<message> | 2<message>     before the first line, after each line, after each file's bytes
 * ```
 * Both sides wait for each other, so the answer to a line is known when the next byte of the source arrives. The protocol
 * does not tell whether the target of a single file is a directory; a note then says so.
 * Tested against OpenSSH's scp in scp.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { Budget, MAX_PATH_BYTES, fileFact, plainText, textCost } from './observing/budget.js';
import { baseName } from './observing/command.js';
import { Feed, Lost } from './observing/feed.js';
import type { Reading } from './observing/feed.js';
import type { Follows, Report, StreamObserver } from './observing/observer.js';

const MAX_LINE = MAX_PATH_BYTES + 64;

/** `null` if the arguments are not those of scp's far end. */
export function observeScp(args: readonly string[], report: Report): StreamObserver | null {
  let flags = '';
  let at = 0;
  for (; at < args.length && args[at]!.startsWith('-') && args[at] !== '-'; at++) {
    if (args[at] === '--') {
      at++;
      break;
    }
    flags += args[at]!.slice(1);
  }
  const paths = args.slice(at);
  const writing = flags.includes('t');
  if (writing === flags.includes('f') || paths.length === 0 || (writing && paths.length > 1)) return null;
  return new ScpObserver(writing, flags.includes('d'), paths, report);
}

interface Place {
  readonly path: string;
  readonly note?: string;
}

interface Transfer {
  readonly place: Place;
  readonly size: number;
  readonly mode: number;
  readonly hash: Hash;
  /** Answers received: one to the file's line, one to its end. */
  answers: number;
  moved: number;
  failure: string | undefined;
}

class ScpObserver implements StreamObserver {
  private readonly writing: boolean;
  private readonly intoDirectory: boolean;
  private readonly paths: readonly string[];
  private readonly sources: ReadonlyMap<string, string | null>;
  private readonly sourceFolder: string | undefined;
  private readonly report: Report;
  private readonly source: Feed;
  private readonly sink: Feed;
  private readonly budget = new Budget();
  private readonly directories: Place[] = [];
  private topLevel = 0;
  private transfer: Transfer | null = null;
  private entering: { readonly place: Place; readonly mode: number } | null = null;
  /** The sink's last answer; `null` before the first one. */
  private answer: { readonly code: number; readonly text: string } | null = null;
  private over = false;

  constructor(writing: boolean, intoDirectory: boolean, paths: readonly string[], report: Report) {
    this.writing = writing;
    this.intoDirectory = intoDirectory;
    this.paths = paths;
    const bare = paths.map((path) => path.replace(/(.)\/+$/, '$1'));
    this.sources = byName(bare);
    this.sourceFolder = onlyFolder(bare);
    this.report = report;
    this.source = new Feed(this.readSource(), (reason) => this.lost(reason));
    this.sink = new Feed(this.readSink(), (reason) => this.lost(reason));
  }

  get follows(): Follows {
    return this.over ? 'neither' : this.writing ? 'in' : 'out';
  }

  input(bytes: Buffer): void {
    (this.writing ? this.source : this.sink).push(bytes);
  }

  output(bytes: Buffer): void {
    (this.writing ? this.sink : this.source).push(bytes);
  }

  end(): void {
    if (this.over) return;
    this.over = true;
    this.source.stop();
    this.sink.stop();
    this.finishTransfer(true);
  }

  private lost(reason: string | null): void {
    if (this.over) return;
    this.report({ gap: { reason: 'file_operations', detail: `not the scp protocol: ${reason ?? 'ended'}` } });
    this.end();
  }

  private *readSource(): Reading {
    let first = (yield 1)[0]!;
    for (;;) {
      switch (String.fromCharCode(first)) {
        case 'T':
          yield* line();
          first = yield* this.nextAfterAnswer();
          break;
        case 'E':
          yield* line();
          this.leave();
          first = yield* this.nextAfterAnswer();
          break;
        case 'D': {
          const { mode, name } = parseRecord(yield* line());
          const place = this.place(name);
          this.entering = { place, mode };
          first = yield* this.nextAfterAnswer();
          if (this.refusal() === undefined) {
            if (!this.budget.take(textCost(place.path))) throw new Lost('directories are too deep');
            this.directories.push(place);
          }
          break;
        }
        case 'C': {
          const { mode, size, name } = parseRecord(yield* line());
          const transfer: Transfer = {
            place: this.place(name),
            size,
            mode,
            hash: createHash('sha256'),
            answers: 0,
            moved: 0,
            failure: undefined,
          };
          this.transfer = transfer;
          first = yield* this.nextAfterAnswer();
          if (this.refusal() !== undefined) break;
          if (size > 0) {
            transfer.hash.update(Buffer.of(first));
            transfer.moved = 1;
            yield {
              length: size - 1,
              to: (slice) => {
                transfer.hash.update(slice);
                transfer.moved += slice.length;
              },
            };
            first = (yield 1)[0]!;
          }
          this.answer = null;
          if (first === 1 || first === 2) transfer.failure = plainText(yield* line());
          else if (first !== 0) throw new Lost('a file does not end with its status');
          first = (yield 1)[0]!;
          break;
        }
        case '\u0001':
        case '\u0002': {
          const text = plainText(yield* line());
          const place = this.paths.length === 1 ? this.paths[0]! : this.paths.join(' ');
          this.report(
            fileFact({ protocol: 'scp', operation: this.writing ? 'write' : 'read', path: place, outcome: 'failure', note: text }),
          );
          first = (yield 1)[0]!;
          break;
        }
        default:
          throw new Lost('a line of unknown type');
      }
    }
  }

  private leave(): void {
    const left = this.directories.pop();
    if (left !== undefined) this.budget.give(textCost(left.path));
  }

  private *nextAfterAnswer(): Reading<number> {
    this.answer = null;
    return (yield 1)[0]!;
  }

  /** The sink's answer to the previous line, if it refused. Without any answer this is not scp. */
  private refusal(): string | undefined {
    if (this.answer === null) throw new Lost('a line was not answered');
    return this.answer.code === 0 ? undefined : this.answer.text;
  }

  private *readSink(): Reading {
    for (;;) {
      const code = (yield 1)[0]!;
      if (code > 2) throw new Lost('an answer of unknown type');
      this.answer = { code, text: code === 0 ? '' : plainText(yield* line()) };
      const refused = code === 0 ? undefined : this.answer.text;
      const { transfer, entering } = this;
      if (entering !== null) {
        this.entering = null;
        this.report(
          fileFact({
            protocol: 'scp',
            operation: this.writing ? 'mkdir' : 'list',
            path: entering.place.path,
            mode: entering.mode,
            outcome: refused === undefined ? 'success' : 'failure',
            note: refused ?? entering.place.note ?? (this.writing ? 'or it existed already' : undefined),
          }),
        );
      } else if (transfer !== null) {
        transfer.failure ??= refused;
        // A refusal is the last answer about a file, and often the last of the session.
        if (++transfer.answers === 2 || refused !== undefined) this.finishTransfer(false);
      }
    }
  }

  private finishTransfer(ended: boolean): void {
    const { transfer } = this;
    if (transfer === null) return;
    this.transfer = null;
    const { place, mode, size, moved, failure } = transfer;
    const whole = moved === size && failure === undefined && !ended;
    this.report(
      fileFact({
        protocol: 'scp',
        operation: this.writing ? 'write' : 'read',
        path: place.path,
        size: moved,
        mode,
        sha256: whole ? transfer.hash.digest('hex') : undefined,
        outcome: failure !== undefined ? 'failure' : whole ? 'success' : 'unfinished',
        note: failure ?? (moved < size ? `${moved} of ${size} bytes` : place.note),
      }),
    );
  }

  private place(name: string): Place {
    const parent = this.directories.at(-1);
    if (parent !== undefined) return { path: join(parent.path, name), ...(parent.note === undefined ? {} : { note: parent.note }) };
    this.topLevel++;
    return this.writing ? this.placeBelowTarget(name) : this.placeOfSource(name);
  }

  private placeBelowTarget(name: string): Place {
    const target = this.paths[0]!;
    // More than one entry can only go into a directory.
    if (this.intoDirectory || this.topLevel > 1 || /(^|\/)\.{0,2}$/.test(target)) return { path: join(target, name) };
    return { path: target, note: `sent as ${plainText(name)}: below the path if that is a directory` };
  }

  private placeOfSource(name: string): Place {
    const path = this.sources.get(name);
    if (path !== undefined && path !== null) return { path };
    if (path === undefined && this.sourceFolder !== undefined) return { path: this.sourceFolder + name };
    return { path: name, note: plainText(`of ${this.paths.join(' ').slice(0, 300)}`) };
  }
}

/** The paths of `scp -f` by their last component; `null` if two share it. */
function byName(paths: readonly string[]): ReadonlyMap<string, string | null> {
  const sources = new Map<string, string | null>();
  for (const path of paths) sources.set(baseName(path), sources.has(baseName(path)) ? null : path);
  return sources;
}

/** The folder that contains all paths, unless globs leave it uncertain. */
function onlyFolder(paths: readonly string[]): string | undefined {
  const folders = new Set(paths.map((path) => path.slice(0, path.lastIndexOf('/') + 1)));
  const [folder] = folders;
  return folders.size === 1 && !/[*?[\]{}$]/.test(folder!) ? folder : undefined;
}

function join(folder: string, name: string): string {
  if (folder === '') return name;
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`;
}

/** The rest of a line, without its newline. */
function* line(): Reading<string> {
  const bytes: number[] = [];
  for (;;) {
    const byte = (yield 1)[0]!;
    if (byte === 10) return Buffer.from(bytes).toString('utf8');
    if (bytes.length >= MAX_LINE) throw new Lost('a line is too long');
    bytes.push(byte);
  }
}

/** Parses `0644 1234 name`, the rest of a line after its letter. */
function parseRecord(text: string): { readonly mode: number; readonly size: number; readonly name: string } {
  const match = /^([0-7]{4,5}) (\d{1,16}) ([^/\0]+)$/s.exec(text);
  const size = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(size)) throw new Lost('a line is malformed');
  return { mode: Number.parseInt(match[1]!, 8) & 0o7777, size, name: match[3]! };
}
