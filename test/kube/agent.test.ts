/** kubectl in a cluster that the gateway reaches only through an agent inside it, which has the rights of its manifests. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, bin, eventually } from '../end-to-end/machine.js';
import type { Result } from '../end-to-end/machine.js';
import { lacking, startKubernetes } from './kubernetes.js';
import type { Kubernetes } from './kubernetes.js';

if (lacking !== null) console.warn(`skipped: ${lacking}`);

const SPDY = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };

describe.skipIf(lacking !== null)('a cluster with an agent inside', () => {
  let kubernetes: Kubernetes;
  let steno: Steno;
  let manifests: string;
  let args: readonly string[];
  let serviceAccount: string;
  let agent: ChildProcess | undefined;
  let said = '';
  const through = (...words: readonly string[]): Promise<Result> => steno.exec(kubernetes.kubectl, words);
  const direct = (...words: readonly string[]): Promise<Result> =>
    steno.exec(kubernetes.kubectl, ['--kubeconfig', kubernetes.admin, ...words]);
  const done = async (asked: Promise<Result>): Promise<string> => {
    const { status, stdout, stderr } = await asked;
    if (status !== 0) throw new Error(`${status}: ${stderr}${stdout}\n${said}\n${steno.logs()}`);
    return stdout;
  };
  const file = (name: string, text: string): string => {
    const path = join(steno.folder, name);
    writeFileSync(path, text);
    return path;
  };
  /** Starts the agent as its pod would. There is no image here, so it runs beside the cluster. */
  const start = (): void => {
    const { port, hostname } = new URL(/server: "?(https:\/\/[^"\n,}]+)/.exec(readFileSync(kubernetes.admin, 'utf8'))![1]!);
    const own = args.map((word) =>
      word.replace('/run/steno/token', join(steno.folder, 'join-token')).replace('/var/lib/steno', join(steno.folder, 'agent')),
    );
    agent = spawn(process.execPath, [bin, ...own, `--service-account=${serviceAccount}`], {
      env: { ...process.env, KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [agent.stdout!, agent.stderr!]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  };
  const stop = async (): Promise<void> => {
    if (agent === undefined || agent.exitCode !== null) return;
    const gone = once(agent, 'exit');
    agent.kill();
    await gone;
  };
  const state = async (): Promise<unknown> => (await steno.json<NodeStatus[]>('nodes')).find(({ name }) => name === 'kube-inner')?.state;

  beforeAll(async () => {
    steno = new Steno();
    kubernetes = await startKubernetes();
    await steno.start('--no-node', '--kube-listen', '127.0.0.1:0', '--tunnel-listen', '127.0.0.1:0');
    await done(steno.steno('login', '--data', steno.data));
    const role = {
      kind: 'role',
      name: 'kube',
      allow: { kubernetes: [{ groups: ['system:masters'] }], nodes: { '*': '*' }, logins: ['root'] },
    };
    await done(steno.steno('apply', '-f', file('role.json', JSON.stringify(role))));
    await done(steno.steno('users', 'edit', steno.login, '--roles', 'admin,kube'));
    await done(steno.steno('login', '--data', steno.data));
    manifests = await done(steno.steno('kube', 'add', 'inner', '--agent', '--labels', 'env=dev'));
    await done(direct('apply', '-f', file('agent.yaml', manifests)));
    const documents = parseAllDocuments(manifests).map((document) => document.toJS() as never);
    const [secret] = documents.filter(({ kind }) => kind === 'Secret') as { stringData: { token: string } }[];
    const [set] = documents.filter(({ kind }) => kind === 'StatefulSet') as {
      spec: { template: { spec: { containers: { args: string[] }[] } } };
    }[];
    file('join-token', secret!.stringData.token);
    args = set!.spec.template.spec.containers[0]!.args;
    serviceAccount = join(steno.folder, 'serviceaccount');
    mkdirSync(serviceAccount);
    writeFileSync(join(serviceAccount, 'token'), await done(direct('create', 'token', 'steno-agent', '-n', 'steno-agent')));
    const ca = await eventually(
      () => direct('get', 'configmap', 'kube-root-ca.crt', '-n', 'steno-agent', '-o', 'jsonpath={.data.ca\\.crt}'),
      ({ status }) => status === 0,
    );
    writeFileSync(join(serviceAccount, 'ca.crt'), ca.stdout);
    const pod = {
      name: 'main',
      image: 'localhost/busybox:1',
      imagePullPolicy: 'Never',
      command: ['sh', '-c', 'mkdir /www; echo served > /www/file; httpd -f -p 127.0.0.1:8080 -h /www'],
    };
    const box = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'box' }, spec: { terminationGracePeriodSeconds: 0, containers: [pod] } };
    await done(direct('apply', '-f', file('box.json', JSON.stringify(box))));
    await done(direct('wait', '--for=condition=Ready', 'pod/box', '--timeout=90s'));
    await done(steno.steno('kube', 'login', 'inner'));
  }, 300_000);
  afterAll(async () => {
    await stop();
    await steno?.dispose();
    kubernetes?.close();
  }, 60_000);

  it('is refused with a message as long as no agent has joined', async () => {
    expect(await through('get', 'pods')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/kube-inner.*\[NODE_UNREACHABLE\]/) as string,
    });
  });

  it('the service account of the manifests may impersonate, and nothing else', async () => {
    const can = async (...words: readonly string[]): Promise<string> =>
      (await direct('auth', 'can-i', ...words, '--as=system:serviceaccount:steno-agent:steno-agent')).stdout.trim();
    expect(await can('impersonate', 'users')).toBe('yes');
    expect(await can('impersonate', 'groups')).toBe('yes');
    for (const words of [
      ['get', 'pods', '-A'],
      ['get', 'secrets', '-n', 'steno-agent'],
      ['impersonate', 'serviceaccounts'],
      ['create', 'serviceaccounts/token', '-n', 'steno-agent'],
    ])
      expect(await can(...words)).toBe('no');
  });

  it('once it has joined, kubectl works as without Steno', async () => {
    start();
    await eventually(state, (now) => now === 'live');
    for (const words of [
      ['get', 'namespaces', '-o', 'name'],
      ['get', 'pod', 'box', '-o', 'jsonpath={.spec.nodeName}'],
      ['api-resources', '--no-headers', '-o', 'name'],
      ['get', 'pod', 'absent'],
      ['explain', 'pod.spec'],
    ])
      expect(await through(...words)).toEqual(await direct(...words));
    await done(through('create', 'configmap', 'made', '--from-literal=k=v'));
    expect(await done(direct('get', 'configmap', 'made', '-o', 'jsonpath={.data.k}'))).toBe('v');
    const who = JSON.parse(await done(through('auth', 'whoami', '-o', 'json'))) as { status: { userInfo: { username: string } } };
    expect(who.status.userInfo.username).toBe(`steno:${steno.login}`);
  });

  it.each([
    ['WebSocket', {}],
    ['SPDY/3.1', SPDY],
  ])('exec, cp and port-forward work and are recorded, over %s', async (_protocol, env) => {
    const run = (...words: readonly string[]): Promise<Result> => steno.exec(kubernetes.kubectl, words, { env: { ...steno.env, ...env } });
    const input = 'x'.repeat(300_000);
    const piped = await steno.exec(kubernetes.kubectl, ['exec', '-i', 'box', '--', 'sh', '-c', 'wc -c; exit 7'], {
      input,
      env: { ...steno.env, ...env },
    });
    expect(piped).toMatchObject({ status: 7, stdout: '300000\n' });
    await done(run('cp', file('sent', 'text'), 'box:/tmp/sent'));
    expect(await done(run('exec', 'box', '--', 'cat', '/tmp/sent'))).toBe('text');
    const forward = steno.terminal(kubernetes.kubectl, ['port-forward', 'pod/box', ':8080'], undefined, env);
    await forward.until(/Forwarding from 127.0.0.1:\d+ -> 8080/);
    const port = Number(/127.0.0.1:(\d+) -> 8080/.exec(forward.text())![1]);
    const body = await new Promise<string>((resolve, reject) => {
      httpGet({ host: '127.0.0.1', port, path: '/file', agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve(text));
      }).on('error', reject);
    });
    expect(body).toBe('served\n');
    forward.kill();
    await forward.ended;
    const rows = await eventually(
      () => viewerOf(steno).sessions(),
      (all) => all.some(({ kind }) => kind === 'forward'),
    );
    expect(rows.filter(({ node }) => node === 'inner/default/box').length).toBeGreaterThanOrEqual(3);
  });

  it('is not a node to log in to', async () => {
    const { status, stderr } = await steno.ssh('root@kube-inner.steno', 'id');
    expect(status).not.toBe(0);
    expect(stderr).not.toBe('');
  });

  it('a watch ends with its agent, and another agent with the same keys takes over', async () => {
    const watch = steno.terminal(kubernetes.kubectl, ['get', 'pods', '--watch']);
    await watch.until(/box/);
    await stop();
    await watch.ended;
    expect((await through('get', 'pods')).stderr).toMatch(/NODE_UNREACHABLE/);
    start();
    await eventually(
      () => through('get', 'pod', 'box', '-o', 'name'),
      ({ stdout }) => stdout === 'pod/box\n',
    );
  });

  it('a renewed token of the service account is used from then on', async () => {
    writeFileSync(join(serviceAccount, 'token'), await done(direct('create', 'token', 'steno-agent', '-n', 'steno-agent')));
    await done(through('get', 'pods'));
    await done(direct('delete', 'serviceaccount', 'steno-agent', '-n', 'steno-agent'));
    await eventually(
      () => through('get', 'pods'),
      ({ stderr }) => /Unauthorized|must be logged in/.test(stderr),
    );
  });
});
