/** `max_sessions` over two gateways of one authority, with stock ssh. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditRow } from '#schemas/events/rows.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { startSecondGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { stopAll } from '../support/stop-all.js';

const steno = new Steno();
let second: SecondGateway;
const target = `${steno.login}@local`;
const here = (...command: readonly string[]) => steno.ssh(`${target}.steno`, ...command);
const apply = (more: string) => {
  writeFileSync(
    join(steno.folder, 'role.yaml'),
    `kind: role\nname: admin\nadminister: true\nview: all\nallow:\n  nodes: {"*": "*"}\n  logins: ["*", root, "{user}"]\n${more}`,
  );
  return must(steno.steno('apply', '-f', join(steno.folder, 'role.yaml')));
};

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  second = await startSecondGateway(steno, 'second');
}, 60_000);
afterAll(() =>
  stopAll(
    () => second?.stop(),
    () => steno.dispose(),
  ),
);

describe('a role with max_sessions: 1', () => {
  it('counts a session at the other gateway, even one that began before the limit was set', async () => {
    const session = second.terminal(target);
    await session.until(/[$#] $/);
    await apply('max_sessions: 1\n');
    const refused = await eventually(
      () => here('true'),
      ({ status }) => status !== 0,
    );
    expect(refused).toMatchObject({ status: 255, stderr: expect.stringContaining('1 at a time [SESSIONS_TOO_MANY]') });
    session.write('exit\r');
    await session.ended;
    expect(
      await eventually(
        () => here('echo hello'),
        ({ status }) => status === 0,
      ),
    ).toMatchObject({ stdout: 'hello\n' });
    const taken = (row: AuditRow, outcome: string): boolean => row.event === 'session_place.take' && row.outcome === outcome;
    const refusal = (row: AuditRow): boolean => row.event === 'session.refused' && row.code === 'SESSIONS_TOO_MANY';
    const rows: readonly AuditRow[] = await eventually(
      () => viewerOf(steno).audit(),
      (found) => found.some((row) => taken(row, 'failure')) && found.some((row) => taken(row, 'success')) && found.some(refusal),
    );
    expect(rows.find((row) => taken(row, 'failure'))).toMatchObject({
      code: 'SESSIONS_TOO_MANY',
      target: steno.login,
      actor: 'gateway/local',
    });
  });

  it('admits consecutive sessions through the same gateway without delay', async () => {
    for (const n of [1, 2, 3]) expect(await second.ssh(target, `echo ${n}`)).toMatchObject({ status: 0, stdout: `${n}\n` });
  });

  it('releases the slots of a killed gateway', async () => {
    const session = second.terminal(target);
    await session.until(/[$#] $/);
    expect((await here('true')).stderr).toContain('SESSIONS_TOO_MANY');
    await second.stop('SIGKILL');
    await session.ended;
    expect(
      await eventually(
        () => here('echo back'),
        ({ status }) => status === 0,
        60_000,
      ),
    ).toMatchObject({ stdout: 'back\n' });
  }, 90_000);
});
