/** Two ends of a stream over connections that are cut at any byte in either direction. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFrame, FrameReader, MAX_FRAME_DATA } from './frames.js';
import type { TerminalFrame } from './frames.js';
import { ResumableStream } from './resumable-stream.js';

/** Bytes that depend on their position, so that lost, repeated or misplaced ones are noticed. */
const pattern = (from: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => ((from + i) * 7919) % 251);

class End {
  readonly stream: ResumableStream;
  reader = new FrameReader();
  /** Bytes in transit to the other end. */
  wire: number[] = [];
  sent = 0;
  got: number[] = [];
  ended = 0;
  constructor() {
    this.stream = new ResumableStream({
      bytes: (bytes) => void this.got.push(...bytes),
      frame: (bytes) => void this.wire.push(...bytes),
      acknowledged: () => undefined,
      ended: () => void (this.ended += 1),
    });
  }
  send(length: number): void {
    this.stream.send(pattern(this.sent, length));
    this.sent += length;
  }
  take(bytes: readonly number[]): void {
    this.reader.put(Uint8Array.from(bytes));
    for (let frame = this.reader.next(); frame !== null; frame = this.reader.next()) this.stream.take(frame);
  }
}

function cut(ends: readonly End[]): void {
  for (const end of ends) {
    end.stream.detach();
    end.wire = [];
    end.reader = new FrameReader();
  }
}
function resume([a, b]: readonly [End, End]): void {
  const [ofA, ofB] = [a.stream.received, b.stream.received];
  a.stream.attach(ofB);
  b.stream.attach(ofA);
}
function deliver(from: End, to: End, most: number): void {
  to.take(from.wire.splice(0, most));
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('send'), side: fc.nat(1), length: fc.oneof(fc.nat(40), fc.nat(3 * MAX_FRAME_DATA)) }),
  fc.record({ kind: fc.constant('deliver'), side: fc.nat(1), length: fc.oneof(fc.nat(60), fc.nat(80_000)) }),
  fc.record({ kind: fc.constant('say'), side: fc.nat(1), length: fc.constant(0) }),
  fc.record({ kind: fc.constant('cut'), side: fc.constant(0), length: fc.constant(0) }),
  fc.record({ kind: fc.constant('resume'), side: fc.constant(0), length: fc.constant(0) }),
);

