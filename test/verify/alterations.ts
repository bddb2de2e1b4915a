/**
 * Generates alterations of a recording: of every frame, every line, every field of lines and proofs, and of the file. Each
 * is also tried in a repaired form, as far as an attacker without a key can repair it: checksums, tags, the checkpoint's
 * numbers and the seek table.
 */
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import { cutBlocks } from '#schemas/recording/block.js';
import type { Stream } from '#schemas/recording/line.js';
import { sha256 } from '#runtime/ssh/verifier.js';
import type { Zstd } from '#runtime/zstd.js';
import { closed, data, isKeyframe, joined, linesOf, piecesOf, proofOf, proofPiece } from './surgery.js';
import type { Piece } from './surgery.js';

export interface Alteration {
  readonly what: string;
  /** Made on demand; null if the alteration is impossible. */
  readonly file: () => Buffer | null;
}

/** `below` returns pseudo-random numbers; `many`: number of alterations of each kind. */
export function* alterations(file: Buffer, zstd: Zstd, below: (n: number) => number, many: number): Generator<Alteration> {
  const pieces = piecesOf(file);
  const times = function* (): Generator<number> {
    for (let i = 0; i < many; i++) yield i;
  };
  const both = function* (what: string, changed: readonly Piece[]): Generator<Alteration> {
    yield { what, file: () => joined(changed) };
    yield { what: `${what}, seek table made right`, file: () => closed(changed) };
  };
  const at = (i: number, bytes: Buffer): Piece[] => pieces.map((piece, n) => (n === i ? { ...piece, bytes } : piece));
  const changed = (bytes: Buffer, change: (copy: Buffer) => void): Buffer => {
    const copy = Buffer.from(bytes);
    change(copy);
    return copy;
  };

  for (const [i, { kind, bytes }] of pieces.entries()) {
    const name = `${kind} ${i}`;
    yield* both(`${name} deleted`, pieces.toSpliced(i, 1));
    yield* both(`${name} doubled`, pieces.toSpliced(i, 0, pieces[i]!));
    const other = below(pieces.length);
    yield* both(
      `${name} swapped with ${other}`,
      pieces.map((piece, n) => (n === i ? pieces[other]! : n === other ? pieces[i]! : piece)),
    );
    yield* both(`${name} moved to ${other}`, pieces.toSpliced(i, 1).toSpliced(other, 0, pieces[i]!));
    yield* both(`${name} set to zeros`, at(i, Buffer.alloc(bytes.length)));
    yield* both(
      `${name}: content set to zeros`,
      at(
        i,
        changed(bytes, (copy) => copy.fill(0, 8)),
      ),
    );
    yield* both(`${name} extended`, at(i, Buffer.concat([bytes, Buffer.alloc(1 + below(9), below(256))])));
    if (kind !== 'data') {
      const [more, less] = [1 + below(12), 1 + below(Math.min(12, bytes.length - 8))];
      yield* both(`${name} extended inside`, at(i, resized(Buffer.concat([bytes, Buffer.alloc(more, below(256))]))));
      yield* both(`${name} cut inside`, at(i, resized(bytes.subarray(0, bytes.length - less))));
      yield* both(
        `${name} claims another length`,
        at(
          i,
          changed(bytes, (copy) => copy.writeUInt32LE(below(2 ** 31), 4)),
        ),
      );
    }
    for (const _ of times()) {
      const [bit, length, place] = [below(8), 1 + below(bytes.length), below(bytes.length)];
      yield* both(
        `${name}: bit ${bit} of byte ${place} flipped`,
        at(
          i,
          changed(bytes, (copy) => void (copy[place]! ^= 1 << bit)),
        ),
      );
      yield* both(`${name} cut at ${length}`, at(i, bytes.subarray(0, length)));
      yield* both(
        `${name}: bytes from ${place} set to zeros`,
        at(
          i,
          changed(bytes, (copy) => copy.fill(0, place, Math.min(copy.length, place + 4))),
        ),
      );
    }
    // The header of a frame decides how the whole frame is parsed.
    for (let place = 0; place < Math.min(bytes.length, 16); place++) {
      const bit = below(8);
      yield {
        what: `${name}: bit ${bit} of byte ${place} of its head flipped`,
        file: () =>
          joined(
            at(
              i,
              changed(bytes, (copy) => void (copy[place]! ^= 1 << bit)),
            ),
          ),
      };
    }
  }

  for (const _ of times()) {
    const [length, place] = [below(file.length), below(file.length)];
    yield { what: `the file cut at ${length}`, file: () => file.subarray(0, length) };
    const size = 1 + below(20);
    yield { what: `bytes taken out at ${place}`, file: () => Buffer.concat([file.subarray(0, place), file.subarray(place + size)]) };
    yield {
      what: `bytes put in at ${place}`,
      file: () => Buffer.concat([file.subarray(0, place), Buffer.alloc(size, size), file.subarray(place)]),
    };
  }

  for (const [i, piece] of pieces.entries()) {
    if (piece.kind === 'data') yield* alteredLines(pieces, i, zstd, below, many);
    if (piece.kind === 'part') yield* alteredProof(pieces, i, below);
  }
}

