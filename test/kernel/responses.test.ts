/** Automatic responses: from a command over real ssh to a frozen and to an ended session, with the delay of each. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

const rule = (name: string, id: string): string => `title: Runs ${name}
id: ${id}
logsource: { category: process_creation, product: linux }
detection: { selection: { CommandLine: /bin/true ${name} }, condition: selection }
level: high
`;

describe.skipIf(missing.length > 0)('a response', () => {
  const steno = new Steno();
  const target = (): string => `${steno.login}@local.steno`;
  beforeAll(async () => {
    const rules = join(steno.folder, 'rules');
    mkdirSync(rules);
    writeFileSync(join(rules, 'freeze.yml'), rule('to-freeze', '00000000-0000-4000-8000-0000000000f1'));
    writeFileSync(join(rules, 'moderate.yml'), rule('to-moderate', '00000000-0000-4000-8000-0000000000d1'));
    writeFileSync(join(rules, 'end.yml'), rule('to-end', '00000000-0000-4000-8000-0000000000e1'));
    writeFileSync(
      join(steno.folder, 'responses.yaml'),
      `responses:
  - { rules: [00000000-0000-4000-8000-0000000000f1], action: freeze }
  - { rules: [00000000-0000-4000-8000-0000000000d1], action: require_moderator }
  - { rules: [00000000-0000-4000-8000-0000000000e1], action: end, without_confirmation: true }
`,
    );
    await steno.start('--rules', rules, '--responses', join(steno.folder, 'responses.yaml'));
    await steno.json('login', '--data', steno.data);
  });
  afterAll(() => steno.dispose());

  interface AuditLine {
    readonly at: number;
    readonly event: string;
    readonly session: string;
    readonly data: string;
  }
  const audit = (event: string): Promise<readonly AuditLine[]> => viewerOf(steno).audit({ event });
  const actionOf = ({ data }: AuditLine): string => (JSON.parse(data) as { action: string }).action;

  test('freezes the terminal with a message on it; after a person unfreezes it, it stays unfrozen', async () => {
    const shell = steno.terminal('ssh', ['-F', steno.config, target()]);
    await shell.until(/[$#] $/);
    shell.write('/bin/true to-freeze\r');
    await shell.until(/this session is frozen, and what you type is discarded/);
    const [taken] = await eventually(
      () => audit('response.take'),
      (rows) => rows.length > 0,
    );
    expect(actionOf(taken!)).toBe('freeze');
    expect((await steno.steno('sessions', 'unfreeze', taken!.session)).status).toBe(0);
    await shell.until(/no longer frozen/);
    shell.write('echo still-$((40 + 2))\r');
    await shell.until(/still-42/);
    shell.write('exit\r');
    await shell.ended;
    expect(await audit('response.take')).toHaveLength(1);
  });

  test('makes the terminal wait for a moderator, with a message on it and a row in the list of locks; a person lifts it', async () => {
    const shell = steno.terminal('ssh', ['-F', steno.config, target()]);
    await shell.until(/[$#] $/);
    shell.write('/bin/true to-moderate\r');
    await shell.until(/this session needs a moderator to go on, and what you type is discarded/);
    const locks = await steno.json<{ readonly target_kind: string; readonly target: string }[]>('locks');
    const lock = locks.find(({ target_kind: kind }) => kind === 'session-moderation')!;
    expect((await steno.steno('sessions', 'unfreeze', lock.target)).status).toBe(0);
    await shell.until(/needs no moderator any longer/);
    shell.write('echo still-$((40 + 2))\r');
    await shell.until(/still-42/);
    shell.write('exit\r');
    await shell.ended;
  });

  test('ends the session', async () => {
    const shell = steno.terminal('ssh', ['-F', steno.config, target()]);
    await shell.until(/[$#] $/);
    shell.write('/bin/true to-end; sleep 60\r');
    await shell.until(/locked|ended/i);
    await shell.ended;
    const taken = await eventually(
      () => audit('response.take'),
      (rows) => rows.length > 2,
    );
    expect(taken.map(actionOf).sort()).toEqual(['end', 'freeze', 'require_moderator']);
  });
});
