/**
 * Agents as pods of the nodes of a real cluster, from the manifests that `steno kube agents` prints. There is no image of Steno here, so the
 * programs of this machine are mounted into one of busybox; privileges, mounts and arguments are those of the manifests.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { bin, eventually } from '../end-to-end/machine.js';
import type { Result } from '../end-to-end/machine.js';
import { lacking } from './kubernetes.js';
import { openKubeScene, succeeded } from './scene.js';
import type { KubeScene } from './scene.js';

const missing = obstacles();
const why = lacking ?? (missing.length > 0 ? `kernel events cannot be recorded here: ${explain(missing)}` : null);
if (why !== null) console.warn(`skipped: ${why}`);

const NAMESPACE = 'steno-node-agents';
const AGENT = 'kube-east-node1';

interface Volume {
  readonly name: string;
  hostPath?: { path: string };
}
interface Document {
  readonly kind: string;
  readonly spec: {
    readonly template: {
      readonly spec: {
        hostNetwork?: boolean;
        readonly containers: [Record<string, unknown> & { volumeMounts: object[] }];
        readonly volumes: Volume[];
      };
    };
  };
}

describe.skipIf(why !== null)('agents as pods on the nodes of a cluster', () => {
  let scene: KubeScene;
  let manifests: string;
  const direct = (...words: readonly string[]): Promise<Result> =>
    scene.steno.exec(scene.kubernetes.kubectl, ['--kubeconfig', scene.kubernetes.admin, ...words]);
  const kubectl = (...words: readonly string[]): Promise<Result> => scene.steno.exec(scene.kubernetes.kubectl, words);
  const inNamespace = (...words: readonly string[]): Promise<string> => succeeded(direct('-n', NAMESPACE, ...words));
  const agentState = async (): Promise<unknown> =>
    (await scene.steno.json<NodeStatus[]>('nodes')).find(({ name }) => name === AGENT)?.state;
  const said = async (): Promise<string> =>
    (await direct('-n', NAMESPACE, 'logs', '-l', 'app=steno-node-agent', '--tail=50')).stdout +
    (await direct('-n', NAMESPACE, 'describe', 'pods')).stdout;
  const eventsOf = async (mark: string): Promise<readonly KernelEventInfo[]> => {
    const [session] = await eventually(
      async () => (await viewerOf(scene.steno).sessions()).filter(({ command }) => command.includes(mark)),
      (rows) => rows.length > 0,
    );
    const { id } = session!;
    return eventually(
      () =>
        viewerOf(scene.steno)
          .events(id)
          .catch(() => []),
      (all) => all.some(({ kind, name }) => kind === 'kernel' && name === 'end') || all.some(({ kind }) => kind === 'gap'),
    );
  };
  /** The manifests with the programs of this machine instead of an image, keys in the test's own folder, and its loopback network. */
  const patched = (): string =>
    parseAllDocuments(manifests)
      .map((document) => document.toJS() as Document)
      .map((document) => {
        if (document.kind !== 'DaemonSet') return document;
        const { spec } = document.spec.template;
        const [container] = spec.containers;
        spec.hostNetwork = true;
        spec.volumes.find(({ name }) => name === 'data')!.hostPath!.path = join(scene.steno.folder, 'node-agent');
        const root = dirname(dirname(bin));
        const prefix = dirname(dirname(process.execPath));
        const own = ['/usr', '/lib', '/lib64', root, prefix].filter((path, i, all) => existsSync(path) && all.indexOf(path) === i);
        own.forEach((path, i) => {
          spec.volumes.push({ name: `own-${i}`, hostPath: { path } });
          container.volumeMounts.push({ name: `own-${i}`, mountPath: path, readOnly: true });
        });
        Object.assign(container, { imagePullPolicy: 'Never', command: [process.execPath, bin, 'agent'] });
        return document;
      })
      .map((document) => stringify(document, { aliasDuplicateObjects: false }))
      .join('---\n');

  beforeAll(async () => {
    scene = await openKubeScene('--tunnel-listen', '127.0.0.1:0');
    mkdirSync(join(scene.steno.folder, 'node-agent'));
    manifests = await succeeded(scene.steno.steno('kube', 'agents', 'east', 'node1', '--image', 'localhost/busybox:1'));
  }, 300_000);
  afterAll(async () => {
    await scene?.close();
  }, 60_000);

  it('the API server accepts the manifests unchanged', async () => {
    await succeeded(direct('create', 'namespace', NAMESPACE));
    const answer = await succeeded(direct('apply', '--dry-run=server', '--validate=strict', '-f', scene.file('agents.yaml', manifests)));
    expect(answer.match(/\(server dry run\)/g)).toHaveLength(4);
    expect(await scene.steno.steno('kube', 'agents', 'nowhere', 'node1')).toMatchObject({
      stderr: expect.stringContaining('KUBE_CLUSTER_UNKNOWN') as string,
    });
  });

  it('after one apply, commands in pods have kernel events with the names of pod and container', async () => {
    await succeeded(direct('apply', '-f', scene.file('agents.yaml', patched())));
    try {
      await eventually(agentState, (now) => now === 'live', 60_000);
    } catch (error) {
      throw new Error(await said(), { cause: error });
    }
    await succeeded(kubectl('exec', 'box', '--', 'sh', '-c', 'cat /etc/passwd > /tmp/by-a-pod; sleep 1'));
    const all = await eventsOf('by-a-pod');
    expect(all.filter(({ kind }) => kind === 'gap').map(({ name }) => name)).toEqual([]);
    const programs = all.filter(({ kind }) => kind === 'exec');
    expect(programs.map(({ data }) => (data['argv'] as string[]).join(' '))).toEqual([
      'sh -c cat /etc/passwd > /tmp/by-a-pod; sleep 1',
      'cat /etc/passwd',
      'sleep 1',
    ]);
    // A process that lives long enough for its executable to be read.
    expect(programs[0]!.sha256).toMatch(/^[0-9a-f]{64}$/);
    for (const { data } of programs)
      expect(data).toMatchObject({ namespace: 'default', pod_name: 'box', container: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    const made = all.find(({ kind, path }) => kind === 'file' && path === '/tmp/by-a-pod')!;
    expect(readFileSync(String(made.data['host_path']), 'utf8')).toMatch(/^root:/);
  });

  it('the agent takes no sessions itself', async () => {
    const { status } = await scene.steno.steno('ssh', `root@${AGENT}`, 'true');
    expect(status).not.toBe(0);
  });

  it('a replaced pod is the same node, without a token', async () => {
    await inNamespace('delete', 'secret', 'steno-node-tokens');
    await inNamespace('delete', 'pod', '-l', 'app=steno-node-agent', '--wait=true');
    await inNamespace('rollout', 'status', 'daemonset/steno-node-agent', '--timeout=90s');
    await eventually(
      () => kubectl('exec', 'box', '--', 'echo', 'once-more'),
      ({ stdout }) => stdout === 'once-more\n',
    );
    await eventually(agentState, (now) => now === 'live');
    await succeeded(kubectl('exec', 'box', '--', 'echo', 'with-a-new-pod'));
    const all = await eventsOf('with-a-new-pod');
    expect(all.filter(({ kind }) => kind === 'exec').map(({ data }) => data['argv'])).toEqual([['echo', 'with-a-new-pod']]);
  });
});
