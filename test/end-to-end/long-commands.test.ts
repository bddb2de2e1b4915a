/** Commands of 100 and 250 kB: run if the node can, and recorded, exported and verified whole. */
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CUT_MARK, joinCommand, parseHeader, parseLine } from '#schemas/recording/line.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { certificateAuth } from '#runtime/ssh/certified-key.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { parsePrivateKeyFile } from '#runtime/ssh/private-key-file.js';
import { must, sessionsOf, viewerOf } from './client-tools.js';
import type { Viewer } from './client-tools.js';
import { Steno } from './machine.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';

const steno = new Steno();
let stock: StockNode;
let viewer: Viewer;
beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  stock = await startStockNode(steno, 'stock');
  viewer = viewerOf(steno);
});
afterAll(async () => {
  await stock?.stop();
  await steno.dispose();
});

/** Sent by a library, because an argument of `ssh` has at most 128 KiB. */
async function exec(
  node: string,
  command: string,
): Promise<{ readonly status: number | null; readonly out: string; readonly err: string }> {
  const home = join(steno.folder, 'home');
  const [host, port] = steno.run.ssh.split(':') as [string, string];
  const pem = createPrivateKey({ key: parsePrivateKeyFile(readFileSync(join(home, 'id_ed25519'), 'utf8')), format: 'jwk' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString();
  const certificate = Buffer.from(parseAuthorizedLine(readFileSync(join(home, 'id_ed25519-cert.pub'), 'utf8')).blob);
  const username = `${steno.login}@${node}`;
  const client = new ssh2.Client();
  client.connect({ host, port: Number(port), username, authHandler: certificateAuth(username, loadPrivateKey(pem), certificate) });
  await once(client, 'ready');
  const failed = once(client, 'error').then(([error]) => Promise.reject(error as Error));
  failed.catch(() => undefined);
  const ended = new Promise<{ status: number | null; out: string; err: string }>((resolve, reject) =>
    client.exec(command, (error, channel) => {
      if (error !== undefined) return reject(error);
      let [out, err] = ['', ''];
      channel.on('data', (data: Buffer) => {
        out += data.toString();
      });
      channel.stderr.on('data', (data: Buffer) => {
        err += data.toString();
      });
      channel.on('close', (status: number | null) => resolve({ status, out, err }));
    }),
  );
  try {
    return await Promise.race([ended, failed]);
  } finally {
    client.end();
  }
}

/** The command in the exported recording of a session; also verifies the session. */
async function recorded(id: string): Promise<{ readonly command: string; readonly header: string | undefined; readonly lines: number }> {
  const [first, ...rest] = (await viewer.cast(id)).trimEnd().split('\n');
  const facts = rest.map((line) => parseLine(line)!).flatMap((line) => (line.code === 's' && line.data.fact === 'exec' ? [line.data] : []));
  const file = join(steno.folder, `${id}.cast.zst`);
  await must(steno.steno('export', id, '-o', file));
  await must(steno.steno('verify', file));
  const ca = join(steno.folder, 'recording_ca.pub');
  writeFileSync(ca, (await must(steno.steno('ca', 'export', 'recording'))).stdout);
  await must(steno.exec('python3', [verifier, file, ca]));
  return {
    command: facts.reduce((before, fact) => joinCommand(before, fact, Infinity), ''),
    header: parseHeader(first!).command,
    lines: facts.length,
  };
}
const verifier = fileURLToPath(new URL('../../docs/verify.py', import.meta.url));

describe.each(['stock', 'local'])('on node %s', (node) => {
  it('a command of 100 kB runs, and its recording has the whole command', async () => {
    const command = `printf %s ${'é0123456'.repeat(11_111)} | wc -c; exit 3`;
    const [session] = await sessionsOf(viewer, 1, async () => {
      expect(await steno.ssh(`${steno.login}@${node}.steno`, command)).toMatchObject({ status: 3, stdout: `${11_111 * 9}\n` });
    });
    expect(session!.command).toBe(command.length > 65_536 ? `${command.slice(0, 65_535)}${CUT_MARK}` : command);
    expect(await recorded(session!.id)).toEqual({
      command,
      header: `${command.slice(0, 4095)}${CUT_MARK}`,
      lines: Math.ceil(command.length / 10_000),
    });
  });

  it('a command of 250 kB reaches the node, fails there, and its recording has the whole command', async () => {
    const command = `: ${'0123456789'.repeat(25_000)}`;
    const [session] = await sessionsOf(viewer, 1, async () => {
      const { status, err } = await exec(node, command);
      expect(status).not.toBe(0);
      expect(err).toMatch(node === 'stock' ? /Argument list too long/ : /250002 bytes.*\[TOO_LARGE\]/);
    });
    expect(await recorded(session!.id)).toMatchObject({ command, lines: 26 });
  });

  it('a command beyond the packet size ends the connection with the reason', async () => {
    await expect(exec(node, 'x'.repeat(300_000))).rejects.toThrow(/a packet is damaged, or exceeds/);
  });
});
