import { describe, expect, test } from 'vitest';
import { MAX_UPLINK_FRAME, decodeUplink, encodeUplink } from './uplink.js';
import type { UplinkFrame } from './uplink.js';

const session = '01kanar9g0dtjvf0yq516zc20n';
const checkpoint = {
  session,
  gateway: 'gw-1',
  counter: 1,
  block: 2,
  bytes: 3,
  at: 4,
  time: 5,
  head: 'ab'.repeat(32),
  end: 'open' as const,
  signature: 'AAAA',
};
const frames: readonly UplinkFrame[] = [
  { kind: 'hello', header: { version: 1, name: 'gw-1', certificate: 'AAAA' }, payload: new Uint8Array(0) },
  { kind: 'hello', header: { version: 1, name: 'ingest' }, payload: new Uint8Array(0) },
  { kind: 'open', header: { session }, payload: new Uint8Array(0) },
  { kind: 'block', header: { session, n: 1, head: '00'.repeat(32) }, payload: Uint8Array.from([1, 2, 3]) },
  { kind: 'events', header: { id: 'batch-1' }, payload: Uint8Array.from([91, 93]) },
  { kind: 'checkpoint', header: { session, part: 1, checkpoint }, payload: new Uint8Array(0) },
  { kind: 'close', header: { session, part: 1, checkpoint: { ...checkpoint, end: 'complete' } }, payload: new Uint8Array(0) },
  { kind: 'ack', header: { session, received: 3, stored: 2, closed: false }, payload: new Uint8Array(0) },
  { kind: 'ack', header: { events: 'batch-1' }, payload: new Uint8Array(0) },
  { kind: 'resume', header: { session, stored: 0, closed: false }, payload: new Uint8Array(0) },
  { kind: 'refuse', header: { session, code: 'UPLINK_CHAIN_BROKEN', detail: 'block 3' }, payload: new Uint8Array(0) },
];

describe('a frame', () => {
  for (const frame of frames) {
    test(`${frame.kind} is decoded and encoded unchanged`, () => {
      const bytes = encodeUplink(frame.kind, frame.header as never, frame.payload);
      const decoded = decodeUplink(bytes);
      expect(decoded).toEqual(frame);
      expect(encodeUplink(decoded.kind, decoded.header as never, decoded.payload)).toEqual(bytes);
    });

    test(`${frame.kind} is refused if truncated or corrupted in its frame, never misread`, () => {
      const bytes = encodeUplink(frame.kind, frame.header as never);
      for (let length = 0; length < bytes.length; length++)
        expect(() => decodeUplink(bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: 'UPLINK_MALFORMED' }) as Error);
    });
  }

  const raw = (type: number, json: string, payload: readonly number[] = [], length?: number): Uint8Array => {
    const body = new TextEncoder().encode(json);
    const bytes = new Uint8Array(5 + body.length + payload.length);
    bytes[0] = type;
    new DataView(bytes.buffer).setUint32(1, length ?? body.length);
    bytes.set(body, 5);
    bytes.set(payload, 5 + body.length);
    return bytes;
  };

  for (const [name, bytes] of [
    ['of an unknown type', raw(10, '{}')],
    ['with a header that is not JSON', raw(2, '{')],
    ['with a header longer than the frame', raw(2, `{"session":"${session}"}`, [], 4000)],
    ['with a header length of four gigabytes', raw(2, `{"session":"${session}"}`, [], 0xffffffff)],
    ['with bytes after a header that has no payload', raw(2, `{"session":"${session}"}`, [0])],
    ['with an invalid session id', raw(2, '{"session":"../../etc"}')],
    ['with a negative number', raw(3, `{"session":"${session}","n":-1,"head":"${'0'.repeat(64)}"}`)],
    ['with an invalid checkpoint', raw(5, `{"session":"${session}","part":1,"checkpoint":{}}`)],
    ['with invalid UTF-8', Uint8Array.from([2, 0, 0, 0, 2, 0xff, 0xff])],
    ['larger than the limit', new Uint8Array(MAX_UPLINK_FRAME + 1)],
  ] as const) {
    test(`${name} is refused`, () =>
      expect(() => decodeUplink(bytes)).toThrow(expect.objectContaining({ code: 'UPLINK_MALFORMED' }) as Error));
  }
});
