/** Requests to a Kubernetes API and streams of a pod, through the gateway and directly, on the cluster of test/kube/. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../../test/end-to-end/machine.js';
import { lacking } from '../../../test/kube/kubernetes.js';
import { openKubeScene, succeeded } from '../../../test/kube/scene.js';
import type { KubeScene } from '../../../test/kube/scene.js';
import { ask, directWay, gatewayWay } from '../../../test/kube/ways.js';
import type { Way } from '../../../test/kube/ways.js';
import { interleave, quantile, ratio, round3 } from '../../measure.js';
import type { Figure, Section } from '../../measure.js';

const MIB = 1 << 20;
const routes = ['direct', 'gateway'] as const;
type Route = (typeof routes)[number];

/** `asked`: requests of one round on one connection; `mebibytes`: of one stream. */
export async function kube(rounds: number, asked: number, mebibytes: number): Promise<Section> {
  if (lacking !== null) throw new Error(lacking);
  const scene = await openKubeScene();
  try {
    const load = loadavg()[0]!.toFixed(1);
    const rows = [...(await requests(scene, rounds, asked)), ...(await streams(scene, rounds, mebibytes))];
    return {
      title: 'Kubernetes, beside the API server itself',
      how:
        `\`GET\` of the pods of a namespace, ${asked} times on one connection, and \`kubectl exec -i\` with ${mebibytes} MiB of random bytes, recorded in ` +
        `full and by head, tail and digest; median (least–most) of ${rounds} rounds, in turn. Cluster, gateway and client share the machine. Load before: ${load}.`,
      header: ['what', 'direct', 'through the gateway', 'gateway / direct'],
      rows,
    };
  } finally {
    await scene.close();
  }
}

async function requests(scene: KubeScene, rounds: number, asked: number): Promise<string[][]> {
  const agents = { direct: directWay(scene), gateway: gatewayWay(scene) };
  try {
    const rows: string[][] = [];
    for (const [title, q] of [
      ['GET pods, ms, median', 0.5],
      ['GET pods, ms, 95th percentile', 0.95],
    ] as const) {
      process.stderr.write(`kube ${title}\n`);
      const run = (route: Route) => async (): Promise<number> => {
        const took: number[] = [];
        for (let i = 0; i < asked; i++) took.push(await timed(agents[route]));
        return quantile(took, q);
      };
      rows.push(row(title, await interleave(both(run), rounds)));
    }
    return rows;
  } finally {
    for (const { agent } of Object.values(agents)) agent.destroy();
  }
}

async function streams(scene: KubeScene, rounds: number, mebibytes: number): Promise<string[][]> {
  const { steno, kubernetes, configs } = scene;
  const total = mebibytes * MIB;
  await succeeded(
    steno.exec(kubernetes.kubectl, [
      '--kubeconfig',
      configs.direct,
      ...['exec', 'box', '--', 'sh', '-c', `head -c ${total} /dev/urandom > /tmp/random`],
    ]),
  );
  const file = join(steno.folder, 'random');
  writeFileSync(file, Buffer.alloc(total, 0xa5));
  // containerd 1.6 cuts off a command whose output has ended, so print something after the input.
  const whole = 'whole';
  const pass = async (route: Route, words: readonly string[], input: number | 'ignore'): Promise<number> => {
    const start = performance.now();
    const child = spawn(kubernetes.kubectl, ['--kubeconfig', configs[route], 'exec', ...words], {
      env: steno.env,
      stdio: [input, 'pipe', 'inherit'],
    });
    let bytes = 0;
    child.stdout!.on('data', (chunk: Buffer) => (bytes += chunk.length));
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0 || bytes !== (input === 'ignore' ? total : whole.length))
      throw new Error(`kubectl ended with ${code} after ${bytes} bytes`);
    return total / 1e6 / ((performance.now() - start) / 1000);
  };
  const down = (route: Route) => () => pass(route, ['box', '--', 'cat', '/tmp/random'], 'ignore');
  const up = (route: Route) => async (): Promise<number> => {
    const input = openSync(file, 'r');
    try {
      return await pass(route, ['-i', 'box', '--', 'sh', '-c', `cat > /dev/null; printf ${whole}`], input);
    } finally {
      closeSync(input);
    }
  };
  const rows: string[][] = [];
  for (const mode of ['commands', 'limited'] as const) {
    await record(scene, mode);
    for (const [title, run] of [
      ['from the pod', down],
      ['to the pod', up],
    ] as const) {
      const what = `exec ${title}, MB/s, ${mode === 'commands' ? 'in full' : 'head, tail and digest'}`;
      process.stderr.write(`kube ${what}\n`);
      rows.push(row(what, await interleave(both(run), rounds)));
    }
  }
  return rows;
}

/** Sets the role's recording of streams. The gateway has the change once it refuses everybody and then admits everybody again. */
async function record({ steno, kubernetes, file }: KubeScene, streams: 'commands' | 'limited'): Promise<void> {
  const apply = async (rule: object, status: number): Promise<void> => {
    const role = { kind: 'role', name: 'kube', allow: { kubernetes: [rule] }, recording: { streams } };
    await succeeded(steno.steno('apply', '-f', file('bench-role.json', JSON.stringify(role))));
    await eventually(
      () => steno.exec(kubernetes.kubectl, ['get', 'pod', 'box']),
      (answer) => answer.status === status,
    );
  };
  await apply({ groups: ['system:masters'], resources: ['configmaps'] }, 1);
  await apply({ groups: ['system:masters'] }, 0);
}

function both(run: (route: Route) => () => Promise<number>) {
  return routes.map((name) => ({ name, run: run(name) }));
}

function row(what: string, figures: readonly Figure[]): string[] {
  const [direct, gateway] = figures as [Figure, Figure];
  const shown = [direct, gateway].map(({ median, min, max }) => `${round3(median)} (${round3(min)}–${round3(max)})`);
  return [what, ...shown, `${ratio(gateway, direct).toFixed(2)}x`];
}

const PODS = '/api/v1/namespaces/default/pods';

async function timed(way: Way): Promise<number> {
  const start = performance.now();
  const { status } = await ask(way, PODS);
  if (status !== 200) throw new Error(`status ${status}`);
  return performance.now() - start;
}
