/** `ssh` from inside a recorded session, through the gateway: two sessions, and the second one names the first. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('a session that is opened from inside another', () => {
  const steno = new Steno();
  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
  });
  afterAll(() => steno.dispose());

  const target = (): string => `${steno.login}@local.steno`;
  /** Command line that runs `ssh` from a script, to avoid nested quotes of two shells. */
  const inside = (name: string, command: string): string => {
    const script = join(steno.folder, name);
    const words = ['-F', steno.config, '-o', 'BatchMode=yes', target(), command].map((word) => `'${word}'`).join(' ');
    writeFileSync(script, `#!/bin/sh\nPATH=${steno.env['PATH']} STENO_HOME=${steno.env['STENO_HOME']} exec ssh -n ${words}\n`, {
      mode: 0o755,
    });
    return script;
  };
  const found = (command: string, fits: (row: SessionInfo) => boolean): Promise<SessionInfo> =>
    eventually(
      async () => (await viewerOf(steno).sessions()).find((row) => row.command === command)!,
      (row) => (row as SessionInfo | undefined) !== undefined && fits(row),
    );

  it('names the outer session and its user in lists and in events, on every path of the client', async () => {
    const deeper = inside('deeper', 'true third');
    const script = inside('script', `true second; ${deeper}`);
    const { status, stderr } = await steno.ssh(target(), script);
    expect(status, stderr).toBe(0);
    const first = await found(script, () => true);
    const second = await found(`true second; ${deeper}`, ({ opened_from: outer }) => outer !== undefined);
    const third = await found('true third', ({ opened_from: outer }) => outer !== undefined);
    const refOf = ({ id, user, node, login }: SessionInfo): object => ({ id, user, node, login });
    expect([first.opened_from, second.opened_from, third.opened_from]).toEqual([undefined, refOf(first), refOf(second)]);
    const said = `Opened from inside session ${second.id}, ${second.user} as ${second.login}@local`;
    for (const form of [[], ['--tree']]) {
      const { stdout, stderr } = await steno.steno('events', third.id, ...form);
      expect(stdout.split('\n')[0], stderr).toBe(said);
    }
    expect((await steno.steno('events', first.id)).stdout).not.toContain('Opened from inside');
    expect((await steno.steno('sessions')).stdout).toMatch(new RegExp(`${third.id} .* ${second.id} +true third`));
  });

  it('is linked to none if a client outside all sessions opened it while another session is open', async () => {
    const held = steno.terminal('ssh', ['-F', steno.config, '-tt', target(), 'sh']);
    await held.until(/[#$] $/);
    expect((await steno.ssh(target(), 'true outside')).status).toBe(0);
    const linked = inside('linked', 'true linked');
    held.write(`${linked}\nexit\n`);
    await held.ended;
    // The later session is linked, so the node's events have arrived.
    await found('true linked', ({ opened_from: outer }) => outer !== undefined);
    expect((await found('true outside', () => true)).opened_from).toBeUndefined();
  });
});