/** Corrects the length of a skippable frame. */
function resized(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt32LE(copy.length - 8, 4);
  return copy;
}

function* alteredLines(pieces: readonly Piece[], i: number, zstd: Zstd, below: (n: number) => number, many: number): Generator<Alteration> {
  const lines = linesOf(zstd.decompress(pieces[i]!.bytes));
  const made = function* (what: string, changed: readonly Buffer[]): Generator<Alteration> {
    const content = Buffer.concat(changed);
    if (content.length === 0 || content.length > 4 << 20) return;
    const file = (): Piece[] => pieces.map((piece, n) => (n === i ? data(zstd, content) : piece));
    yield { what: `frame ${i}: ${what}`, file: () => closed(file()) };
    yield {
      what: `frame ${i}: ${what}, tags and checkpoint made right`,
      file: () => {
        const signed = resignedAsFarAsPossible(file(), zstd);
        return signed === null ? null : closed(signed);
      },
    };
  };
  for (let k = 0; k < many; k++) {
    const [a, b] = [below(lines.length), below(lines.length)];
    const line = lines[a]!;
    yield* made(`line ${a} deleted`, lines.toSpliced(a, 1));
    yield* made(`line ${a} doubled`, lines.toSpliced(a, 0, line));
    yield* made(
      `line ${a} swapped with ${b}`,
      lines.map((each, n) => (n === a ? lines[b]! : n === b ? line : each)),
    );
    yield* made(`line ${a} cut`, lines.toSpliced(a, 1, line.subarray(0, below(line.length))));
    yield* made(`a bit of line ${a} flipped`, lines.toSpliced(a, 1, changedByte(line, below(line.length), below(8))));
    yield* made(
      `a byte put into line ${a}`,
      lines.toSpliced(a, 1, Buffer.concat([line.subarray(0, b % line.length), Buffer.of(below(256)), line.subarray(b % line.length)])),
    );
    yield* made(`a keyframe put before line ${a}`, lines.toSpliced(a, 0, Buffer.from('[0,"k",{"cols":80,"rows":24,"screen":"forged"}]\n')));
    yield* made(`an unknown line put before line ${a}`, lines.toSpliced(a, 0, Buffer.from('[0,"zz",null]\n')));
    for (const field of fieldsOf(line)) yield* made(`line ${a}: ${field.what}`, lines.toSpliced(a, 1, field.line));
  }
}

function changedByte(line: Buffer, place: number, bit: number): Buffer {
  const copy = Buffer.from(line);
  copy[place]! ^= 1 << bit;
  return copy;
}

