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
  ['what OpenSSH says', extInfo(['server-sig-algs', 'ssh-ed25519,rsa-sha2-512'], ['ping@openssh.com', '0']), []],
  ['what this version says', extInfo(['server-sig-algs', 'ssh-ed25519'], NODE_EXTENSION), [KERNEL_REQUESTS]],
  [
    'names of a later version',
    extInfo([CAPABILITIES, `later,${KERNEL_REQUESTS},last@example`]),
    ['later', KERNEL_REQUESTS, 'last@example'],
  ],
])('%s', (_what, payload, expected) => expect([...capabilitiesIn(payload)]).toEqual(expected));

it.each([
  ['a list that is cut', extInfo([CAPABILITIES, 'a']).subarray(0, -1)],
  ['bytes after the end', concatBytes(extInfo([CAPABILITIES, 'a']), Uint8Array.of(0))],
  ['an empty name', extInfo([CAPABILITIES, 'a,,b'])],
  ['a list beyond its bound', extInfo([CAPABILITIES, 'a'.repeat(4097)])],
  ['more extensions than are read', extInfo(...Array.from({ length: 65 }, (_, i) => [`x${i}`, ''] as const))],
  ['a count beyond what follows', new SshWriter().byte(7).uint32(0xffff_ffff).bytes()],
])('refuses %s', (_what, payload) => expect(() => capabilitiesIn(payload)).toThrow('the request is malformed'));