describe('a resumable stream', () => {
  test('loses, repeats and reorders no byte, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const pair = [new End(), new End()] as const;
        let attached = true;
        for (const { kind, side, length } of steps) {
          const [near, far] = side === 0 ? pair : ([pair[1], pair[0]] as const);
          if (kind === 'send') near.send(length);
          else if (kind === 'deliver') deliver(near, far, length);
          else if (kind === 'say') near.stream.say();
          else if (kind === 'cut') {
            cut(pair);
            attached = false;
          } else if (!attached) {
            resume(pair);
            attached = true;
          }
        }
        if (!attached) resume(pair);
        // Deliver until nothing is in transit, since arriving frames may be answered.
        while (pair[0].wire.length + pair[1].wire.length > 0) {
          deliver(pair[0], pair[1], Infinity);
          deliver(pair[1], pair[0], Infinity);
        }
        for (const [near, far] of [pair, [pair[1], pair[0]]] as const) {
          expect(far.got.length).toBe(near.sent);
          expect(pattern(0, near.sent).every((byte, at) => byte === far.got[at])).toBe(true);
          near.stream.say();
          far.stream.say();
          deliver(far, near, Infinity);
          expect(near.stream.kept).toBe(0);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('continues after a cut at any byte of a frame', () => {
    const whole = encodeFrame({ kind: 'data', offset: 0, received: 0, bytes: pattern(0, 20) }).length;
    for (let at = 0; at <= whole; at += 1) {
      const pair = [new End(), new End()] as const;
      pair[0].send(20);
      deliver(pair[0], pair[1], at);
      cut(pair);
      pair[0].send(3);
      resume(pair);
      deliver(pair[0], pair[1], Infinity);
      expect(pair[1].got, `cut at ${at}`).toEqual([...pattern(0, 23)]);
    }
  });

  test('acknowledges often enough that the other end keeps little', () => {
    const [a, b] = [new End(), new End()];
    for (let i = 0; i < 10_000; i += 1) {
      a.send(1);
      deliver(a, b, Infinity);
      deliver(b, a, Infinity);
      expect(a.stream.kept).toBeLessThanOrEqual(64);
    }
    a.send(10 << 20);
    deliver(a, b, Infinity);
    deliver(b, a, Infinity);
    expect(a.stream.kept).toBeLessThanOrEqual(2 * MAX_FRAME_DATA);
  });

  test('that ended while disconnected ends on the next connection, after its last bytes', () => {
    const pair = [new End(), new End()] as const;
    pair[0].send(5);
    cut(pair);
    pair[0].send(5);
    pair[0].stream.end();
    resume(pair);
    deliver(pair[0], pair[1], Infinity);
    expect(pair[1].got).toEqual([...pattern(0, 10)]);
    expect(pair[1].ended).toBe(1);
  });

  test.each<[string, TerminalFrame]>([
    ['bytes after a gap', { kind: 'data', offset: 6, received: 0, bytes: pattern(0, 1) }],
    ['repeated bytes', { kind: 'data', offset: 4, received: 0, bytes: pattern(0, 1) }],
    ['an acknowledgement of more than was sent', { kind: 'received', received: 8 }],
    ['a smaller acknowledgement than before', { kind: 'received', received: 2 }],
    ['a proof', { kind: 'proof', received: 0, mac: new Uint8Array(32) }],
    ['resumed', { kind: 'resumed', received: 0 }],
  ])('refuses %s', (_, frame) => {
    const [a, b] = [new End(), new End()];
    a.send(5);
    b.send(7);
    deliver(a, b, Infinity);
    b.stream.take({ kind: 'received', received: 3 });
    expect(() => b.stream.take(frame)).toThrow(expect.objectContaining({ code: 'SSH_PROTOCOL' }) as Error);
  });

  test.each<[string, (received: number) => number]>([
    ['more than was sent', (sent) => sent + 1],
    ['less than it had acknowledged', () => 2],
  ])('refuses to continue if the other end claims to have %s', (_, claim) => {
    const a = new End();
    a.send(7);
    a.stream.take({ kind: 'received', received: 3 });
    a.stream.detach();
    expect(() => a.stream.attach(claim(7))).toThrow(expect.objectContaining({ code: 'SSH_PROTOCOL' }) as Error);
  });
});

describe('frames', () => {
  const mac = pattern(3, 32);
  const all: readonly TerminalFrame[] = [
    { kind: 'data', offset: 2 ** 40, received: 2 ** 52, bytes: pattern(1, 300) },
    { kind: 'data', offset: 0, received: 0, bytes: new Uint8Array(0) },
    { kind: 'received', received: Number.MAX_SAFE_INTEGER },
    { kind: 'challenge', nonce: mac },
    { kind: 'proof', received: 12, mac },
    { kind: 'resumed', received: 77 },
    { kind: 'refused' },
    { kind: 'end' },
  ];

  test('are parsed as they were encoded, as a whole and byte by byte', () => {
    const bytes = Uint8Array.from(all.flatMap((frame) => [...encodeFrame(frame)]));
    for (const size of [1, 7, bytes.length]) {
      const reader = new FrameReader();
      const read: TerminalFrame[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        // Reused memory, like that of sockets.
        const piece = bytes.slice(at, at + size);
        reader.put(piece);
        for (let frame = reader.next(); frame !== null; frame = reader.next())
          read.push(frame.kind === 'data' ? { ...frame, bytes: frame.bytes.slice() } : frame);
        piece.fill(0xff);
      }
      expect(read).toEqual(all);
    }
  });

  test.each([
    ['an unknown type', [9]],
    ['SSH', [...new TextEncoder().encode('SSH-2.0-x\r\n')]],
    ['a length beyond the limit', [1, ...new Array<number>(16).fill(0), 0, 1, 0, 0]],
    ['a count beyond 2^53', [2, 0xff, ...new Array<number>(7).fill(0)]],
  ])('%s is refused', (_, bytes) => {
    const reader = new FrameReader();
    reader.put(Uint8Array.from(bytes));
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'SSH_PROTOCOL' }) as Error);
  });
});
