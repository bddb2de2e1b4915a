/**
 * Reads the files that an sftp session carried, from its two recorded directions (draft-ietf-secsh-filexfer-02, version 3).
 *
 * Follows content only: OPEN and HANDLE name a file, WRITE holds its bytes, DATA answers READ, CLOSE ends it. The gateway recorded
 * size and digest of each file as it passed (gateway/streams/sftp/); here files are identified by that digest. Each direction is
 * recorded in order, but a response may precede the end of its request in the recording, because an incomplete character is held
 * for up to 100 ms: such responses wait. Bounds: `MAX_PACKET` bytes, `MAX_OPEN` requests and handles. Tested in
 * recorded-files.test.ts.
 */
import { Pieces } from './carried.js';
import type { Carried, Carrying } from './carried.js';

const MAX_PACKET = 4 << 20;
const MAX_OPEN = 65_536;
const [OPEN, CLOSE, READ, WRITE, STATUS, HANDLE, DATA] = [3, 4, 5, 6, 101, 102, 103];
const SSH_FXF_WRITE = 2;

type Question =
  | { readonly kind: 'open'; readonly path: string; readonly operation: 'read' | 'write' }
  | { readonly kind: 'read'; readonly handle: string; readonly offset: number };
type Answer =
  { readonly kind: 'handle'; readonly handle: string } | { readonly kind: 'data'; readonly bytes: Buffer } | { readonly kind: 'none' };

export class SftpContent {
  readonly #carrying: Carrying;
  readonly #in = new Pieces(MAX_PACKET + 4);
  readonly #out = new Pieces(MAX_PACKET + 4);
  readonly #asked = new Map<number, Question>();
  readonly #early = new Map<number, Answer>();
  readonly #open = new Map<string, Carried>();
  /** Closed while responses were still expected. */
  readonly #closing = new Map<string, Carried>();

  constructor(carrying: Carrying) {
    this.#carrying = carrying;
  }

  input(bytes: Buffer): void {
    for (const packet of packets(this.#in, bytes)) this.#question(packet);
  }

  output(bytes: Buffer): void {
    for (const packet of packets(this.#out, bytes)) this.#answered(packet);
  }

  end(): void {
    for (const file of [...this.#closing.values(), ...this.#open.values()]) file.end();
    this.#closing.clear();
    this.#open.clear();
  }

  #question(packet: Buffer): void {
    const type = packet[0]!;
    if (type !== OPEN && type !== CLOSE && type !== READ && type !== WRITE) return;
    const reader = new Reader(packet, 1);
    const id = reader.u32();
    const name = reader.string();
    if (id === null || name === null) return this.#in.lose();
    const handle = name.toString('latin1');
    switch (type) {
      case OPEN: {
        const flags = reader.u32() ?? 0;
        return this.#ask(id, { kind: 'open', path: name.toString('utf8'), operation: (flags & SSH_FXF_WRITE) === 0 ? 'read' : 'write' });
      }
      case READ: {
        const offset = reader.u64();
        if (offset !== null) this.#ask(id, { kind: 'read', handle, offset });
        return;
      }
      case WRITE: {
        const offset = reader.u64();
        const bytes = reader.string();
        if (offset !== null && bytes !== null) this.#open.get(handle)?.piece(offset, bytes);
        return;
      }
      default: {
        const file = this.#open.get(handle);
        if (file === undefined) return;
        this.#open.delete(handle);
        if ([...this.#asked.values()].some((asked) => asked.kind === 'read' && asked.handle === handle)) this.#closing.set(handle, file);
        else file.end();
      }
    }
  }

  #answered(packet: Buffer): void {
    const type = packet[0]!;
    if (type !== STATUS && type !== HANDLE && type !== DATA) return;
    const reader = new Reader(packet, 1);
    const id = reader.u32();
    const bytes = type === STATUS ? Buffer.alloc(0) : reader.string();
    if (id === null || bytes === null) return this.#out.lose();
    const answer: Answer =
      type === HANDLE ? { kind: 'handle', handle: bytes.toString('latin1') } : type === DATA ? { kind: 'data', bytes } : { kind: 'none' };
    const question = this.#asked.get(id);
    if (question !== undefined) {
      this.#asked.delete(id);
      return this.#settle(question, answer);
    }
    // Requests that are not followed are not remembered, so keep only responses that carry content.
    if (answer.kind !== 'none' && this.#early.size < MAX_OPEN) this.#early.set(id, answer);
  }

  #ask(id: number, question: Question): void {
    const early = this.#early.get(id);
    if (early !== undefined) {
      this.#early.delete(id);
      return this.#settle(question, early);
    }
    if (this.#asked.size < MAX_OPEN) this.#asked.set(id, question);
  }

  #settle(question: Question, answer: Answer): void {
    if (question.kind === 'open') {
      if (answer.kind === 'handle' && this.#open.size < MAX_OPEN)
        this.#open.set(answer.handle, this.#carrying.begin(question.operation, question.path, null));
      return;
    }
    const { handle, offset } = question;
    if (answer.kind === 'data') (this.#open.get(handle) ?? this.#closing.get(handle))?.piece(offset, answer.bytes);
    const closing = this.#closing.get(handle);
    if (closing === undefined || [...this.#asked.values()].some((asked) => asked.kind === 'read' && asked.handle === handle)) return;
    this.#closing.delete(handle);
    closing.end();
  }
}

function* packets(pieces: Pieces, bytes: Buffer): Generator<Buffer> {
  pieces.push(bytes);
  while (!pieces.lost && pieces.length >= 4) {
    const length = pieces.held.readUInt32BE(0);
    if (length === 0 || length > MAX_PACKET) return pieces.lose();
    if (pieces.length < 4 + length) return pieces.bound();
    pieces.take(4);
    yield pieces.take(length);
  }
}

class Reader {
  readonly #packet: Buffer;
  #at: number;

  constructor(packet: Buffer, at: number) {
    this.#packet = packet;
    this.#at = at;
  }

  u32(): number | null {
    if (this.#at + 4 > this.#packet.length) return null;
    this.#at += 4;
    return this.#packet.readUInt32BE(this.#at - 4);
  }

  /** Null for an impossible offset. */
  u64(): number | null {
    const [high, low] = [this.u32(), this.u32()];
    return high === null || low === null || high >= 1 << 20 ? null : high * 2 ** 32 + low;
  }

  string(): Buffer | null {
    const length = this.u32();
    if (length === null || this.#at + length > this.#packet.length) return null;
    this.#at += length;
    return this.#packet.subarray(this.#at - length, this.#at);
  }
}
