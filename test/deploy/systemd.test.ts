/** The agent's unit, installed as deploy/README.md describes, on a machine that systemd has booted. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import { person, openAuthorities } from '../end-to-end/people.js';
import type { Person } from '../end-to-end/people.js';
import { Steno, bin, eventually } from '../end-to-end/machine.js';
import { BootedMachine, whyNoMachine } from './booted-machine.js';

const why = whyNoMachine();
if (why !== null) console.warn(`skipped: ${why}`);

describe.skipIf(why !== null)('the unit of the agent', () => {
  const steno = new Steno();
  let machine: BootedMachine;
  let alice: Person;
  const state = async () => (await steno.json<NodeStatus[]>('nodes')).find(({ name }) => name === 'unit')?.state;
  const property = async (name: string) => (await machine.must('systemctl', 'show', '-P', name, 'steno-agent')).trim();
  const session = (login: string, command: string, ...options: readonly string[]) => alice.ssh(...options, `${login}@unit.steno`, command);

  beforeAll(async () => {
    machine = await BootedMachine.boot(7);
    await steno.start('--tunnel-listen', `${machine.space.outside}:0`);
    await steno.json('login', '--data', steno.data);
    alice = await person(steno, await openAuthorities(steno), 'alice', ['admin'], ['root', 'deploy']);
    // The multi-user target would start logind, which PAM asks for session scopes.
    await machine.must('systemctl', 'start', 'systemd-logind.service');
    await machine.must('useradd', '--create-home', '--shell', '/bin/bash', 'deploy');
    await machine.must('ln', '-s', '/opt/steno/bin/steno', '/usr/local/bin/steno');
    await machine.must('install', '-m', '644', '/opt/steno/deploy/systemd/steno-agent.service', '/etc/systemd/system/');
    await machine.must('systemctl', 'daemon-reload');
  });
  afterAll(async () => {
    await machine?.dispose();
    await steno.dispose();
  });

  it('is a valid unit', async () => {
    expect(await machine.run('systemd-analyze', 'verify', '/etc/systemd/system/steno-agent.service')).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('fails and is not restarted if it has no token', async () => {
    expect((await machine.run('systemctl', 'start', 'steno-agent')).status).not.toBe(0);
    expect(await property('ActiveState')).toBe('failed');
    expect(await machine.must('journalctl', '-u', 'steno-agent', '--no-pager')).toContain('[AGENT_NOT_JOINED]');
    await machine.must('systemctl', 'reset-failed', 'steno-agent');
  });

  it('has joined once `systemctl start` returns; the token is a credential and can be deleted then', async () => {
    const { token, gateways, ca_pins } = await steno.json<JoinTokenCreated>('tokens', 'add', '--type', 'node');
    await machine.write('/etc/credstore/steno.token', token, '600');
    await machine.write(
      '/etc/steno/agent.env',
      `OPTIONS=--gateway=${gateways.join(',')} --ca-pin=${ca_pins.join(',')} --name unit --labels node/where=unit\n`,
      '600',
    );
    await machine.must('systemctl', 'enable', '--now', 'steno-agent');
    await machine.must('rm', '/etc/credstore/steno.token');
    await eventually(state, (now) => now === 'live');
    expect(await property('StatusText')).toMatch(/^node unit, through /);
    expect(await machine.must('stat', '-c', '%a %U', '/var/lib/steno-agent', '/var/lib/steno-agent/service.key')).toBe(
      '700 root\n600 root\n',
    );
    const pid = await property('MainPID');
    // The token is neither in its arguments nor in its environment.
    expect(await machine.must('cat', `/proc/${pid}/cmdline`, `/proc/${pid}/environ`)).not.toContain(token);
  });

  it('comes back after a restart and after a kill without a token', async () => {
    await machine.must('systemctl', 'restart', 'steno-agent');
    await eventually(
      () => steno.ssh(`${steno.login}@unit.steno`, 'echo restarted'),
      ({ stdout }) => stdout === 'restarted\n',
    );
    const before = await property('MainPID');
    await machine.must('kill', '-KILL', before);
    await eventually(
      async () => [await property('ActiveState'), await property('MainPID')],
      ([active, pid]) => active === 'active' && pid !== before && pid !== '0',
    );
    await eventually(
      () => steno.ssh(`${steno.login}@unit.steno`, 'echo again'),
      ({ stdout }) => stdout === 'again\n',
    );
  });

  it('admits only root while the machine is closed to users', async () => {
    await machine.must('test', '-e', '/run/nologin');
    expect(await session('deploy', 'true')).toMatchObject({ status: 255, stderr: expect.stringContaining('[NODE_REFUSED]') as string });
    // A boot to the multi-user target does this.
    await machine.must('systemctl', 'start', 'systemd-user-sessions.service');
    expect((await session('deploy', 'echo open')).stdout).toBe('open\n');
  });

  it('leaves a session everything that a login provides', async () => {
    const { stdout, stderr } = await session(
      'deploy',
      'id -un; pwd; umask; ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj; grep -E "CapEff|NoNewPrivs" /proc/self/status; id -u; cat /proc/self/loginuid; echo; cat /proc/self/cgroup; echo $XDG_RUNTIME_DIR; touch ~/mine && stat -c %a ~/mine',
    );
    const lines = stdout.split('\n');
    const hard = (await machine.must('systemd-run', '--quiet', '--pipe', '--wait', 'sh', '-c', 'ulimit -Hn')).trim();
    expect(lines.slice(0, 8), stderr).toEqual([
      'deploy',
      '/home/deploy',
      '0022',
      '1024',
      hard,
      expect.stringMatching(/^\d+$/),
      'CapEff:\t0000000000000000',
      'NoNewPrivs:\t0',
    ]);
    // The kernel's audit names the user.
    expect(lines[9]).toBe(lines[8]);
    expect(lines.at(-2)).toBe('644');
    // PAM moves the session into a scope of logind, outside the unit's cgroup.
    expect(stdout).toMatch(/user\.slice\/user-\d+\.slice\/session-\w+\.scope/);
    expect(stdout).toMatch(/\/run\/user\/\d+\n/);
  });

  it('gives sessions terminals, setuid programs and login records', async () => {
    const shell = alice.terminal('deploy@unit.steno');
    await shell.until(/\$ $/);
    shell.write('tty; stat -c "%U %a" $(tty); su -c id </dev/null; who\r');
    await shell.until(/\/dev\/pts\/\d+\r\ndeploy 620[^]*Password:[^]*deploy +pts\/\d+ .*\(127\.0\.0\.1\)/);
    expect(await machine.must('last', '-w')).toMatch(/^deploy +pts\/\d+ +127\.0\.0\.1 .*still logged in/m);
    expect(await machine.must('lastlog', '-u', 'deploy')).toMatch(/^deploy +pts\/\d+ +127\.0\.0\.1 /m);
    // The session ends with the agent, in the login records too.
    await machine.must('systemctl', 'restart', 'steno-agent');
    expect(await shell.ended).not.toBe(0);
    expect(await machine.must('who')).not.toContain('deploy');
    expect(await machine.must('last', '-w')).not.toMatch(/^deploy .*still logged in/m);
    await eventually(
      () => machine.run('pgrep', '-u', 'deploy', 'bash'),
      ({ stdout }) => stdout === '',
    );
  });

  it('`steno doctor` says whether kernel events can be recorded', async () => {
    const { stdout } = await machine.run('steno', 'doctor');
    expect(stdout).toMatch(/kernel events/);
    const journal = await machine.must('journalctl', '-u', 'steno-agent', '--no-pager', '-o', 'cat');
    const [good] = /[✓!] kernel events/.exec(stdout) ?? [''];
    expect(journal).toContain(good.startsWith('✓') ? 'kernel events are recorded' : 'kernel events cannot be recorded');
  });

  it('ends within its time limit and logs it', async () => {
    await machine.must('systemctl', 'stop', 'steno-agent');
    expect([await property('ActiveState'), await property('Result')]).toEqual(['inactive', 'success']);
    await eventually(state, (now) => now === 'gone');
  });

  it('matches the documentation', () => {
    const readme = readFileSync(join(bin, '../../deploy/README.md'), 'utf8');
    for (const words of ['/etc/credstore/steno.token', 'deploy/systemd/steno-agent.service', 'systemctl enable --now steno-agent'])
      expect(readme).toContain(words);
  });
});
