import { PassThrough, Duplex } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { KUBE_NODE_LABEL } from '#schemas/kube/kube-cluster.js';
import { CHANNEL } from '#schemas/kube/remote-command.js';
import { podOrder } from '#schemas/kernel/pod-orders.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { sessionId } from '#schemas/recording/line.js';
import type { AuditEntry, SessionRecorder } from '../../recorder/recorder.js';
import { frame } from './peer.js';
import { PodWatch, agentOf } from './pod-watch.js';

const pod = { container: 'main', image: '', id: 'a'.repeat(64), uid: 'uid-1', node: 'node1', namespace: 'shop', name: 'web' };
const node = (name: string, label: string): NodeRecord => ({ name, labels: { [KUBE_NODE_LABEL]: label } }) as unknown as NodeRecord;

describe('the agent of a pod', () => {
  const nodes = [
    node('a', 'east/node1'),
    node('b', 'west/node1'),
    node('c', 'east/node2'),
    node('d', 'east/node3'),
    node('e', 'east/node3'),
  ];
  it('is the one whose labels name the cluster and the node', () => {
    expect(agentOf(nodes, 'east', pod).name).toBe('a');
    expect(agentOf(nodes, 'west', pod).name).toBe('b');
  });
  it.each([
    ['node4', {}, 'the pod is on node4, where no agent of Steno runs'],
    ['node3', {}, 'several agents claim to be the one of node3'],
    ['', {}, 'the pod cannot be read with the rights of your roles, so its node is not known'],
    ['node1', { id: '' }, 'the container main does not run'],
  ])('on %s: a reason in words', (name, more, reason) => {
    expect(() => agentOf(nodes, 'east', { ...pod, node: name, ...more })).toThrow(reason);
  });
});

let written: object[];
let audits: AuditEntry[];
let failures: StenoError[];
let said: unknown[];
let agent: Duplex;
beforeEach(() => {
  written = [];
  audits = [];
  failures = [];
  said = [];
});

function watch(mode: 'best_effort' | 'strict', open?: () => Duplex): PodWatch {
  const recorder = {
    session: sessionId(1_000_000, new Uint8Array(10)),
    fact: (fact: object) => void written.push(fact),
    gap: (gap: object) => void written.push(gap),
    logEvents: (sender: string) => (written.push({ log: sender }), true),
  } as unknown as SessionRecorder;
  return new PodWatch({
    watching: {
      open:
        open ??
        ((): Duplex => {
          const toGateway = new PassThrough();
          const near = new Duplex({
            read: () => undefined,
            write: (chunk: Buffer, _, done) => {
              said.push(
                ...chunk
                  .toString()
                  .trim()
                  .split('\n')
                  .map((line) => JSON.parse(line) as unknown),
              );
              done();
            },
            final: (done) => (said.push('end'), done()),
          });
          toGateway.on('data', (chunk) => near.push(chunk)).on('end', () => near.push(null));
          toGateway.on('close', () => toGateway.readableEnded || near.destroy());
          agent = toGateway;
          return near;
        }),
      events: { gateway: 'gw', address: '127.0.0.1:1' },
    },
    agent: node('worker', 'east/node1'),
    enhanced: { mode, classes: ['exec'] },
    ...{ pod, argv: ['sh', '-c', 'x'], recorder, startMs: 30, now: () => 1_000_250 },
    audit: (entry) => void audits.push(entry),
    fail: (error) => void failures.push(error),
  });
}
const report = (what: object): void => void agent.write(`${JSON.stringify(what)}\n`);
const ON = { state: 'on', classes: ['exec'], log: true };
const output = frame(CHANNEL.stdout, Buffer.from('x'));
const status = (reason: string): Buffer =>
  frame(
    CHANNEL.error,
    Buffer.from(JSON.stringify({ status: 'Failure', reason, details: { causes: [{ reason: 'ExitCode', message: '3' }] } })),
  );
const begun = async (one: PodWatch, answer: object = ON): Promise<void> => {
  const begins = one.begin();
  report(answer);
  await begins;
  one.accepted();
};

