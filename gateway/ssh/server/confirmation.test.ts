import { afterAll, beforeAll, expect, it } from 'vitest';
import { roleSchema } from '#schemas/policy/role.js';
import { defaultSlots } from '#runtime/http/stranger-slots.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld({ limits: { slots: defaultSlots, waiting: 0, waitingPerSource: 0, admissionMs: 5_000 } });
  world.authority.roles = [
    roleSchema.parse({ kind: 'role', name: 'admin', allow: { nodes: { '*': '*' }, logins: ['root', '*'] }, require_session_mfa: true }),
  ];
  world.authority.changed();
});
afterAll(() => world.close());

const ways: readonly (readonly [string, readonly string[]])[] = [
  ['through a jump', ['root@node-1', 'echo hello']],
  ['with the target in the user name', ['-l', 'root@node-1', 'gw', 'echo hello']],
];

it.each(ways)('stock ssh %s shows the address, waits, and continues once the user has confirmed', async (_name, args) => {
  const seen: string[] = [];
  world.authority.confirmed = async (url) => {
    seen.push(url);
    return true;
  };
  const before = world.authority.confirmations.length;
  const { status, stdout, stderr } = await world.run('ssh', ['-F', world.sshConfig, ...args]);
  expect({ status, stdout }).toEqual({ status: 0, stdout: 'hello\n' });
  expect(stderr).toContain('http://steno.invalid/confirm#root.node-1');
  // The session's certificate is issued for exactly this approval.
  expect(world.authority.confirmations.slice(before)).toEqual(seen);
});

it('each connection needs a confirmation of its own', async () => {
  let asked = 0;
  world.authority.confirmed = async () => {
    asked += 1;
    return true;
  };
  for (let i = 0; i < 2; i++) expect((await world.run('ssh', ['-F', world.sshConfig, 'root@node-1', 'true'])).status).toBe(0);
  expect(asked).toBe(2);
});

it("nothing starts without the user's confirmation, and the terminal and the audit say why", async () => {
  world.authority.confirmed = async () => false;
  const { status, stdout, stderr } = await world.run('ssh', ['-F', world.sshConfig, 'root@node-1', 'echo hello']);
  expect({ status, stdout }).toEqual({ status: 255, stdout: '' });
  expect(stderr).toContain('SESSION_UNCONFIRMED');
  expect(world.recorder.audits).toContainEqual(
    expect.objectContaining({ event: 'auth.refused', code: 'SESSION_UNCONFIRMED', node: 'node-1' }),
  );
});

it('a user who leaves while waiting is forgotten', async () => {
  let told: (() => void) | undefined;
  const asked = new Promise<void>((resolve) => {
    told = resolve;
  });
  world.authority.confirmed = () => {
    told?.();
    return new Promise(() => undefined);
  };
  const child = world.start('ssh', ['-F', world.sshConfig, '-l', 'root@node-1', 'gw', 'true']);
  await asked;
  child.kill('SIGKILL');
  world.authority.confirmed = async () => true;
  expect((await world.run('ssh', ['-F', world.sshConfig, 'root@node-1', 'true'])).status).toBe(0);
});
