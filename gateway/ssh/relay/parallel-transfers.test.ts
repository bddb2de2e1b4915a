/**
 * Libraries that read and write a file at many offsets at once, through the gateway to a stock sshd: the recording still has the
 * size and digest of the file.
 */
import { createHash, createPrivateKey } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { SFTPWrapper } from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FileFact } from '#schemas/recording/line.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { certificateAuth } from '#runtime/ssh/certified-key.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { parsePrivateKeyFile } from '#runtime/ssh/private-key-file.js';
import { earlyPool } from '../../streams/observing/budget.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

const BYTES = 20_000_003;
const python = '/usr/bin/python3';
const hasAsyncssh = ((): boolean => {
  try {
    execFileSync(python, ['-W', 'ignore', '-c', 'import asyncssh'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

let world: World;
let big: string;
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
beforeAll(async () => {
  world = await openWorld({ keepBytes: false });
  big = join(world.directory, 'big');
  const bytes = Buffer.alloc(BYTES);
  for (let i = 0; i + 4 <= BYTES; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
  writeFileSync(big, bytes);
});
afterAll(() => world.close());

/** The facts about reads and writes that `transfer` leaves. */
async function facts(transfer: () => Promise<unknown>): Promise<readonly FileFact[]> {
  const before = world.recorder.recordings().length;
  await transfer();
  while (world.recorder.live.size > 0) await new Promise(setImmediate);
  expect(earlyPool.held).toBe(0);
  return (
    world.recorder
      .recordings()
      .slice(before)
      .flatMap((recording) => recording.facts('file')) as unknown as FileFact[]
  ).filter(({ operation }) => operation === 'read' || operation === 'write');
}

const whole = (operation: 'read' | 'write', path: string): unknown => {
  const fact = { fact: 'file', protocol: 'sftp', operation, path, size: BYTES, sha256: sha256(big), outcome: 'success' };
  return operation === 'read' ? fact : expect.objectContaining(fact);
};

describe('a file of 20 MB', () => {
  it('by asyncssh, one file and a whole folder', async ({ skip }) => {
    skip(!hasAsyncssh, "Debian's package python3-asyncssh is missing");
    const folder = join(world.directory, 'folder');
    mkdirSync(folder);
    for (let n = 0; n < 5; n++) writeFileSync(join(folder, `file ${n}`), `content ${n}`.repeat(10_000 * n));
    const key = world.userKey('plain', { criticalOptions: new Map() });
    const up = join(world.directory, 'up');
    const seen = await facts(async () => {
      const { status, stderr } = await world.run(python, [
        '-W',
        'ignore',
        '-c',
        `
import asyncssh, asyncio
async def main():
    async with asyncssh.connect('127.0.0.1', ${world.port}, username='root@node-1', known_hosts=None, client_keys=[('${key}', '${key}-cert.pub')]) as c:
        async with c.start_sftp_client() as s:
            await s.get('${big}', '${world.directory}/down')
            await s.put('${big}', '${up}')
            await s.get('${folder}', '${world.directory}/folder2', recurse=True)
asyncio.run(main())`,
      ]);
      expect(status, stderr).toBe(0);
    });
    expect(sha256(join(world.directory, 'down'))).toBe(sha256(big));
    expect(seen.slice(0, 2)).toEqual([whole('read', big), whole('write', up)]);
    expect(
      seen
        .slice(2)
        .map(({ path, sha256: digest, note }) => ({ path, digest, note }))
        .sort((a, b) => (a.path < b.path ? -1 : 1)),
    ).toEqual(
      [0, 1, 2, 3, 4].map((n) => ({ path: join(folder, `file ${n}`), digest: sha256(join(folder, `file ${n}`)), note: undefined })),
    );
  });

  it("by ssh2's fastPut and fastGet", async () => {
    const alice = join(world.directory, 'alice');
    const pem = createPrivateKey({ key: parsePrivateKeyFile(readFileSync(alice, 'utf8')), format: 'jwk' })
      .export({ type: 'pkcs8', format: 'pem' })
      .toString();
    const certificate = Buffer.from(parseAuthorizedLine(readFileSync(`${alice}-cert.pub`, 'utf8')).blob);
    const [up, down] = [join(world.directory, 'fast-up'), join(world.directory, 'fast-down')];
    const seen = await facts(async () => {
      const client = new ssh2.Client();
      client.connect({
        host: '127.0.0.1',
        port: world.port,
        username: 'root@node-1',
        authHandler: certificateAuth('root@node-1', loadPrivateKey(pem), certificate),
      });
      await once(client, 'ready');
      const sftp = await new Promise<SFTPWrapper>((resolve, reject) =>
        client.sftp((error, opened) => (error === undefined ? resolve(opened) : reject(error))),
      );
      await new Promise<void>((resolve, reject) => sftp.fastPut(big, up, (error) => (error == null ? resolve() : reject(error))));
      await new Promise<void>((resolve, reject) => sftp.fastGet(up, down, (error) => (error == null ? resolve() : reject(error))));
      client.end();
      await once(client, 'close');
    });
    expect(sha256(down)).toBe(sha256(big));
    expect(seen).toEqual([whole('write', up), whole('read', up)]);
  });
});
