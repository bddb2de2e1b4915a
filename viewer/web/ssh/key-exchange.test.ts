import { describe, expect, test } from 'vitest';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';
import { agree, kexInit, readKexInit } from './key-exchange.js';
import { ephemeral, hasX25519, newUserKey } from './web-crypto.js';
import { verifySignature } from '../verify/signature.js';

const usual = [
  ['curve25519-sha256', 'ecdh-sha2-nistp256', 'kex-strict-s-v00@openssh.com'],
  ['ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com'],
  ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'],
  ['aes128-gcm@openssh.com'],
  ...Array.from({ length: 6 }, () => ['none']),
];
function init(change: Readonly<Record<number, readonly string[]>> = {}, guessed = 0): Uint8Array {
  const writer = new SshWriter().byte(20).raw(new Uint8Array(16));
  usual.forEach((names, i) => writer.nameList(change[i] ?? names));
  return writer.byte(guessed).uint32(0).bytes();
}

describe('what is agreed on', () => {
  test('is the first of ours that the other side has', () =>
    expect(agree(kexInit(true, true), init(), true)).toEqual({
      exchange: 'curve25519-sha256',
      hostKey: 'ssh-ed25519-cert-v01@openssh.com',
      toServer: 'aes256-gcm@openssh.com',
      toClient: 'aes128-gcm@openssh.com',
    }));
  test('is P-256 where the browser has no X25519', () =>
    expect(agree(kexInit(true, false), init(), true).exchange).toBe('ecdh-sha2-nistp256'));
  test.each([
    ['strict key exchange', { 0: ['curve25519-sha256'] }, 0],
    ['a key exchange in common', { 0: ['diffie-hellman-group14-sha256', 'kex-strict-s-v00@openssh.com'] }, 0],
    ['a certificate', { 1: ['ssh-ed25519'] }, 0],
    ['AES-GCM both ways', { 3: ['aes256-ctr'] }, 0],
    ['patience: it guesses', {}, 1],
  ])('is nothing with a server that lacks %s', (_, change, guessed) =>
    expect(() => agree(kexInit(true, true), init(change, guessed), true)).toThrow(),
  );
  test('needs strict key exchange the first time alone: later neither side may name it', () => {
    expect(agree(kexInit(false, true), init({ 0: ['curve25519-sha256'] }), false).exchange).toBe('curve25519-sha256');
    expect(readKexInit(kexInit(false, true)).lists[0]).toEqual(['curve25519-sha256', 'ecdh-sha2-nistp256']);
    expect(readKexInit(kexInit(true, true)).lists[0]).toContain('kex-strict-c-v00@openssh.com');
  });
});

describe('keys', () => {
  test.each([{ name: 'X25519' }, { name: 'ECDH', namedCurve: 'P-256' }] as const)(
    'of $name give both sides one secret',
    async (algorithm) => {
      const [one, other] = [await ephemeral(algorithm), await ephemeral(algorithm)];
      expect(await one.derive(other.publicKey)).toEqual(await other.derive(one.publicKey));
      await expect(one.derive(new Uint8Array(one.publicKey.length))).rejects.toThrow();
    },
  );
  test('this runtime has X25519, as Chromium has', async () => expect(await hasX25519()).toBe(true));
  test('of a user sign, and their private half cannot be had', async () => {
    const key = await newUserKey();
    const data = new TextEncoder().encode('what is signed');
    expect(verifySignature(key.publicBlob, await key.sign(data), data)).toBe(true);
    expect(verifySignature(key.publicBlob, await key.sign(data), new Uint8Array(3))).toBe(false);
    expect(new SshReader(key.publicBlob, 'KEY_GARBLED').utf8('the type')).toBe('ecdsa-sha2-nistp256');
    expect(Object.values(key).some((value) => typeof value === 'object' && !(value instanceof Uint8Array))).toBe(false);
  });
});
