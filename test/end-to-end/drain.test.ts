/** A draining gateway: no session begins; live sessions continue until they end or the configured time is over, and then end in order. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { startGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { keptPort } from './services.js';
import { readRunFile, dataDir } from '../../cli/machine/data-dir.js';

const steno = new Steno();
const target = `${steno.login}@local`;
let where: { readonly authorities: readonly string[]; readonly ingest: readonly string[] };

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const { authority, ingest } = readRunFile(dataDir(steno.data));
  where = { authorities: [authority], ingest: [ingest] };
});
afterAll(() => steno.dispose());

/** Starts a gateway with this `drain` time, and reads its health port. */
async function gatewayWith(
  name: string,
  drain: string,
): Promise<{ readonly gateway: SecondGateway; readonly ready: () => Promise<string> }> {
  const health = `127.0.0.1:${await keptPort()}`;
  const gateway = await startGateway(steno, name, where, undefined, { drain, health });
  return {
    gateway,
    async ready() {
      const answer = await fetch(`http://${health}/readyz`);
      return `${answer.status} ${(await answer.text()).trim()}`;
    },
  };
}

/** A login shell over a connection that further sessions may share. */
function shell(gateway: SecondGateway, socket: string) {
  const shared = ['-o', `ControlPath=${socket}`];
  const session = steno.terminal('ssh', ['-tt', ...shared, '-o', 'ControlMaster=yes', ...gateway.args(target)]);
  return { session, again: () => steno.exec('ssh', [...shared, ...gateway.args(target), 'echo again']) };
}

describe('a gateway that is told to stop', () => {
  it('admits no session, lets live sessions continue until they end, and then exits', async () => {
    const { gateway, ready } = await gatewayWith('patient', '1h');
    const { session, again } = shell(gateway, join(steno.folder, 'patient.sock'));
    await session.until(/[$#] $/);
    expect((await again()).stdout).toContain('again');
    expect(await ready()).toBe('200 ready');
    process.kill(gateway.service.pid, 'SIGTERM');
    await session.until(/this gateway is to stop; this session may go on for 1h/);
    expect(await ready()).toBe('503 draining');
    expect((await gateway.ssh(target, 'true')).stderr).toContain('Connection refused');
    const refused = await again();
    expect(refused.status).not.toBe(0);
    expect(`${refused.stdout}${refused.stderr}`).toContain('DRAINING');
    session.write('echo goes-$((20 + 3))\r');
    await session.until(/goes-23/);
    // Locks still apply while it drains.
    const { id } = (
      await eventually(
        () => viewerOf(steno).sessions(),
        (rows) => rows.some(({ tty, state }) => tty && state === 'live'),
      )
    ).find(({ tty }) => tty)!;
    await must(steno.steno('sessions', 'freeze', id, '--reason', 'a look'));
    await session.until(/this session is frozen/);
    await must(steno.steno('sessions', 'unfreeze', id));
    await session.until(/no longer frozen/);
    session.write('exit\r');
    await session.ended;
    expect(await gateway.service.ended).toBe(0);
    const rows = await eventually(
      () => viewerOf(steno).sessions(),
      (found) => found.every(({ state }) => state === 'sealed'),
    );
    expect(rows.map(({ id: each, exit_code }) => [each, exit_code])).toContainEqual([id, 0]);
  });

  it('ends them with a message once the time is over', async () => {
    const { gateway } = await gatewayWith('brief', '1s');
    const { session } = shell(gateway, join(steno.folder, 'brief.sock'));
    await session.until(/[$#] $/);
    process.kill(gateway.service.pid, 'SIGTERM');
    await session.until(/may go on for 1s/);
    await session.until(/\[DRAINING\]/);
    await session.ended;
    expect(await gateway.service.ended).toBe(0);
  });

  it('stops waiting when it is interrupted', async () => {
    const { gateway } = await gatewayWith('hurried', '1h');
    const { session } = shell(gateway, join(steno.folder, 'hurried.sock'));
    await session.until(/[$#] $/);
    process.kill(gateway.service.pid, 'SIGTERM');
    await session.until(/may go on for 1h/);
    process.kill(gateway.service.pid, 'SIGINT');
    await session.until(/\[DRAINING\]/);
    await session.ended;
    expect(await gateway.service.ended).toBe(0);
  });
});
