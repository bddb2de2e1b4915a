import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ssh2 from 'ssh2';
import type { KexAlgorithm } from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HYBRID_KEX } from '#runtime/ssh/algorithms.js';
import { certificateAuth } from '#runtime/ssh/certified-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

/** The `ssh` of this machine, or the one that `.ci/debian13` unpacks: whichever supports the key exchange. */
const newSsh = ['ssh', fileURLToPath(new URL('../../../node_modules/.cache/debian13/ssh', import.meta.url))].find((path) => {
  if (path.includes('/') && !existsSync(path)) return false;
  return execFileSync(path, ['-Q', 'kex'], { encoding: 'utf8' }).includes(HYBRID_KEX);
});
if (newSsh === undefined)
  process.stdout.write(`skipped: ${HYBRID_KEX} with OpenSSH, for no client of 9.9 or later is here (.ci/debian13 fetches one)\n`);

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

describe.skipIf(newSsh === undefined)('the hybrid key exchange with OpenSSH', () => {
  it.each([
    ['by its own choice', []],
    ['again while data flows', ['-o', 'RekeyLimit=64K']],
  ])('is used %s', async (_name, options) => {
    const { status, stdout, stderr } = await world.run(newSsh!, [
      '-v',
      '-F',
      world.sshConfig,
      ...options,
      '-l',
      'root@node-1',
      'gw',
      'head -c 1000000 /dev/zero | wc -c; head -c 1000000 /dev/zero | tr "\\0" x',
    ]);
    expect({ status, size: stdout.length, head: stdout.slice(0, 8) }).toEqual({ status: 0, size: 1_000_008, head: '1000000\n' });
    const exchanges = [...stderr.matchAll(/kex: algorithm: (\S+)/g)].map(([, name]) => name);
    expect(new Set(exchanges)).toEqual(new Set([HYBRID_KEX]));
    // The number of exchanges depends on the data under way when one begins: at least one more.
    if (options.length > 0) expect(exchanges.length).toBeGreaterThan(1);
  });

  it('is used on both connections of `ssh -J`', async () => {
    const { status, stdout, stderr } = await world.run(newSsh!, ['-v', '-F', world.sshConfig, 'root@node-1', 'echo in']);
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'in\n' });
    expect([...stderr.matchAll(/kex: algorithm: (\S+)/g)].map(([, name]) => name)).toEqual([HYBRID_KEX, HYBRID_KEX]);
  });
});

describe('the hybrid key exchange', () => {
  const exchange = (change?: (packet: Buffer) => void): Promise<string> =>
    new Promise((resolve) => {
      const client = new ssh2.Client();
      const key = generateKey();
      client.on('handshake', ({ kex }) => {
        resolve(kex);
        client.end();
      });
      client.on('error', (error) => resolve(error.message));
      client.on('close', () => resolve('closed'));
      client.connect({
        host: '127.0.0.1',
        port: world.port,
        username: 'root@node-1',
        algorithms: { kex: [HYBRID_KEX as KexAlgorithm] },
        hostVerifier: () => true,
        authHandler: certificateAuth('root@node-1', key, world.authority.userCertificate(key.publicBlob)),
        ...(change === undefined ? {} : { debug: () => spoil(client, change) }),
      });
    });
  /** Alters this side's message of the exchange before it is sent. */
  const spoil = (client: ssh2.Client, change: (packet: Buffer) => void): void => {
    const kex = (client as unknown as { _protocol?: { _kex?: { getPublicKey?: () => Buffer; spoiled?: boolean } } })._protocol?._kex;
    if (kex?.getPublicKey === undefined || kex.spoiled === true) return;
    kex.spoiled = true;
    const original = kex.getPublicKey.bind(kex);
    kex.getPublicKey = () => {
      const packet = Buffer.from(original());
      change(packet);
      return packet;
    };
  };

  it('has the same result on both sides of ssh2', async () => expect(await exchange()).toBe(HYBRID_KEX));
  it.each<[string, (packet: Buffer) => void]>([
    ['an invalid ML-KEM key', (packet) => packet.fill(0xff, 0, 1184)],
    ['an X25519 point of small order', (packet) => packet.fill(0, 1184)],
  ])('with %s ends the connection', async (_name, change) => {
    expect(await exchange(change)).not.toBe(HYBRID_KEX);
    // Other connections are unaffected.
    expect(await exchange()).toBe(HYBRID_KEX);
  });
});
