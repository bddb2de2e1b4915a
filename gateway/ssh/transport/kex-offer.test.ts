import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { once } from 'node:events';
import { connect } from 'node:net';
import { SshWriter } from '#schemas/ssh/wire.js';
import { readClientOffer } from './kex-offer.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

function beginning(toServer: string[], toClient: string[]): Buffer {
  const lists = new SshWriter()
    .byte(20)
    .raw(Buffer.alloc(16))
    .nameList(['curve25519-sha256'])
    .nameList(['ssh-ed25519'])
    .nameList(toServer)
    .nameList(toClient)
    .nameList(['hmac-sha2-256'])
    .nameList(['hmac-sha2-256'])
    .nameList(['none'])
    .nameList(['none'])
    .nameList([])
    .nameList([])
    .byte(0)
    .uint32(0)
    .bytes();
  const packet = new SshWriter()
    .uint32(lists.length + 1 + 4)
    .byte(4)
    .raw(lists)
    .raw(Buffer.alloc(4))
    .bytes();
  return Buffer.concat([Buffer.from('SSH-2.0-Test\r\n'), packet]);
}

describe("the client's offer", () => {
  const fast = 'aes128-gcm@openssh.com';
  it.each([
    ['both ways', [['aes128-ctr', fast], [fast]], true],
    ['one way only', [['aes128-ctr', fast], ['aes128-ctr']], false],
    ['not at all', [['chacha20-poly1305@openssh.com'], ['chacha20-poly1305@openssh.com']], false],
  ] as const)('includes AES-GCM %s', (_name, [toServer, toClient], expected) => {
    const bytes = beginning([...toServer], [...toClient]);
    for (let length = 0; length < bytes.length; length++) expect(readClientOffer(bytes.subarray(0, length))).toBeUndefined();
    expect(readClientOffer(bytes)).toEqual({ gcm: expected, hostKeys: ['ssh-ed25519'] });
  });

  it.each([
    ['another protocol', 'GET / HTTP/1.1\r\n\r\n\r\n\r\n'],
    ['an endless line', 'x'.repeat(20_000)],
  ])('is empty for %s', (_name, text) => {
    expect(readClientOffer(Buffer.from(text))).toEqual({ gcm: false, hostKeys: [] });
  });
});

it('OpenSSH, which would choose another cipher, gets AES-GCM', async () => {
  const { stderr } = await world.run('ssh', ['-v', '-F', world.sshConfig, '-l', 'root@node-1', 'gw', 'true']);
  expect(stderr).toContain('server->client cipher: aes128-gcm@openssh.com');
});

it("a client that waits for the gateway's list receives it", async () => {
  const socket = connect(world.port, '127.0.0.1');
  socket.write('SSH-2.0-Waits\r\n');
  let said = '';
  socket.on('data', (data: Buffer) => {
    said += data.toString('latin1');
  });
  while (!said.includes('aes128-ctr')) await once(socket, 'data');
  expect(said).toContain('chacha20-poly1305@openssh.com');
  socket.destroy();
});