describe.each(['best_effort', 'strict'] as const)('a command under %s', (mode) => {
  it("is ordered with its container and arguments; its log takes the agent's rows", async () => {
    const one = watch(mode);
    await begun(one);
    expect(podOrder.parse(said[0])).toMatchObject({
      container: pod.id,
      pod_uid: 'uid-1',
      namespace: 'shop',
      pod: 'web',
      argv: ['sh', '-c', 'x'],
      mode,
    });
    report({ state: 'started' });
    await expect.poll(() => one.passes(output)).toBe(true);
    expect(said.slice(1)).toEqual([{ said: 'shown' }]);
    const completes = one.complete();
    await expect.poll(() => said.at(-1)).toBe('end');
    report({ state: 'gap', why: 'ring_full', count: 2, first_ms: 1, last_ms: 2 });
    agent.end();
    await completes;
    expect(written).toEqual([
      { log: 'worker' },
      expect.objectContaining({ fact: 'kernel', log: true }),
      expect.objectContaining({ reason: 'kernel_events', count: 2 }),
    ]);
    expect(failures).toEqual([]);
  });

  it('shows no output before its start was seen, if the role is strict', async () => {
    const one = watch(mode);
    await begun(one);
    expect(one.passes(frame(CHANNEL.stdout, Buffer.alloc(0)))).toBe(true);
    expect(one.passes(output)).toBe(mode === 'best_effort');
    const ready = new Promise<void>((resolve) => one.onReady(resolve));
    report({ state: 'started' });
    await ready;
    expect(one.passes(output)).toBe(true);
  });

  it('whose start is never seen is a gap, and ends if the role is strict', async () => {
    const one = watch(mode);
    await begun(one);
    one.passes(output);
    await new Promise<void>((resolve) => one.onReady(resolve));
    expect(written.at(-1)).toMatchObject({ reason: 'kernel_events', detail: 'the agent did not see the command start' });
    expect(failures.length).toBe(mode === 'strict' ? 1 : 0);
    expect(audits.length).toBe(1);
  });

  it('that the runtime could not start is no gap', async () => {
    const one = watch(mode);
    await begun(one);
    expect(one.passes(status('InternalError'))).toBe(true);
    const completes = one.complete();
    report({ state: 'off', reason: 'the command was not recognized when it started' });
    agent.end();
    await completes;
    expect(written.filter((line) => 'reason' in line)).toEqual([]);
    expect(failures).toEqual([]);
  });

  it('that ended without output, and was never seen, is a gap', async () => {
    const one = watch(mode);
    await begun(one);
    one.passes(status('NonZeroExitCode'));
    const completes = one.complete();
    agent.end();
    await completes;
    expect(written.at(-1)).toMatchObject({ reason: 'kernel_events' });
  });

  it.each([
    ['says that it cannot', (): void => report({ state: 'off', reason: 'no container runs here' }), 'no container runs here'],
    ['leaves before it answers', (): void => void agent.destroy(), 'the agent was lost'],
    ['sends an answer that cannot be read', (): void => report({ state: 'none' }), 'the node sent an unreadable report'],
  ])('whose agent %s is a gap, and is not started if the role is strict', async (_, act, detail) => {
    const one = watch(mode);
    const begins = one.begin();
    act();
    await begins;
    expect(written.at(-1)).toMatchObject({ reason: 'kernel_events', detail });
    expect(failures.map(({ code }) => code)).toEqual(mode === 'strict' ? ['KERNEL_RECORDING_IMPOSSIBLE'] : []);
    await one.complete();
    expect(written.filter((line) => 'reason' in line)).toHaveLength(1);
  });

  it('whose agent has no tunnel to this gateway is the same', async () => {
    const one = watch(mode, () => {
      throw new StenoError('NODE_UNREACHABLE', 'no agent of worker is connected to this gateway');
    });
    await one.begin();
    expect(written).toEqual([expect.objectContaining({ detail: 'no agent of worker is connected to this gateway' })]);
    expect(failures.length).toBe(mode === 'strict' ? 1 : 0);
  });

  it('whose agent dies in the middle has a gap after the last report', async () => {
    const one = watch(mode);
    await begun(one);
    report({ state: 'started' });
    report({ state: 'read', until_ms: 100 });
    await expect.poll(() => one.passes(output)).toBe(true);
    agent.destroy();
    await expect.poll(() => written.at(-1)).toMatchObject({ reason: 'kernel_events', detail: 'the node was lost' });
    expect(failures.length).toBe(mode === 'strict' ? 1 : 0);
  });

  it('that nobody asked to run is no gap', async () => {
    await watch(mode).complete();
    const one = watch(mode);
    const begins = one.begin();
    report(ON);
    await begins;
    const completes = one.complete();
    agent.destroy();
    await completes;
    expect(written.filter((line) => 'reason' in line)).toEqual([]);
    expect(failures).toEqual([]);
  });
});
