/**
 * Observer of git over ssh: reports the repository that was fetched from or pushed to, the refs, and the size of the pack.
 * Follows gitprotocol-common(5), gitprotocol-pack(5) and gitprotocol-v2(5): versions 0, 1 and 2, with and without
 * side-band. Reports one fact per stream, at its end; ids are never shortened, the note has at most `MAX_NOTE` characters.
 * Tested against git in git.test.ts.
 */
import type { FileFact } from '#schemas/recording/line.js';
import { Budget, fileFact, flat, plainText, textCost } from './observing/budget.js';
import { Feed, Lost, skip } from './observing/feed.js';
import type { Reading } from './observing/feed.js';
import type { Follows, Report, StreamObserver } from './observing/observer.js';

const MAX_NOTE = 4000;
const MAX_PACKET = 65_520;
/** Memory for ref names, which name the ids that a client asks for. */
const MAX_NAMES_BYTES = 64 * 1024;

export type GitProgram = 'git-upload-pack' | 'git-receive-pack' | 'git-upload-archive';

export function observeGit(program: GitProgram, args: readonly string[], report: Report): StreamObserver | null {
  const path = args.find((arg) => !arg.startsWith('-'));
  return path === undefined ? null : new GitObserver(program, path, report);
}

interface Line {
  /** Control packets have no bytes. */
  readonly control: 'flush' | 'delimiter' | 'end' | null;
  readonly bytes: Buffer;
}

class GitObserver implements StreamObserver {
  private readonly program: GitProgram;
  private readonly path: string;
  private readonly report: Report;
  private readonly requests: Feed;
  private readonly replies: Feed;
  private status: Feed | null = null;
  private readonly budget = new Budget(MAX_NAMES_BYTES);
  /** Ref names by object id. */
  private readonly names = new Map<string, string>();
  private readonly lines: string[] = [];
  private noteLength = 0;
  private more = 0;
  private packBytes = 0;
  private answered = false;
  private reported = false;
  private unpacked = false;
  private failure: string | undefined;
  private trouble: string | undefined;
  private over = false;

  constructor(program: GitProgram, path: string, report: Report) {
    this.program = program;
    this.path = path;
    this.report = report;
    this.requests = new Feed(program === 'git-receive-pack' ? this.readPush() : this.readFetch(), (reason) => this.lost(reason));
    this.replies = new Feed(this.readReplies(), (reason) => this.lost(reason));
  }

  /** The direction of the pack. The other direction is small and may carry the output of hooks, so it is always recorded. */
  get follows(): Follows {
    return this.over ? 'neither' : this.program === 'git-receive-pack' ? 'in' : 'out';
  }

  input(bytes: Buffer): void {
    this.requests.push(bytes);
  }

  output(bytes: Buffer): void {
    this.replies.push(bytes);
  }

  end(): void {
    if (this.over) return;
    this.over = true;
    this.requests.stop();
    this.replies.stop();
    this.report(this.fact());
  }

  private lost(reason: string | null): void {
    if (reason === null || this.over) return;
    this.trouble ??= reason;
    this.report({ gap: { reason: 'file_operations', detail: `not the git protocol: ${reason}` } });
    this.end();
  }

  private fact(): FileFact {
    const push = this.program === 'git-receive-pack';
    const notes = [...this.lines];
    if (this.more > 0) notes.push(`and ${this.more} more`);
    if (notes.length === 0) notes.push(push ? 'nothing was pushed' : 'no objects were requested');
    if (this.failure !== undefined) notes.unshift(this.failure);
    const unfinished =
      this.trouble !== undefined ||
      (push ? this.lines.length > 0 && this.reported && !this.unpacked : this.lines.length > 0 && this.packBytes === 0);
    return fileFact({
      protocol: 'git',
      operation: push ? 'push' : 'fetch',
      path: this.path,
      size: this.packBytes,
      note: notes.join('\n').slice(0, MAX_NOTE + 500),
      outcome: this.failure !== undefined || !this.answered ? 'failure' : unfinished ? 'unfinished' : 'success',
    });
  }

  private note(text: string): void {
    const plain = plainText(text, 500);
    if (this.noteLength + plain.length > MAX_NOTE) {
      this.more++;
    } else {
      this.noteLength += plain.length + 1;
      this.lines.push(plain);
    }
  }

