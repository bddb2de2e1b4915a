import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameError, FrameReader, MAX_FRAME, encodeFrame } from './frames.js';
import { isPlace, parseAnswer, parseOrder } from './messages.js';
import type { Answer, Order } from './messages.js';

const number = fc.nat({ max: 0xffff_ffff });
const place = fc.oneof(
  fc.record({ kind: fc.constant('path' as const), path: fc.string({ maxLength: 25, unit: 'grapheme-ascii' }).map((text) => `/${text}`) }),
  fc.record({
    kind: fc.constant('tcp' as const),
    host: fc.string({ minLength: 1, maxLength: 255, unit: 'grapheme-ascii' }),
    port: fc.nat({ max: 0xffff }),
  }),
);
const orders: fc.Arbitrary<Order> = fc.oneof(
  fc.record({
    kind: fc.constant('account' as const),
    service: fc.constant('sshd'),
    user: fc.stringMatching(/^[a-z_][a-z0-9_-]{0,31}$/),
    host: fc.ipV6(),
  }),
  fc.record({ kind: fc.constant('become' as const), user: fc.stringMatching(/^[a-z_][a-z0-9_-]{0,31}$/), uid: number, gid: number }),
  fc.record({ kind: fc.constant('connect' as const), id: number, place }),
  fc.record({ kind: fc.constant('listen' as const), id: number, place }),
  fc.record({ kind: fc.constant('close' as const), id: number }),
);
const answers: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({
    kind: fc.constant('judged' as const),
    judgement: fc.constantFrom('allowed' as const, 'refused' as const, 'failed' as const, 'absent' as const),
    text: fc.string({ maxLength: 500, unit: 'grapheme-ascii' }),
  }),
  fc.record({ kind: fc.constant('became' as const) }),
  fc.record({ kind: fc.constant('connected' as const), id: number, handover: number }),
  fc.record({ kind: fc.constant('listening' as const), id: number, port: fc.nat({ max: 0xffff }) }),
  fc.record({ kind: fc.constant('accepted' as const), id: number, handover: number }),
  fc.record({ kind: fc.constant('failed' as const), id: number, code: fc.constantFrom('', 'EACCES', 'ECONNREFUSED') }),
);

describe('frames', () => {
  it('arrive as they were sent, however they are cut', () => {
    fc.assert(
      fc.property(fc.array(orders, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map((order) => encodeFrame(order)));
        const reader = new FrameReader(parseOrder);
        const got: Order[] = [];
        for (let at = 0, i = 0; at < bytes.length; at += cuts[i++ % cuts.length]!)
          got.push(...reader.push(bytes.subarray(at, at + cuts[i % cuts.length]!)));
        // The cuts above overlap where they differ: only whole passes are compared.
        if (new Set(cuts).size === 1) expect(got).toEqual(sent);
      }),
    );
  });

  it('answers arrive as they were sent, byte by byte', () => {
    fc.assert(
      fc.property(fc.array(answers, { maxLength: 4 }), (sent) => {
        const reader = new FrameReader(parseAnswer);
        expect([...Buffer.concat(sent.map((answer) => encodeFrame(answer)))].flatMap((byte) => reader.push(Uint8Array.of(byte)))).toEqual(
          sent,
        );
      }),
    );
  });

  it('whatever else comes is refused once and for all, and never held beyond one frame', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
        const reader = new FrameReader(parseOrder);
        let broken = false;
        for (const chunk of chunks) {
          try {
            reader.push(chunk);
            expect(broken).toBe(false);
          } catch (error) {
            expect(error).toBeInstanceOf(FrameError);
            broken = true;
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('a message with one field changed, added or left out is none', () => {
    const junk = fc.oneof(
      fc.constant(null),
      fc.constant(-1),
      fc.constant(1.5),
      fc.constant('x\0'),
      fc.constant([]),
      fc.constant({}),
      fc.constant(2 ** 32),
      fc.constant(true),
    );
    fc.assert(
      fc.property(fc.oneof(orders, answers), junk, fc.nat(), (message, value, which) => {
        const parse = (it: unknown): unknown => parseOrder(it) ?? parseAnswer(it);
        expect(parse(message)).toEqual(message);
        expect(parse({ ...message, more: value })).toBe(null);
        const names = Object.keys(message);
        const name = names[which % names.length]!;
        const { [name as never]: _, ...without } = message as Record<string, unknown>;
        expect(parse(without)).toBe(null);
        expect(parse({ ...message, [name]: value })).toBe(null);
      }),
      { numRuns: 2_000 },
    );
  });

  const wrong: readonly [string, Buffer][] = [
    ['a length of zero', Buffer.from([0, 0, 0, 0])],
    ['a length beyond the bound', Buffer.from([0, 0, (MAX_FRAME >> 8) & 0xff, 1])],
    ['a length of four gigabytes', Buffer.from([255, 255, 255, 255])],
    ['no UTF-8', Buffer.from([0, 0, 0, 1, 0xff])],
    ['no JSON', Buffer.from([0, 0, 0, 1, 0x7b])],
    ["Node.js's acknowledgement of a handle", frameOf({ cmd: 'NODE_HANDLE_ACK' })],
    ['a handle of Node.js', frameOf({ cmd: 'NODE_HANDLE', type: 'net.Server' })],
    ['a key of the prototype', Buffer.concat([Buffer.from([0, 0, 0, 26]), Buffer.from('{"__proto__":{"kind":"x"}}')])],
  ];
  for (const [what, bytes] of wrong) {
    it(`${what} is refused by both ends`, () => {
      expect(() => new FrameReader(parseOrder).push(bytes)).toThrow(FrameError);
      expect(() => new FrameReader(parseAnswer).push(bytes)).toThrow(FrameError);
    });
  }

  it('what is too large is not sent', () => {
    expect(() => encodeFrame({ text: 'x'.repeat(MAX_FRAME) })).toThrow(FrameError);
  });

  it('a place is an absolute path that a socket can have, or a host and a port', () => {
    expect(isPlace({ kind: 'path', path: '/run/x' })).toBe(true);
    for (const path of ['', 'x', '../x', '/x\0y', `/${'x'.repeat(107)}`]) expect(isPlace({ kind: 'path', path })).toBe(false);
    for (const port of [-1, 65_536, 1.5, '80']) expect(isPlace({ kind: 'tcp', host: 'localhost', port })).toBe(false);
  });
});

function frameOf(value: object): Buffer {
  return encodeFrame(value);
}
