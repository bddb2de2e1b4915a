/** Forwarding rules of roles, from the role's document through gateway and certificate to the node service, with stock ssh. */
import { existsSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { lookup } from 'node:dns/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

const steno = new Steno();
const named = await lookup(hostname()).then(
  () => true,
  () => false,
);
let echo: Server;
let port: number;
beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, '::');
  await once(echo, 'listening');
  port = (echo.address() as AddressInfo).port;
}, 60_000);
afterAll(async () => {
  echo?.close();
  await steno.dispose();
});

const admin = async (more: string): Promise<void> => {
  writeFileSync(
    join(steno.folder, 'admin.yaml'),
    `kind: role\nname: admin\nadminister: true\nview: all\nallow:\n  nodes: {"*": "*"}\n  logins: ["*", root, "{user}"]\n${more}`,
  );
  await must(steno.steno('apply', '-f', join(steno.folder, 'admin.yaml')));
};
const reach = (where: string, ...more: readonly string[]) =>
  steno.exec('ssh', ['-F', steno.config, ...more, '-W', where, `${steno.login}@local.steno`], { input: 'x' });

describe('by default', () => {
  it('a name is left to the node, which connects', async () => {
    expect(await reach(`localhost:${port}`)).toMatchObject({ status: 0, stdout: 'x' });
    if (named) expect(await reach(`${hostname()}:${port}`)).toMatchObject({ status: 0, stdout: 'x' });
  });

  it('no metadata service is reached', async () => {
    for (const host of ['169.254.169.254', '2852039166', 'metadata.google.internal'])
      expect((await reach(`${host}:80`)).stderr).toContain('(a link-local or metadata address) [ACCESS_DENIED]');
  });
});

describe('where a role closes loopback', () => {
  beforeAll(() => admin('port_forwarding:\n  loopback: false\n'));
  afterAll(() => admin(''));

  it('neither the gateway nor the node connects to it, and the message tells which one refused', async () => {
    await eventually(
      () => reach(`127.0.0.1:${port}`),
      ({ status }) => status === 255,
    );
    expect((await reach(`127.0.0.1:${port}`)).stderr).toContain('(the node itself) [ACCESS_DENIED]');
    if (!named) return;
    // Only the node knows that this is its own name.
    const { status, stderr } = await reach(`${hostname()}:${port}`);
    expect(status).toBe(255);
    expect(stderr).toContain('[ACCESS_DENIED]');
    expect(stderr).not.toContain('use an address');
  });

  it('the new rules apply to a connection from before the change', async () => {
    await admin('');
    await eventually(
      () => reach(`127.0.0.1:${port}`),
      ({ status }) => status === 0,
    );
    const control = join(steno.folder, 'cm');
    const master = steno.terminal('ssh', [
      '-F',
      steno.config,
      '-M',
      '-S',
      control,
      '-tt',
      `${steno.login}@local.steno`,
      'echo rea""dy; cat',
    ]);
    await master.until(/ready/);
    expect(existsSync(control)).toBe(true);
    const inner = (where: string) =>
      steno.exec('ssh', ['-F', steno.config, '-S', control, '-W', where, `${steno.login}@local.steno`], { input: 'x' });
    expect((await inner(`localhost:${port}`)).stdout).toBe('x');
    await admin('port_forwarding:\n  loopback: false\n');
    await eventually(
      () => inner(`127.0.0.1:${port}`),
      ({ stdout }) => stdout === '',
    );
    // The node has the old rules, so the gateway no longer lets it resolve names.
    expect((await inner(`${hostname()}:${port}`)).stdout).toBe('');
    // Ends the remote `cat`, and the connection with it.
    master.write('\x04');
    await master.ended;
  });
});
