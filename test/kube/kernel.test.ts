/** Kernel events of commands in pods of a real Kubernetes, whose node runs a real agent: over WebSocket and over SPDY. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { KUBE_NODE_LABEL } from '#schemas/kube/kube-cluster.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { eventually } from '../end-to-end/machine.js';
import type { Result, SessionRow, Terminal } from '../end-to-end/machine.js';
import { startTunnelNode } from '../end-to-end/tunnel-node.js';
import type { TunnelNode } from '../end-to-end/tunnel-node.js';
import { lacking } from './kubernetes.js';
import { openKubeScene, succeeded } from './scene.js';
import type { KubeScene } from './scene.js';

const missing = obstacles();
const why = lacking ?? (missing.length > 0 ? `kernel events cannot be recorded here: ${explain(missing)}` : null);
if (why !== null) console.warn(`skipped: ${why}`);

const protocols = [
  ['WebSocket', {}],
  ['SPDY', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' }],
] as const;
type Env = Readonly<Record<string, string>>;

describe.skipIf(why !== null)('commands in pods', () => {
  let scene: KubeScene;
  let node: TunnelNode;
  const kubectl = (words: readonly string[], env: Env = {}): Promise<Result> =>
    scene.steno.exec(scene.kubernetes.kubectl, words, { env: { ...scene.steno.env, ...env } });
  const terminal = (words: readonly string[], env: Env = {}): Terminal =>
    scene.steno.terminal(scene.kubernetes.kubectl, words, undefined, env);
  const direct = (...words: readonly string[]): Promise<Result> =>
    scene.steno.exec(scene.kubernetes.kubectl, ['--kubeconfig', scene.kubernetes.admin, ...words]);
  /** The sessions whose command contains these words. */
  const sessions = async (words: string): Promise<readonly SessionRow[]> =>
    (await viewerOf(scene.steno).sessions()).filter(({ command }) => command.includes(words));
  const session = async (words: string): Promise<SessionRow> =>
    (
      await eventually(
        () => sessions(words),
        (rows) => rows.length > 0,
      )
    )[0]!;
  const events = (id: string, ...more: readonly string[]): Promise<readonly KernelEventInfo[]> =>
    scene.steno.json<KernelEventInfo[]>('events', id, '--all', ...more).catch(() => []);
  const exits = (all: readonly KernelEventInfo[]): number => all.filter(({ kind }) => kind === 'exit').length;
  const argvOf = (all: readonly KernelEventInfo[]): readonly string[] =>
    all.filter(({ kind }) => kind === 'exec').map(({ data }) => (data['argv'] as string[]).join(' '));
  const gaps = async (id: string): Promise<readonly string[]> => (await events(id, '--kind', 'gap')).map(({ name }) => name);
  const demand = async (): Promise<void> => {
    const role = {
      kind: 'role',
      name: 'kube',
      allow: { kubernetes: [{ groups: ['system:masters'], resources: ['pods', 'pods/exec', 'pods/portforward'] }] },
      port_forwarding: true,
      recording: { enhanced: { mode: 'strict' } },
    };
    await succeeded(scene.steno.steno('apply', '-f', scene.file('role.json', JSON.stringify(role))));
    await eventually(
      () => kubectl(['get', 'configmaps']),
      ({ status }) => status !== 0,
    );
  };

  beforeAll(async () => {
    scene = await openKubeScene('--tunnel-listen', '127.0.0.1:0');
    node = await startTunnelNode(scene.steno, 'worker', { token: ['--labels', `${KUBE_NODE_LABEL}=east/node1`] });
  }, 300_000);
  afterAll(async () => {
    await node?.stop();
    await scene?.close();
  }, 60_000);

  it.each(protocols)('over %s: programs, files, connections and users of a command belong to its session', async (protocol, env) => {
    const mark = `mark-${protocol}`;
    const script = `cat /etc/passwd > /tmp/${mark}; wget -q -O /dev/null http://127.0.0.1:8080/file; su nobody -c 'id -u'; echo ${mark}`;
    const { status, stdout } = await kubectl(['exec', 'box', '--', 'sh', '-c', script], env);
    expect({ status, stdout }).toEqual({ status: 0, stdout: `65534\n${mark}\n` });
    const { id, node: where } = await session(mark);
    expect(where).toBe('east/default/box');
    const all = await eventually(
      () => events(id),
      (some) => exits(some) >= 4 && some.some(({ name }) => name === 'end'),
    );
    expect(argvOf(all)[0]).toBe(`sh -c ${script}`);
    expect(argvOf(all)).toEqual(
      expect.arrayContaining(['cat /etc/passwd', 'wget -q -O /dev/null http://127.0.0.1:8080/file', 'sh -c id -u']),
    );
    const container = (await direct('get', 'pod', 'box', '-o', 'jsonpath={.status.containerStatuses[0].containerID}')).stdout.replace(
      /^.*\//,
      '',
    );
    for (const { data } of all.filter(({ kind }) => kind === 'exec'))
      expect(data).toMatchObject({ container, namespace: 'default', pod_name: 'box' });
    const made = all.find(({ kind, path }) => kind === 'file' && path === `/tmp/${mark}`)!;
    expect(made.name).toBe('create');
    // The same file by its path on the host.
    expect(readFileSync(String(made.data['host_path']), 'utf8')).toMatch(/^root:.*:\/root:\/bin\/sh\n/);
    expect(all).toContainEqual(expect.objectContaining({ kind: 'connect', address: '127.0.0.1', port: 8080, outcome: 'success' }));
    expect(all.filter(({ kind }) => kind === 'privilege').map(({ data }) => JSON.stringify(data))).toContainEqual(
      expect.stringContaining('65534'),
    );
    expect(await gaps(id)).toEqual([]);
    // The event log is signed and complete.
    await eventually(
      () => scene.steno.json<{ readonly ok: boolean; readonly event_log?: { readonly end: string } }>('verify', id).catch(() => null),
      (verdict) => verdict?.ok === true && verdict.event_log?.end === 'complete',
    );
  });

  it.each(protocols)('over %s: a shell on a terminal is followed until it ends', async (protocol, env) => {
    const shell = terminal(['exec', '-it', 'box', '--', 'env', `NAME=${protocol}`, 'sh'], env);
    await shell.until(/# /);
    shell.write('cat /proc/self/status > /dev/null\r');
    shell.write('sh -c "exit 3"; echo ended-$?\r');
    await shell.until(/ended-3/);
    shell.write('exit\r');
    await shell.ended;
    const { id } = await session(`NAME=${protocol}`);
    const all = await eventually(
      () => events(id),
      (some) => exits(some) >= 3,
    );
    expect(argvOf(all)).toEqual([`env NAME=${protocol} sh`, 'sh', 'cat /proc/self/status', 'sh -c exit 3']);
  });

  it('two concurrent identical commands each belong to their own session', async () => {
    const words = ['exec', '-i', 'box', '--', 'sh', '-c', 'echo ready; read -r which; cat "/etc/$which"'];
    const both = [terminal(words), terminal(words)];
    for (const one of both) await one.until(/ready/);
    for (const [at, one] of both.entries()) one.write(`passwd-${at}\n`);
    await Promise.all(both.map(({ ended }) => ended));
    const rows = await eventually(
      () => sessions('read -r which'),
      (some) => some.length === 2,
    );
    const opened = await Promise.all(
      rows.map(async ({ id }) => {
        const all = await eventually(
          () => events(id),
          (some) => exits(some) > 0 && argvOf(some).length > 1,
        );
        expect(await gaps(id)).toEqual([]);
        return argvOf(all).filter((argv) => argv.startsWith('cat'));
      }),
    );
    expect(opened.flat().sort()).toEqual(['cat /etc/passwd-0', 'cat /etc/passwd-1']);
    expect(opened.map(({ length }) => length)).toEqual([1, 1]);
  });

  it('the container’s own processes belong to no session, even with the same command', async () => {
    const loop = "while :; do sh -c 'echo tick > /tmp/tick'; sleep 0.05; done";
    const main = { name: 'main', image: 'localhost/busybox:1', imagePullPolicy: 'Never', command: ['sh', '-c', loop] };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'busy' },
      spec: { terminationGracePeriodSeconds: 0, containers: [main] },
    };
    await succeeded(direct('apply', '-f', scene.file('busy.json', JSON.stringify(pod))));
    await succeeded(direct('wait', '--for=condition=Ready', 'pod/busy', '--timeout=90s'));
    await succeeded(kubectl(['exec', 'busy', '--', 'sh', '-c', 'echo tick > /tmp/tick']));
    const { id } = await session('echo tick');
    const all = await eventually(
      () => events(id),
      (some) => exits(some) > 0,
    );
    expect([argvOf(all), exits(all), await gaps(id)]).toEqual([['sh -c echo tick > /tmp/tick'], 1, []]);
  });

  it('the same command run without Steno, before the first output, leaves a gap with that reason', async () => {
    const silent = terminal(['exec', '-i', 'box', '--', 'sh', '-c', 'read -r silent']);
    const { id } = await session('read -r silent');
    await eventually(
      () => events(id),
      (all) => argvOf(all).length > 0,
    );
    await direct('exec', 'box', '--', 'sh', '-c', 'read -r silent');
    await eventually(
      () => gaps(id),
      (all) => all.some((name) => name.startsWith('another process of the same command')),
    );
    silent.write('x\n');
    await silent.ended;
  });

  it('entering the mounts of the node is an escape, and so is a program there', async () => {
    const main = {
      ...{ name: 'main', image: 'localhost/busybox:1', imagePullPolicy: 'Never', command: ['sleep', '2147483647'] },
      securityContext: { privileged: true },
    };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'rooted' },
      spec: {
        hostPID: true,
        terminationGracePeriodSeconds: 0,
        containers: [main],
      },
    };
    await succeeded(direct('apply', '-f', scene.file('rooted.json', JSON.stringify(pod))));
    await succeeded(direct('wait', '--for=condition=Ready', 'pod/rooted', '--timeout=90s'));
    await succeeded(kubectl(['exec', 'rooted', '--', 'sh', '-c', `nsenter -t ${node.pid()} -m -- /bin/true; echo has-entered`]));
    const { id } = await session('has-entered');
    const all = await eventually(
      () => events(id),
      (some) => some.some(({ kind, name }) => kind === 'kernel' && name === 'end'),
    );
    expect(await gaps(id)).toEqual([]);
    const entered = all.filter(({ kind }) => kind === 'escape').map(({ name, reason }) => [name, reason]);
    expect(entered).toContainEqual(['setns', 'namespaces of the node']);
    expect(entered).toContainEqual([expect.stringContaining('true'), 'namespaces of the node']);
    await succeeded(direct('delete', 'pod', 'rooted', '--grace-period=0', '--force'));
  });

  it('kernel rows are found by their pod, like those of the recording', async () => {
    const mark = 'found-by-pod';
    await succeeded(kubectl(['exec', 'box', '--', 'sh', '-c', `true > /tmp/${mark}`]));
    const { id } = await session(mark);
    const found = (...words: readonly string[]): Promise<readonly { readonly kind: string; readonly session: string }[]> =>
      scene.steno.json('search', ...words);
    await eventually(
      () => found(`path:/tmp/${mark}`, 'pod:box', 'namespace:default', 'cluster:east', 'container:main'),
      (hits) => hits.some((hit) => hit.session === id && hit.kind === 'file'),
    );
    expect(await found(`path:/tmp/${mark}`, 'pod:other')).toEqual([]);
  });

  it('a command that does not exist is an error without a gap; a script is recognized', async () => {
    const { status, stderr } = await kubectl(['exec', 'box', '--', '/bin/absent']);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/absent/);
    await succeeded(
      kubectl(['exec', 'box', '--', 'sh', '-c', 'printf \'#!/bin/sh\\necho "$1"\\n\' > /bin/script.sh; chmod +x /bin/script.sh']),
    );
    expect(await succeeded(kubectl(['exec', 'box', '--', 'script.sh', 'told']))).toBe('told\n');
    const { id } = await session('script.sh told');
    const all = await eventually(
      () => events(id),
      (some) => exits(some) > 0,
    );
    expect(argvOf(all)).toEqual(['/bin/sh /bin/script.sh told']);
    expect(await gaps((await session('/bin/absent')).id)).toEqual([]);
  });

  const BEFORE = 'what the container did before somebody attached';
  const image = ['--image=localhost/busybox:1', '--image-pull-policy=Never'];
  it.each([
    ['run', 'WebSocket', {}, ['run', 'own-1', ...image, '-it', '--restart=Never', '--', 'sh']],
    ['run', 'SPDY', protocols[1][1], ['run', 'own-2', ...image, '-it', '--restart=Never', '--', 'sh']],
    ['debug', 'WebSocket', {}, ['debug', 'box', ...image, '-it', '--target=main', '--', 'sh']],
  ])('%s attaches to a container over %s: its later events belong to the session', async (verb, protocol, env, words) => {
    const mark = `${verb}-${protocol}`;
    const shell = terminal(words, env);
    await shell.until(/# /);
    shell.write(`sh -c 'cat /etc/passwd; true ${mark}' > /tmp/${mark}; echo done-$?\r`);
    await shell.until(/done-0/);
    shell.write('exit\r');
    await shell.ended;
    // A session that attaches has no command.
    const found = await eventually(
      async () => {
        for (const { id, command } of await viewerOf(scene.steno).sessions()) {
          const all = command === '' ? await events(id) : [];
          if (argvOf(all).some((argv) => argv.includes(mark)) && exits(all) >= 3) return { id, all };
        }
        return null;
      },
      (one) => one !== null,
      90_000,
    );
    expect(argvOf(found!.all)).toEqual(expect.arrayContaining(['cat /etc/passwd']));
    expect(found!.all).toContainEqual(expect.objectContaining({ kind: 'file', name: 'create', path: `/tmp/${mark}` }));
    expect(await gaps(found!.id)).toEqual([BEFORE]);
  });

  it('no event belongs to the session after it has detached', async () => {
    const pod = 'pod/busy';
    const ticks = (all: readonly KernelEventInfo[]): number => all.filter(({ path }) => path === '/tmp/tick').length;
    const before = new Set((await viewerOf(scene.steno).sessions()).map(({ id }) => id));
    const attached = terminal(['attach', pod]);
    const [{ id } = { id: '' }] = await eventually(
      async () => (await viewerOf(scene.steno).sessions()).filter((row) => !before.has(row.id)),
      (rows) => rows.length === 1,
    );
    await eventually(
      () => events(id),
      (all) => ticks(all) > 0,
    );
    attached.kill();
    await attached.ended;
    const all = await eventually(
      () => events(id),
      (some) => some.some(({ kind, name }) => kind === 'kernel' && name === 'end'),
    );
    expect(await gaps(id)).toEqual([BEFORE]);
    await succeeded(kubectl(['exec', 'busy', '--', 'sh', '-c', 'sleep 1']));
    expect(ticks(await events(id))).toBe(ticks(all));
  });

  it('a session in a cluster without agents has a gap', async () => {
    await succeeded(scene.steno.steno('kube', 'add', 'west', '--kubeconfig', scene.kubernetes.admin, '--labels', 'env=dev'));
    await succeeded(scene.steno.steno('kube', 'login', 'west'));
    try {
      await succeeded(kubectl(['exec', 'box', '--', 'echo', 'far-west']));
      const { id } = await session('far-west');
      await eventually(
        () => gaps(id),
        (all) => all.includes('the pod is on node1, where no agent of Steno runs'),
      );
    } finally {
      await succeeded(scene.steno.steno('kube', 'login', 'east'));
    }
  });

  it('a strict role admits commands on nodes with an agent, and refuses requests that cannot be watched', async () => {
    await demand();
    expect(await succeeded(kubectl(['exec', 'box', '--', 'echo', 'strict']))).toBe('strict\n');
    expect(await kubectl(['exec', 'box', '--', 'sh', '-c', 'exit 7'])).toMatchObject({ status: 7 });
    expect((await kubectl(['port-forward', 'pod/box', ':8080'])).stderr).toMatch(/forwarded connection.*\[KERNEL_RECORDING_IMPOSSIBLE\]/);
    const { id } = await session('echo strict');
    await eventually(
      () => events(id),
      (all) => exits(all) > 0,
    );
  });

  it('an agent that dies leaves a gap from then on and ends a strict session', async () => {
    const shell = terminal(['exec', '-it', 'box', '--', 'sh', '-c', 'echo in-the-middle; exec sh']);
    await shell.until(/in-the-middle/);
    await shell.until(/# /);
    await node.stop('SIGKILL');
    await shell.until(/KERNEL_RECORDING_IMPOSSIBLE/);
    await shell.ended;
    const { id } = await session('in-the-middle');
    await eventually(
      () => gaps(id),
      (all) => all.includes('the node was lost'),
    );
    expect((await kubectl(['exec', 'box', '--', 'echo', 'without'])).stderr).toMatch(
      /worker is connected.*\[KERNEL_RECORDING_IMPOSSIBLE\]/,
    );
    await node.start();
    await eventually(
      () => kubectl(['exec', 'box', '--', 'echo', 'again']),
      ({ stdout }) => stdout === 'again\n',
    );
  });
});
