/**
 * Third-party Kubernetes clients, with the same expectations through the gateway and without it: helm, `@kubernetes/client-node`, Python's
 * `kubernetes` and kubectl 1.20, which .ci/kubernetes-clients installs; and kubectl by a table of commands.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { viewerOf } from '../end-to-end/client-tools.js';
import type { Result } from '../end-to-end/machine.js';
import { eventually } from '../end-to-end/machine.js';
import { lacking } from './kubernetes.js';
import { openKubeScene, succeeded } from './scene.js';
import type { KubeScene } from './scene.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const brought = (path: string): string => join(root, 'node_modules/.cache/kubernetes-clients', path);
const programs = { helm: brought('helm/helm'), python: brought('python/bin/python'), kubectl120: brought('debian/usr/bin/kubectl') };
const absent = (program: keyof typeof programs): boolean => !existsSync(programs[program]);

if (lacking !== null) console.warn(`skipped: ${lacking}`);
for (const name of Object.keys(programs) as (keyof typeof programs)[])
  if (absent(name)) console.warn(`skipped: ${name} is not here (bash .ci/kubernetes-clients; part of .ci/full)`);

const boxes = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'boxes.shop.example' },
  spec: {
    group: 'shop.example',
    scope: 'Namespaced',
    names: { plural: 'boxes', singular: 'box', kind: 'Box', shortNames: ['bx'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {}, scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' } },
        additionalPrinterColumns: [{ name: 'Colour', type: 'string', jsonPath: '.spec.colour' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: { type: 'object', properties: { colour: { type: 'string', enum: ['mauve', 'teal'] }, replicas: { type: 'integer' } } },
              status: { type: 'object', properties: { replicas: { type: 'integer' } } },
            },
          },
        },
      },
    ],
  },
};
const box = (colour: string): string =>
  JSON.stringify({ apiVersion: 'shop.example/v1', kind: 'Box', metadata: { name: 'first' }, spec: { colour, replicas: 1 } });

const chart = {
  'Chart.yaml': 'apiVersion: v2\nname: web\nversion: 0.1.0\n',
  'values.yaml': 'colour: mauve\n',
  'templates/all.yaml': `
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-seen"}
data: {colour: {{ .Values.colour }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}"}
spec:
  replicas: 1
  selector: {matchLabels: {app: "{{ .Release.Name }}"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}"}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: "localhost/busybox:1", imagePullPolicy: Never, command: [sleep, "1000000"], env: [{name: COLOUR, value: {{ .Values.colour }}}]}]
`,
};

describe.skipIf(lacking !== null)('clients of Kubernetes', () => {
  let scene: KubeScene;
  const run = (config: 'direct' | 'gateway', program: string, args: readonly string[]): Promise<Result> =>
    scene.steno.exec(program, args, { env: { KUBECONFIG: scene.configs[config] } });
  const kubectl = (config: 'direct' | 'gateway', ...args: readonly string[]): Promise<Result> =>
    run(config, scene.kubernetes.kubectl, args);
  /** Runs it through the gateway and without, each time after `before` has restored the state of the cluster. */
  const both = async (
    ask: (config: 'direct' | 'gateway') => Promise<Result>,
    before?: () => Promise<unknown>,
  ): Promise<[Result, Result]> => {
    await before?.();
    const direct = await ask('direct');
    await before?.();
    return [await ask('gateway'), direct];
  };

  beforeAll(async () => {
    scene = await openKubeScene();
    await succeeded(kubectl('direct', 'apply', '-f', scene.file('boxes.json', JSON.stringify(boxes))));
    await succeeded(kubectl('direct', 'wait', '--for=condition=Established', 'crd/boxes.shop.example'));
    await eventually(
      () => kubectl('direct', 'apply', '-f', scene.file('box-mauve.json', box('mauve'))),
      ({ status }) => status === 0,
    );
    scene.file('box-teal.json', box('teal'));
    scene.file('box-other.json', box('other'));
  }, 300_000);
  afterAll(async () => {
    await scene?.close();
  }, 60_000);

  describe('kubectl', () => {
    const restored = (): Promise<unknown> =>
      succeeded(kubectl('direct', 'replace', '--force', '-f', join(scene.steno.folder, 'box-mauve.json')));
    const uncordoned = (): Promise<unknown> => succeeded(kubectl('direct', 'uncordon', 'node1'));
    /** A pod that may be evicted. */
    const evictable = async (): Promise<void> => {
      await uncordoned();
      const main = { name: 'main', image: 'localhost/busybox:1', imagePullPolicy: 'Never', command: ['sleep', '1000000'] };
      const metadata = { name: 'evictable', labels: { app: 'evictable' } };
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { terminationGracePeriodSeconds: 0, containers: [main] } };
      await succeeded(kubectl('direct', 'apply', '-f', scene.file('evictable.json', JSON.stringify(pod))));
      await succeeded(kubectl('direct', 'wait', '--for=condition=Ready', 'pod/evictable', '--timeout=90s'));
    };

    afterAll(uncordoned);

    it.each<[string, readonly string[], (() => Promise<unknown>)?]>([
      ['what a role may do', ['auth', 'can-i', '--list']],
      ['what a role may do to a subresource', ['auth', 'can-i', 'create', 'pods/exec']],
      ['an explanation', ['explain', 'pods.spec.containers.ports', '--recursive']],
      ['an explanation of a CRD', ['explain', 'boxes.spec']],
      ['top without metrics', ['top', 'pods']],
      ['top of nodes without metrics', ['top', 'nodes']],
      ['a missing rollout', ['rollout', 'status', 'deployment/absent']],
      ['the history of a missing rollout', ['rollout', 'history', 'deployment/absent']],
      ['a drain as a dry run', ['drain', 'node1', '--dry-run=server'], uncordoned],
      ['a drain refused because of an unmanaged pod', ['drain', 'node1', '--pod-selector=app=evictable'], evictable],
      ['a drain that evicts', ['drain', 'node1', '--force', '--pod-selector=app=evictable'], evictable],
      ['a drain of a missing node', ['drain', 'absent']],
      ['a cordon', ['cordon', 'node1'], uncordoned],
      ['server-side apply', ['apply', '--server-side', '-f', 'box-teal.json'], restored],
      ['server-side apply of another manager', ['apply', '--server-side', '--field-manager=other', '-f', 'box-teal.json'], restored],
      ['a dry run of it', ['apply', '--server-side', '--dry-run=server', '-f', 'box-teal.json'], restored],
      ['an object that the schema refuses', ['apply', '-f', 'box-other.json'], restored],
      ['an object that already exists', ['create', '-f', 'box-mauve.json'], restored],
      ['a CRD in its columns', ['get', 'bx', '--no-headers', '-o', 'custom-columns=N:.metadata.name,C:.spec.colour'], restored],
      ['a CRD by a short name', ['get', 'bx', 'first', '-o', 'jsonpath={.spec}'], restored],
      ['a scale of a CRD', ['scale', 'box/first', '--replicas=3'], restored],
      ['a status of a CRD', ['patch', 'bx', 'first', '--subresource=status', '--type=merge', '-p', '{"status":{"replicas":3}}'], restored],
      ['a scale subresource', ['get', 'bx', 'first', '--subresource=scale', '-o', 'name'], restored],
      [
        'a patch that does not apply',
        ['patch', 'bx', 'first', '--type=json', '-p', '[{"op":"test","path":"/spec/colour","value":"x"}]'],
        restored,
      ],
      ['a deletion', ['delete', 'bx', 'first'], restored],
      ['a condition that is met', ['wait', '--for=jsonpath={.status.phase}=Running', 'pod/box', '--timeout=5s']],
      ['a condition that is not met', ['wait', '--for=delete', 'pod/box', '--timeout=0s']],
      ['logs of a missing container', ['logs', 'box', '-c', 'absent']],
      ['an unsupported field selector', ['get', 'pods', '--field-selector', 'bogus=1']],
      ['a copy of a missing file', ['cp', 'absent:/x', 'copied']],
      ['a token for a second', ['create', 'token', 'default', '--duration', '1s']],
    ])('%s gives the same as without the gateway', async (_claim, args, before) => {
      const words = args.map((word) => (word.endsWith('.json') ? join(scene.steno.folder, word) : word));
      const [ours, theirs] = await both((config) => kubectl(config, ...words), before);
      expect(ours).toEqual(theirs);
    });

    it('copies a tree with odd names', async () => {
      const tree = join(scene.steno.folder, 'tree');
      mkdirSync(join(tree, 'a b', 'deep'), { recursive: true });
      const names = [
        'a b/deep/plain',
        "quote'",
        'double"',
        'ümläut',
        '-dash',
        'star*',
        'back\\slash',
        'new\nline',
        '.hidden',
        '$(touch x)',
      ];
      for (const name of names) writeFileSync(join(tree, name), name.repeat(5_000));
      writeFileSync(join(tree, 'empty'), '');
      // kubectl cannot copy every name; both ways must copy the same ones.
      const copied = async (config: 'direct' | 'gateway'): Promise<ReadonlyMap<string, string | null>> => {
        await succeeded(kubectl(config, 'cp', tree, `box:/tmp/${config}`));
        const back = join(scene.steno.folder, `back-${config}`);
        await succeeded(kubectl(config, 'cp', `box:/tmp/${config}`, back));
        const read = (name: string): string | null => (existsSync(join(back, name)) ? readFileSync(join(back, name), 'utf8') : null);
        return new Map([...names, 'empty'].map((name) => [name, read(name)]));
      };
      const [theirs, ours] = [await copied('direct'), await copied('gateway')];
      expect(ours).toEqual(theirs);
      const whole = [...ours].filter(([name, text]) => text === (name === 'empty' ? '' : name.repeat(5_000)));
      expect(whole.length).toBeGreaterThanOrEqual(names.length - 1);
    });

    it('a watch shows the same as without the gateway', async () => {
      await restored();
      const args = ['get', 'bx', '-w', '--output-watch-events', '--no-headers'];
      const watches = (['direct', 'gateway'] as const).map((config) =>
        scene.steno.terminal(scene.kubernetes.kubectl, args, undefined, { KUBECONFIG: scene.configs[config] }),
      );
      try {
        for (const watch of watches) await watch.until(/ADDED +first +mauve *\r\n/);
        await succeeded(kubectl('direct', 'patch', 'bx', 'first', '--type=merge', '-p', '{"spec":{"colour":"teal"}}'));
        for (const watch of watches) await watch.until(/MODIFIED +first +teal *\r\n/);
        await succeeded(kubectl('direct', 'delete', 'bx', 'first'));
        for (const watch of watches) await watch.until(/DELETED +first +teal *\r\n/);
        expect(watches[1]!.text()).toBe(watches[0]!.text());
      } finally {
        for (const watch of watches) watch.kill();
        await Promise.all(watches.map(({ ended }) => ended));
        await restored();
      }
    });
  });

  it('@kubernetes/client-node gives the same as without the gateway', async () => {
    const script = join(root, 'test/kube/clients/client.mjs');
    const [ours, theirs] = await both((config) => run(config, process.execPath, [script, scene.configs[config]]));
    expect([theirs.status, theirs.stderr]).toEqual([0, '']);
    expect(JSON.parse(ours.stdout)).toEqual(JSON.parse(theirs.stdout));
    expect(JSON.parse(ours.stdout)).toMatchObject({ 'a forwarded port': ['HTTP/1.1 200 OK', 300_000], 'an informer': 'box' });
  });

  it.skipIf(absent('python'))("Kubernetes' client in Python finds what it finds without the gateway, and is recorded", async () => {
    const script = join(root, 'test/kube/clients/client.py');
    const [ours, theirs] = await both((config) => run(config, programs.python, [script, scene.configs[config]]));
    expect([theirs.status, theirs.stderr]).toEqual([0, '']);
    expect(JSON.parse(ours.stdout)).toEqual(JSON.parse(theirs.stdout));
    expect(JSON.parse(ours.stdout)).toMatchObject({
      'a watch': ['ADDED', 'box'],
      'a forwarded port': ['HTTP/1.1 200 OK', 300_000],
      'exec with input line by line, and its exit code': ['got-ünï', 7, 'v5.channel.k8s.io'],
    });
    const rows = await eventually(
      () => viewerOf(scene.steno).sessions(),
      (all) => all.some(({ kind, state }) => kind === 'forward' && state !== 'live'),
    );
    expect(rows.filter(({ kind }) => kind === 'exec').map(({ exit_code: code }) => code)).toEqual(expect.arrayContaining([0, 3, 7]));
  });

  describe.skipIf(absent('helm'))('helm', () => {
    const settled = ({ status, stdout, stderr }: Result): Result => ({
      status,
      stderr: stderr.replace(/\b(?:ours|theirs)\b/g, 'NAME'),
      stdout: stdout
        .replace(/\b(?:ours|theirs)\b/g, 'NAME')
        .replace(/\w{3} \w{3} +\d+ [\d:]+ \d{4}|\d{4}-\d\d-\d\d [\d:.]+ \+0000 UTC/g, 'WHEN')
        .replace(/ +/g, ' '),
    });

    it('installs, upgrades, rolls back and uninstalls a chart as without the gateway', async () => {
      const folder = join(scene.steno.folder, 'chart');
      mkdirSync(join(folder, 'templates'), { recursive: true });
      for (const [name, text] of Object.entries(chart)) writeFileSync(join(folder, name), text);
      const colour = async (name: string): Promise<string> =>
        succeeded(kubectl('direct', 'get', 'configmap', `${name}-seen`, '-o', 'jsonpath={.data.colour}'));
      const life = async (config: 'direct' | 'gateway', name: string): Promise<unknown[]> => {
        const helm = async (...args: readonly string[]): Promise<Result> => settled(await run(config, programs.helm, args));
        return [
          await helm('install', name, folder, '--wait', '--timeout', '90s'),
          await helm('upgrade', name, folder, '--set', 'colour=teal', '--wait', '--timeout', '90s'),
          await colour(name),
          await helm('history', name),
          await helm('rollback', name, '1', '--wait', '--timeout', '90s'),
          await colour(name),
          await helm('get', 'manifest', name),
          await helm('list', '-q', '--filter', name),
          await helm('install', name, folder),
          await helm('upgrade', 'absent', folder),
          await helm('uninstall', name, '--wait', '--timeout', '90s'),
          await helm('status', name),
        ];
      };
      const theirs = await life('direct', 'theirs');
      expect(theirs.slice(0, 3)).toMatchObject([{ status: 0 }, { status: 0 }, 'teal']);
      expect(theirs.slice(4, 6)).toMatchObject([{ status: 0 }, 'mauve']);
      expect(await life('gateway', 'ours')).toEqual(theirs);
    }, 300_000);
  });

  describe.skipIf(absent('kubectl120'))('kubectl 1.20, which speaks SPDY/3.1 alone', () => {
    let older: string;
    const old = (config: 'direct' | 'gateway', ...args: readonly string[]): Promise<Result> =>
      scene.steno.exec(programs.kubectl120, args, { env: { KUBECONFIG: config === 'direct' ? scene.configs.direct : older } });

    beforeAll(async () => {
      older = join(scene.steno.folder, 'older.kubeconfig');
      const wrote = await scene.steno.exec(process.execPath, [join(root, 'bin/steno'), 'kube', 'login', 'east', '--exec-api', 'v1beta1'], {
        env: { KUBECONFIG: older },
      });
      expect(wrote.status).toBe(0);
    });

    it.each([
      ['lists', ['get', 'pods', '-o', 'name']],
      ['exit code, output and errors', ['exec', 'box', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']],
      ['a missing pod', ['exec', 'absent', '--', 'true']],
      ['resources', ['api-resources', '--no-headers', '-o', 'name']],
      ['a CRD', ['get', 'bx', '-o', 'name']],
    ])('%s give the same as without the gateway', async (_claim, args) => {
      const [ours, theirs] = await both((config) => old(config, ...args));
      expect(ours).toEqual(theirs);
    });

    it('forwards a port', async () => {
      const forward = scene.steno.terminal(programs.kubectl120, ['port-forward', 'pod/box', ':8080'], undefined, { KUBECONFIG: older });
      await forward.until(/Forwarding from 127.0.0.1:\d+ -> 8080/);
      const port = Number(/127.0.0.1:(\d+) -> 8080/.exec(forward.text())![1]);
      const length = await new Promise<number>((resolve, reject) => {
        httpGet({ host: '127.0.0.1', port, path: '/file', agent: false }, (answer) => {
          let got = 0;
          answer.on('data', (chunk: Buffer) => (got += chunk.length));
          answer.on('end', () => resolve(got));
        }).on('error', reject);
      });
      expect(length).toBe(300_000);
      forward.kill();
      await forward.ended;
    });
  });

  it('`steno kube ls` shows the version of the cluster and that it is ready', async () => {
    const version = JSON.parse(await succeeded(kubectl('direct', 'version', '-o', 'json'))) as { serverVersion: { gitVersion: string } };
    const listed = await scene.steno.json<{ last_seen_at: number }[]>('kube', 'ls');
    expect(listed).toMatchObject([{ name: 'east', state: 'ready', version: version.serverVersion.gitVersion, reason: null }]);
    expect(Math.abs(Date.now() - listed[0]!.last_seen_at)).toBeLessThan(60_000);
    expect((await scene.steno.json<object[]>('kube', 'ls', '--no-check'))[0]).not.toHaveProperty('state');
    await succeeded(scene.steno.steno('lock', '--kube-cluster', 'east', '--reason', 'incident'));
    expect(await scene.steno.json('kube', 'ls')).toMatchObject([{ state: 'refused', version: null, reason: 'LOCKED' }]);
  });
});
