/** kubectl under a role that demands participants, and `steno join` of its sessions: against a real Kubernetes, over WebSocket and SPDY. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Ca } from '../../authority/ca/ca.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { bin, eventually } from '../end-to-end/machine.js';
import type { Terminal } from '../end-to-end/machine.js';
import { openAuthorities, person } from '../end-to-end/people.js';
import type { Person } from '../end-to-end/people.js';
import { lacking } from './kubernetes.js';
import { openKubeScene, succeeded } from './scene.js';
import type { KubeScene } from './scene.js';

if (lacking !== null) console.warn(`skipped: ${lacking}`);

describe.skipIf(lacking !== null)('kubectl under a role that demands a moderator', () => {
  let scene: KubeScene;
  let ca: Ca;
  let carol: Person;
  const apply = (name: string, role: object): Promise<string> =>
    succeeded(scene.steno.steno('apply', '-f', scene.file(`${name}.json`, JSON.stringify({ kind: 'role', name, ...role }))));
  const joining = (session: string, mode: string): Terminal =>
    scene.steno.terminal(process.execPath, [bin, 'join', session, '--mode', mode], undefined, { STENO_HOME: carol.home });
  const kubectl = (sockets: string, ...words: readonly string[]): Terminal =>
    scene.steno.terminal(scene.kubernetes.kubectl, words, undefined, { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: sockets });
  const asked = async (terminal: Terminal): Promise<string> =>
    /steno join (\S+) --mode moderator/.exec(await terminal.until(/steno join \S+ --mode moderator/))![1]!;

  beforeAll(async () => {
    scene = await openKubeScene();
    const { steno } = scene;
    await apply('helper', { view: 'none', allow: { sessions: [{ actions: ['list', 'join', 'moderate'], modes: ['peer', 'moderator'] }] } });
    await apply('kube', { allow: { kubernetes: [{ groups: ['system:masters'], resources: ['configmaps'] }] } });
    await eventually(
      () => steno.exec(scene.kubernetes.kubectl, ['get', 'pod', 'box']),
      ({ status }) => status !== 0,
    );
    await apply('kube', { allow: { kubernetes: [{ groups: ['system:masters'] }] }, moderation: {} });
    await eventually(
      () => steno.exec(scene.kubernetes.kubectl, ['get', 'pod', 'box']),
      ({ status }) => status === 0,
    );
    ca = await openAuthorities(steno);
    await succeeded(steno.steno('users', 'add', 'carol', '--roles', 'helper'));
    carol = await person(steno, ca, 'carol', ['helper'], ['nobody']);
  }, 300_000);
  afterAll(() => scene?.close(), 60_000);

  it.each([
    ['WebSocket', 'true'],
    ['SPDY', 'false'],
  ])('a shell over %s starts once a moderator has joined, who sees it and can end it', async (_claim, sockets) => {
    const shell = kubectl(sockets, 'exec', '-it', 'box', '--', 'sh');
    const session = await asked(shell);
    shell.write('echo too-earl""y\r');
    expect(shell.text()).not.toMatch(/# /);
    const joined = joining(session, 'moderator');
    await shell.until(/carol joined this session as moderator/);
    await shell.until(/# /);
    shell.write('stty size; echo seen-$((20 + 3))\r');
    await Promise.all([shell.until(/24 80\r\nseen-23/), joined.until(/seen-23/)]);
    expect(shell.text()).not.toContain('too-early');
    joined.write('tt');
    await shell.until(/ENDED_BY_MODERATOR/);
    expect(await shell.ended).not.toBe(0);
    await joined.ended;
    const row = await eventually(
      async () => (await viewerOf(scene.steno).sessions()).find(({ id }) => id === session),
      (found) => found !== undefined && found.state !== 'live',
    );
    expect(row).toMatchObject({ command: 'sh', tty: true, node: 'east/default/box' });
  });

  it('a command waits too; its output, errors and exit code are the same as without a moderator', async () => {
    const command = kubectl('true', 'exec', 'box', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    const joined = joining(await asked(command), 'moderator');
    expect(await command.ended).toBe(7);
    expect(command.text()).toMatch(/out\r\n/);
    expect(command.text()).toMatch(/err\r\n/);
    await joined.until(/exec: sh -c/);
    await joined.ended;
  });

  it('a later refusal by the API server reads the same as without a moderator', async () => {
    const command = kubectl('true', 'exec', 'box', '-c', 'absent', '--', 'true');
    const joined = joining(await asked(command), 'moderator');
    await command.until(/container (?:not found|absent is not valid)|absent/);
    expect(await command.ended).toBe(1);
    await joined.ended;
  });

  it('Ctrl-C stops waiting', async () => {
    const shell = kubectl('true', 'exec', '-it', 'box', '--', 'sh');
    await asked(shell);
    shell.write('\u0003');
    await shell.until(/MODERATION_AWAITED/);
    expect(await shell.ended).not.toBe(0);
  });

  it('port-forward is refused', async () => {
    const { status, stderr } = await scene.steno.exec(scene.kubernetes.kubectl, ['port-forward', 'box', ':8080']);
    expect([status, stderr]).toEqual([1, expect.stringContaining('MODERATION_IMPOSSIBLE') as string]);
  });
});