/** Changes every value in the JSON of a line, one at a time: to another value of its type, to another type, and to none. */
function* fieldsOf(line: Buffer): Generator<{ readonly what: string; readonly line: Buffer }> {
  let value: unknown;
  try {
    value = JSON.parse(line.toString());
  } catch {
    return;
  }
  const paths: (readonly (string | number)[])[] = [];
  const walk = (node: unknown, path: readonly (string | number)[]): void => {
    if (path.length > 0) paths.push(path);
    if (typeof node === 'object' && node !== null)
      for (const [key, child] of Object.entries(node)) walk(child, [...path, Array.isArray(node) ? Number(key) : key]);
  };
  walk(value, []);
  for (const path of paths.slice(0, 40)) {
    for (const other of ['another', 7, null, true, [], undefined, 1e300] as const) {
      const copy = structuredClone(value) as Record<string | number, unknown>;
      const parent = path.slice(0, -1).reduce((node, key) => node[key] as typeof copy, copy);
      parent[path.at(-1)!] = other;
      yield { what: `${path.join('.')} is ${String(other)}`, line: Buffer.from(`${JSON.stringify(copy)}\n`) };
    }
  }
}

/** Recomputes tags, block, bytes, at and head of every proof from the lines and keeps the signature. Null if that is impossible. */
function resignedAsFarAsPossible(pieces: readonly Piece[], zstd: Zstd): Piece[] | null {
  try {
    let [n, at, bytes] = [0, 0, 0];
    let head: Uint8Array | null = null;
    let held: Buffer[] = [];
    return pieces.map((piece) => {
      if (piece.kind === 'data') held.push(Buffer.from(zstd.decompress(piece.bytes)));
      if (piece.kind !== 'part') return piece;
      const tags: number[] = [];
      const lines = Buffer.concat(held);
      held = [];
      head ??= startOf(linesOf(lines)[0]!);
      for (const block of cutBlocks(lines, { n, at })) {
        head = chainNext(sha256, head, block.content);
        tags.push(head[0]!);
        [n, at, bytes] = [block.n, block.until, bytes + block.content.length];
      }
      const proof = proofOf(piece);
      return proofPiece({
        ...proof,
        first_block: n - tags.length + 1,
        tags: Uint8Array.from(tags),
        checkpoint: { ...proof.checkpoint, block: n, at, bytes, head: toHex(head) },
      });
    });
  } catch {
    return null;
  }
}

function startOf(header: Buffer): Uint8Array {
  const { steno } = JSON.parse(header.toString()) as { readonly steno: { readonly session: string; readonly stream?: Stream } };
  return chainStart(sha256, steno.session, steno.stream ?? 'recording');
}

function* alteredProof(pieces: readonly Piece[], i: number, below: (n: number) => number): Generator<Alteration> {
  const { bytes } = pieces[i]!;
  const fields = {
    kind: [0, 1],
    end: [1, 1],
    part: [2, 4],
    block: [6, 4],
    bytes: [10, 6],
    at: [16, 6],
    time: [22, 6],
    head: [28, 32],
    certificate: [60, 16],
    signature: [76, 64],
  } as const;
  for (const [name, [offset, size]] of Object.entries(fields)) {
    for (const change of ['one more', 'one less', 'zeros', 'ones', 'random'] as const) {
      const copy = Buffer.from(bytes);
      const [from, to] = [8 + offset, 8 + offset + size];
      if (change === 'one more') copy[from] = copy[from]! + 1;
      else if (change === 'one less') copy[from] = copy[from]! - 1;
      else for (let place = from; place < to; place++) copy[place] = change === 'zeros' ? 0 : change === 'ones' ? 0xff : below(256);
      yield {
        what: `proof ${i}: ${name}, ${change}`,
        file: () => joined(pieces.map((piece, n) => (n === i ? { ...piece, bytes: copy } : piece))),
      };
    }
  }
}

/** The proven content of a recording: its signed lines and its end. */
export function saying(file: Uint8Array, zstd: Zstd): string {
  const pieces = piecesOf(file);
  const lines = pieces.filter(({ kind }) => kind === 'data').flatMap(({ bytes }) => linesOf(zstd.decompress(bytes)));
  const { checkpoint } = proofOf(pieces.findLast(({ kind }) => kind === 'part')!);
  return JSON.stringify([Buffer.concat(lines.filter((line) => !isKeyframe(line))).toString('latin1'), checkpoint]);
}
