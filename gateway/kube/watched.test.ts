import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { KUBE_NODE_LABEL } from '#schemas/kube/kube-cluster.js';
import { kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';

const EXEC = '/east/api/v1/namespaces/shop/pods/web-1/exec?command=sh&container=main&stdout=true&stderr=true';
const frame = (channel: number, text: string): Buffer => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
const pod = {
  metadata: { uid: 'uid-1' },
  spec: { nodeName: 'node1', containers: [{ name: 'main' }] },
  status: { containerStatuses: [{ name: 'main', image: 'i', imageID: 'repo@sha256:00', containerID: `containerd://${'a'.repeat(64)}` }] },
};
const ON = { state: 'on', classes: ['exec'] };

let world: KubeWorld;
let ann: Pair;
beforeAll(async () => {
  world = await openKubeWorld();
  ann = await world.user();
  world.answer = (_, response) => void response.end(JSON.stringify(pod));
});
afterAll(() => world.close());

/** What the agent was told, and the agent's side of the conversation. */
interface Agent {
  readonly told: unknown[];
  say(report: object): void;
}

function agent(mode: 'best_effort' | 'strict', answer: object): Agent {
  const node = { name: 'worker', labels: { [KUBE_NODE_LABEL]: 'east/node1' } };
  world.snapshot = {
    ...world.snapshot,
    roles: [kubeRole('dev', [{ groups: ['g'] }], { recording: { enhanced: { mode, classes: ['exec'] } } })],
    nodes: [node as unknown as KubeWorld['snapshot']['nodes'][number]],
  };
  world.changed();
  const told: unknown[] = [];
  let toGateway: Duplex | undefined;
  const say = (report: object): void => void toGateway!.push(`${JSON.stringify(report)}\n`);
  world.openPod = () => {
    toGateway = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _, done) {
        if (told.length === 0) say(answer);
        told.push(
          ...chunk
            .toString()
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line) as unknown),
        );
        done();
      },
      final(done) {
        this.push(null);
        done();
      },
    });
    return toGateway;
  };
  return { told, say };
}

async function exec(): Promise<{ readonly client: WebSocket; readonly server: WebSocket; readonly got: Buffer[] }> {
  const accepted = new Promise<WebSocket>((resolve) => {
    world.stream = (server) => resolve(server);
  });
  const client = await world.connect(ann, EXEC);
  const got: Buffer[] = [];
  client.on('message', (data) => got.push(data as Buffer));
  return { client, server: await accepted, got };
}

describe('a command that an agent watches', () => {
  it('is ordered from the agent before the API server is asked', async () => {
    world.seen.length = 0;
    const { told } = agent('strict', ON);
    const { client } = await exec();
    expect(told[0]).toMatchObject({ container: 'a'.repeat(64), pod_uid: 'uid-1', namespace: 'shop', pod: 'web-1', argv: ['sh'] });
    client.close();
    await once(client, 'close');
  });

  it('under a strict role shows its output once its start was seen: all of it, in order, with its end', async () => {
    const { told, say } = agent('strict', ON);
    const { client, server, got } = await exec();
    const texts = Array.from({ length: 50 }, (_, i) => `line ${i}\n`);
    for (const text of texts) server.send(frame(1, text));
    server.send(frame(3, '{"status":"Success"}'));
    server.close();
    await expect.poll(() => told).toContainEqual({ said: 'shown' });
    expect(got.filter((bytes) => bytes.length > 1)).toEqual([]);
    say({ state: 'started' });
    await once(client, 'close');
    const shown = got.filter((bytes) => bytes[0] === 1).map((bytes) => bytes.subarray(1).toString());
    expect(shown.join('')).toBe(texts.join(''));
    expect(got.at(-1)!.toString()).toContain('Success');
    await world.recorded();
    expect(
      world.recorder
        .recordings()
        .at(-1)!
        .lines.filter(({ code }) => code === 'g'),
    ).toEqual([]);
  });

  it('under a strict role is not started if the agent cannot watch it', async () => {
    agent('strict', { state: 'off', reason: 'no container runs here' });
    world.seen.length = 0;
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/no container runs here.*KERNEL_RECORDING_IMPOSSIBLE/);
    expect(world.seen.map(({ url }) => url).filter((url) => url.includes('exec'))).toEqual([]);
  });

  it('under another role runs anyway, with a gap', async () => {
    agent('best_effort', { state: 'off', reason: 'no container runs here' });
    const { client, server, got } = await exec();
    server.send(frame(1, 'x'));
    server.close();
    await once(client, 'close');
    expect(Buffer.concat(got).toString()).toContain('x');
    await world.recorded();
    expect(world.recorder.recordings().at(-1)!.lines).toContainEqual(
      expect.objectContaining({
        code: 'g',
        data: expect.objectContaining({ reason: 'kernel_events', detail: 'no container runs here' }) as unknown,
      }),
    );
  });

  it('is refused under a strict role if no agent is known, before anything is recorded', async () => {
    agent('strict', ON);
    world.snapshot = { ...world.snapshot, nodes: [] };
    world.changed();
    const before = world.recorder.recordings().length;
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/the pod is on node1, where no agent of Steno runs/);
    expect(world.recorder.recordings().length).toBe(before);
  });
});
