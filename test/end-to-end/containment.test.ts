/** A lock while the event store and the viewer do not answer: it ends the sessions of every gateway, and the command reports it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LockRecord } from '#schemas/api/access/locks.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { LockEffects } from '#schemas/api/access/locks.js';
import { must } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';
import { startSecondGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { TestAccount } from './test-account.js';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stopAll } from '../support/stop-all.js';

const steno = new Steno();
const account = new TestAccount();
let second: SecondGateway;
let mallory: Person;

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const file = join(steno.folder, 'roles.yaml');
  writeFileSync(file, `kind: role\nname: visitor\nallow: { nodes: { "*": "*" }, logins: ["${account.name}"] }\n`);
  await must(steno.steno('apply', '-f', file));
  await must(steno.steno('users', 'add', 'mallory', '--roles', 'visitor'));
  mallory = await person(steno, await openAuthorities(steno), 'mallory', ['visitor'], [account.name]);
  second = await startSecondGateway(steno, 'second');
}, 120_000);
afterAll(() =>
  stopAll(
    () => second?.stop(),
    () => steno.dispose(),
    () => account.remove(),
  ),
);

it.each(['SIGSTOP', 'SIGKILL'] as const)(
  'with their process under %s, sessions of both gateways end, and the command reports that both have applied the lock',
  async (signal) => {
    const here = mallory.terminal('-tt', `${account.name}@local.steno`);
    const there = second.terminal(`${steno.login}@local`);
    for (const terminal of [here, there]) {
      terminal.write('echo rea""dy\r');
      await terminal.until(/ready/);
    }
    const store = steno.run.processes['store']!;
    process.kill(store, signal);
    try {
      const lock = await steno.json<Lock & { effects: LockEffects }>('lock', '--user', 'mallory', '--reason', 'stolen laptop');
      await here.ended;
      expect(here.text()).toContain('stolen laptop');
      expect(lock.effects.gateways).toEqual(expect.arrayContaining(['second']));
      expect(lock.effects.applied.map(({ gateway }) => gateway).sort()).toEqual([...lock.effects.gateways].sort());
      expect(lock.effects.applied.reduce((sum, { sessions }) => sum + sessions, 0)).toBe(1);
      const refused = await mallory.ssh(`${account.name}@local.steno`, 'true');
      expect(refused.stderr).toContain('[LOCKED]');

      const node = await steno.json<Lock & { effects: LockEffects }>('lock', '--login', steno.login, '--reason', 'second laptop');
      await there.ended;
      expect(there.text()).toContain('second laptop');
      expect(node.effects.applied.find(({ gateway }) => gateway === 'second')).toMatchObject({ connections: 1, sessions: 1 });
      expect(await steno.json<LockRecord[]>('locks')).toHaveLength(2);
      for (const { id } of [lock, node]) await must(steno.steno('unlock', id));
    } finally {
      if (signal === 'SIGSTOP') process.kill(store, 'SIGCONT');
    }
    await eventually(
      () => mallory.ssh(`${account.name}@local.steno`, 'true'),
      ({ status }) => status === 0,
    );
  },
);
