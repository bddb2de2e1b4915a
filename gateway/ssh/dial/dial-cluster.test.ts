import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { remoteNode } from '#schemas/documents/cluster.js';
import { gatewayPrincipal } from '#schemas/base/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { dialCluster } from './dial-cluster.js';
import { TestAuthority, startSshd } from '../../testing/harness.js';
import { cryptoReady } from '../transport/transport.js';

const stops: (() => Promise<void> | void)[] = [];
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** The result of dialling the gateway of cluster `b` at an address where a server with that name answers. */
async function dialled(name: string): Promise<string> {
  await cryptoReady;
  const folder = mkdtempSync(join(tmpdir(), 'steno-far-'));
  stops.push(() => rmSync(folder, { recursive: true, force: true }));
  const far = new TestAuthority();
  const sshd = await startSshd(folder, far, '', {}, name);
  stops.push(() => sshd.stop());
  const line = (key: { readonly publicBlob: Buffer }): string => formatPublicLine(key.publicBlob);
  const remote = remoteNode(
    [
      {
        version: 1,
        name: 'b',
        issued_at: 1,
        ssh_user_ca: [line(far.userCa)],
        ssh_host_ca: [line(far.hostCa)],
        gateways: [sshd.node.address],
        updates: null,
        role_map: {},
        reach: true,
      },
    ],
    'web-1.b',
  )!;
  const key = generateKey();
  const request = {
    node: remote.node,
    openTunnel: () => {
      throw new Error('no tunnel');
    },
    source: '127.0.0.1',
    login: 'root',
    key,
    certificate: Promise.resolve(far.userCertificate(Buffer.from(key.publicBlob))),
    hostAuthorities: [],
    now: () => Date.now() / 1000,
    signal: new AbortController().signal,
  };
  return dialCluster(request, remote).then(
    () => 'let in',
    (error: { code: string }) => error.code,
  );
}

describe('the gateway of another cluster', () => {
  it.each(['127.0.0.1', 'web-1', 'b', 'steno-gateway', gatewayPrincipal('c')])(
    'is not a server that its CA certified as %s',
    async (name) => {
      expect(await dialled(name)).toBe('NODE_HOST_KEY');
    },
  );

  it('is a server with its mark, at any address', async () => {
    // Only now does it turn out not to be a gateway: it has no user `root@web-1`.
    expect(await dialled(gatewayPrincipal('b'))).toBe('NODE_REFUSED');
  });
});
