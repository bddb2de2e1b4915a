import fc from 'fast-check';
import { expect, it } from 'vitest';
import { userAuthData, userAuthRequest } from './user-auth.js';
import { SshReader, equalBytes } from './wire.js';

const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength, maxLength });
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const anything = fc.record({
  sessionId: bytes(32, 64),
  userName: text,
  algorithm: text,
  publicKey: bytes(0, 80),
  hostKey: fc.option(bytes(0, 80)),
});

it('contains its fields in wire order', () => {
  fc.assert(
    fc.property(anything, ({ sessionId, ...request }) => {
      const reader = new SshReader(userAuthData(sessionId, userAuthRequest(request)), 'BAD_REQUEST');
      expect(reader.string('id')).toEqual(sessionId);
      expect(reader.byte('type')).toBe(50);
      expect(reader.utf8('user', 4096)).toBe(request.userName);
      expect(reader.utf8('service', 64)).toBe('ssh-connection');
      expect(reader.utf8('method', 64)).toBe(request.hostKey === null ? 'publickey' : 'publickey-hostbound-v00@openssh.com');
      expect(reader.byte('flag')).toBe(1);
      expect(reader.utf8('algorithm', 4096)).toBe(request.algorithm);
      expect(reader.string('key')).toEqual(request.publicKey);
      if (request.hostKey !== null) expect(reader.string('host key')).toEqual(request.hostKey);
      reader.end('the request');
    }),
  );
});

it('differs for different fields: no bytes can move from one field to the next', () => {
  const flat = (value: { readonly sessionId: Uint8Array; readonly hostKey: Uint8Array | null; readonly publicKey: Uint8Array }): string =>
    JSON.stringify({
      ...value,
      sessionId: [...value.sessionId],
      publicKey: [...value.publicKey],
      hostKey: value.hostKey === null ? null : [...value.hostKey],
    });
  fc.assert(
    fc.property(anything, anything, (one, other) => {
      const same = equalBytes(userAuthData(one.sessionId, userAuthRequest(one)), userAuthData(other.sessionId, userAuthRequest(other)));
      expect(same).toBe(flat(one) === flat(other));
    }),
  );
});
