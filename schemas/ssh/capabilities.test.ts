import { expect, it } from 'vitest';
import { CAPABILITIES, KERNEL_REQUESTS, NODE_EXTENSION, capabilitiesIn } from './capabilities.js';
import { SshWriter, concatBytes } from './wire.js';

const extInfo = (...extensions: readonly (readonly [name: string, value: string])[]): Uint8Array => {
  const writer = new SshWriter().byte(7).uint32(extensions.length);
  for (const [name, value] of extensions) writer.utf8(name).utf8(value);
  return writer.bytes();
};

it.each([
  ['nothing', extInfo(), []],
  ['the message of OpenSSH', extInfo(['server-sig-algs', 'ssh-ed25519,rsa-sha2-512'], ['ping@openssh.com', '0']), []],
  ['the message of this version', extInfo(['server-sig-algs', 'ssh-ed25519'], NODE_EXTENSION), [KERNEL_REQUESTS]],
  [
    'names of a later version',
    extInfo([CAPABILITIES, `later,${KERNEL_REQUESTS},last@example`]),
    ['later', KERNEL_REQUESTS, 'last@example'],
  ],
])('%s', (_what, payload, expected) => expect([...capabilitiesIn(payload)]).toEqual(expected));

it.each([
  ['a truncated list', extInfo([CAPABILITIES, 'a']).subarray(0, -1)],
  ['bytes after the end', concatBytes(extInfo([CAPABILITIES, 'a']), Uint8Array.of(0))],
  ['an empty name', extInfo([CAPABILITIES, 'a,,b'])],
  ['a list that is too long', extInfo([CAPABILITIES, 'a'.repeat(4097)])],
  ['too many extensions', extInfo(...Array.from({ length: 65 }, (_, i) => [`x${i}`, ''] as const))],
  ['a count larger than the message', new SshWriter().byte(7).uint32(0xffff_ffff).bytes()],
])('refuses %s', (_what, payload) => expect(() => capabilitiesIn(payload)).toThrow('the request is malformed'));
