/** A real Kubernetes behind a Steno, and a user who may do everything there, for tests and the benchmark. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Steno } from '../end-to-end/machine.js';
import type { Result } from '../end-to-end/machine.js';
import { startKubernetes } from './kubernetes.js';
import type { Kubernetes } from './kubernetes.js';

export interface KubeScene {
  readonly steno: Steno;
  readonly kubernetes: Kubernetes;
  /** Kubeconfigs for the same cluster. */
  readonly configs: Readonly<Record<'direct' | 'gateway', string>>;
  /** Writes a file into Steno's folder. Returns its path. */
  file(name: string, text: string): string;
  close(): Promise<void>;
}

/** Resolves with standard output. Rejects with all output if the program fails. */
export async function succeeded(asked: Promise<Result>): Promise<string> {
  const { status, stdout, stderr } = await asked;
  if (status !== 0) throw new Error(`${status}: ${stderr}${stdout}`);
  return stdout;
}

/** `options`: further options of `steno up`. The cluster has one pod, `box`, which serves 300,000 bytes on port 8080. */
export async function openKubeScene(...options: readonly string[]): Promise<KubeScene> {
  const steno = new Steno();
  let kubernetes: Kubernetes | undefined;
  const close = async (): Promise<void> => {
    await steno.dispose();
    kubernetes?.close();
  };
  const file = (name: string, text: string): string => {
    const path = join(steno.folder, name);
    writeFileSync(path, text);
    return path;
  };
  try {
    const cluster = (kubernetes = await startKubernetes());
    const kubectl = (...args: readonly string[]): Promise<string> =>
      succeeded(steno.exec(cluster.kubectl, ['--kubeconfig', cluster.admin, ...args]));
    await steno.start('--no-node', '--kube-listen', '127.0.0.1:0', ...options);
    const run = (...args: readonly string[]): Promise<string> => succeeded(steno.steno(...args));
    await run('login', '--data', steno.data);
    const role = { kind: 'role', name: 'kube', allow: { kubernetes: [{ groups: ['system:masters'] }] } };
    await run('apply', '-f', file('role.json', JSON.stringify(role)));
    await run('users', 'edit', steno.login, '--roles', 'admin,kube');
    await run('login', '--data', steno.data);
    await run('kube', 'add', 'east', '--kubeconfig', cluster.admin, '--labels', 'env=dev');
    await run('kube', 'login', 'east');
    const script = "mkdir /www; head -c 300000 /dev/zero | tr '\\0' x > /www/file; echo started; httpd -f -p 127.0.0.1:8080 -h /www";
    const main = { name: 'main', image: 'localhost/busybox:1', imagePullPolicy: 'Never', command: ['sh', '-c', script] };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'box' },
      spec: { terminationGracePeriodSeconds: 0, containers: [main] },
    };
    await kubectl('apply', '-f', file('box.json', JSON.stringify(pod)));
    await kubectl('wait', '--for=condition=Ready', 'pod/box', '--timeout=90s');
    const configs = { direct: cluster.admin, gateway: join(steno.folder, '.kube/config') };
    return { steno, kubernetes: cluster, configs, file, close };
  } catch (error) {
    await close();
    throw error;
  }
}
