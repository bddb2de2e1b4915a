/**
 * A real Kubernetes of one node, built by .ci/kubernetes: started on free loopback ports with its state in a folder of its own,
 * stopped by its pid files, at the latest when the process that started it has ended.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '#runtime/http/free-port.js';

/** Root of the repository, also for compiled code. */
const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/dist\/$/, '');
const built = join(root, 'node_modules/.cache/kubernetes');
const script = (name: string): string => join(root, 'test/kube', name);
const run = promisify(execFile);

/** Why Kubernetes cannot run on this machine, or null. */
export const lacking: string | null =
  process.getuid?.() !== 0
    ? 'needs root'
    : !existsSync(join(built, 'images.tar'))
      ? 'Kubernetes is not built here (bash .ci/kubernetes; part of .ci/run)'
      : ['etcd', 'containerd', 'ctr', 'openssl'].some((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
        ? 'a program of its node is missing (bash .ci/kubernetes)'
        : null;

export interface Kubernetes {
  readonly kubectl: string;
  /** Kubeconfig with every right. */
  readonly admin: string;
  close(): void;
}

export async function startKubernetes(): Promise<Kubernetes> {
  const state = mkdtempSync(join(tmpdir(), 'steno-kubernetes-'));
  // However this process ends, killed too, the cluster ends after it.
  const afterwards = `tail --pid=${process.pid} -f /dev/null; exec bash "$@"`;
  spawn('bash', ['-c', afterwards, 'bash', script('down'), built, state], { detached: true, stdio: 'ignore' }).unref();
  const close = (): void => void spawnSync('bash', [script('down'), built, state], { stdio: 'ignore' });
  try {
    const ports = await freePorts(6);
    await run('bash', [script('up'), built, state, ...ports.map(String)], { timeout: 180_000 });
  } catch (error) {
    const log = (name: string): string =>
      existsSync(join(state, 'log', name)) ? readFileSync(join(state, 'log', name), 'utf8').slice(-2000) : '';
    const logs = `${log('apiserver.log')}\n${log('kubelet.log')}`;
    close();
    throw new Error(`Kubernetes did not start: ${(error as Error).message}\n${logs}`, { cause: error });
  }
  return { kubectl: join(built, 'bin/kubectl'), admin: join(state, 'admin.kubeconfig'), close };
}

/** This many different free ports. */
async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