  /** Reads a client of receive-pack: `old new ref`, a flush, push options if negotiated, then the pack to the end. */
  private *readPush(): Reading {
    let options = false;
    for (;;) {
      const { control, bytes } = yield* packet();
      if (control !== null) break;
      const zero = bytes.indexOf(0);
      if (zero >= 0) {
        const capabilities = ` ${bytes.toString('utf8', zero + 1).trim()} `;
        this.reported = / report-status(-v2)? /.test(capabilities);
        options = capabilities.includes(' push-options ');
      }
      const text = bytes.toString('utf8', 0, zero < 0 ? bytes.length : zero).trimEnd();
      const match = /^([0-9a-f]{40,64}) ([0-9a-f]{40,64}) (.+)$/s.exec(text);
      if (match !== null) this.note(`${match[3]} ${match[1]} ${match[2]}`);
      else if (text.startsWith('push-cert')) this.note('signed push');
    }
    if (options) {
      for (let line = yield* packet(); line.control === null; line = yield* packet()) this.note(`option ${line.bytes.toString('utf8')}`);
    }
    for (;;)
      yield {
        length: Number.MAX_SAFE_INTEGER,
        to: (slice) => {
          this.packBytes += slice.length;
        },
      };
  }

  /** Reads a client of upload-pack or upload-archive, all versions. */
  private *readFetch(): Reading {
    const seen = new Set<string>();
    for (;;) {
      const { control, bytes } = yield* packet();
      if (control !== null) continue;
      const text = bytes.toString('utf8').trimEnd();
      const match = /^(want|want-ref|argument|deepen|deepen-since|deepen-not|filter) (\S+)/.exec(text);
      if (match === null) continue;
      const [, verb, value] = match as unknown as [string, string, string];
      // Each round of negotiation repeats the wanted ids.
      if (seen.has(value)) continue;
      if (this.budget.take(textCost(value))) seen.add(flat(value));
      if (verb === 'want') this.note(`${this.names.get(value) ?? 'object'} ${value}`);
      else this.note(`${verb === 'argument' ? '' : `${verb} `}${value}`);
    }
  }

  /** Reads the node's side, all versions: advertised refs, answers, then a pack, in a side-band or bare. */
  private *readReplies(): Reading {
    for (;;) {
      const head = yield 4;
      this.answered = true;
      if (head.toString('latin1') === 'PACK' && this.program === 'git-upload-pack') {
        this.packBytes = 4;
        for (;;)
          yield {
            length: Number.MAX_SAFE_INTEGER,
            to: (slice) => {
              this.packBytes += slice.length;
            },
          };
      }
      const length = packetLength(head);
      if (length <= 4) continue;
      const band = (yield 1)[0]!;
      if (band === 1 && this.program === 'git-receive-pack') {
        this.status ??= new Feed(this.readStatus(), () => undefined);
        const { status } = this;
        yield { length: length - 5, to: (slice) => status.push(slice) };
      } else if (band === 1) {
        this.packBytes += length - 5;
        yield skip(length - 5);
      } else if (band === 2) {
        yield skip(length - 5);
      } else if (band === 3) {
        this.failure = plainText((yield length - 5).toString('utf8'));
      } else {
        this.replyLine(String.fromCharCode(band) + (yield length - 5).toString('utf8'));
      }
    }
  }

  /** Reads the status inside a side-band, which again consists of packets. */
  private *readStatus(): Reading {
    for (;;) this.replyLine((yield* packet()).bytes.toString('utf8'));
  }

  private replyLine(line: string): void {
    const text = line.trimEnd();
    const ref = /^([0-9a-f]{40,64}) ([^\0 ]+)/.exec(text);
    if (ref !== null) {
      const [, id, name] = ref as unknown as [string, string, string];
      // HEAD is advertised first; the name of the branch it points to says more.
      const known = this.names.get(id);
      if ((known === undefined || known === 'HEAD') && !name.endsWith('^{}') && this.budget.take(textCost(id) + textCost(name)))
        this.names.set(flat(id), flat(name));
    } else if (text.startsWith('ERR ')) {
      this.failure = plainText(text.slice(4));
    } else if (text.startsWith('unpack ')) {
      this.unpacked = true;
      if (text !== 'unpack ok') this.failure = plainText(text);
    } else if (text.startsWith('ng ')) {
      this.failure = plainText(`refused: ${text.slice(3)}`);
    }
  }
}

function packetLength(head: Buffer): number {
  const text = head.toString('latin1', 0, 4);
  const length = /^[0-9a-f]{4}$/i.test(text) ? Number.parseInt(text, 16) : NaN;
  if (!(length <= MAX_PACKET) || length === 3) throw new Lost('a packet has an invalid length');
  return length;
}

function* packet(): Reading<Line> {
  const length = packetLength(yield 4);
  if (length < 4) return { control: length === 0 ? 'flush' : length === 1 ? 'delimiter' : 'end', bytes: Buffer.alloc(0) };
  return { control: null, bytes: yield length - 4 };
}
