/**
 * Orders and reports of kernel recording between real peers: a node that says what it understands, an older one, a stock sshd, and
 * nodes and clients (paramiko) that send messages they must not send.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, afterAll, describe, expect, it } from 'vitest';
import type { ServerChannel } from 'ssh2';
import {
  ORDER_REQUEST,
  PROGRESS_VARIABLE,
  ORDER_VARIABLE,
  REPORT_PREFIX,
  REPORT_REQUEST,
  orderRequest,
  orderVariable,
} from '#schemas/kernel/orders.js';
import type { KernelReport } from '#schemas/kernel/orders.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { roleSchema } from '#schemas/policy/role.js';
import { NODE_EXTENSION } from '#schemas/ssh/capabilities.js';
import { sendChannelRequest } from '#runtime/ssh/own-messages.js';
import { paramikoChannel } from '#runtime/testing/paramiko-channel.js';
import { openWorld, startSshd } from '../../testing/harness.js';
import type { Finished, World } from '../../testing/harness.js';
import { startScriptedNode } from '../../testing/scripted-node.js';
import type { ScriptedNode } from '../../testing/scripted-node.js';
import type { Recording } from '../../testing/line-recorder.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

let node: ScriptedNode | undefined;
afterEach(() => node?.stop());

const report = (channel: ServerChannel, what: KernelReport): void => sendChannelRequest(channel, REPORT_REQUEST, JSON.stringify(what));
const end = (channel: ServerChannel): void => {
  channel.exit(0);
  channel.end();
};

function roles(mode: 'best_effort' | 'strict'): void {
  world.authority.roles = [
    roleSchema.parse({
      kind: 'role',
      name: 'admin',
      allow: { nodes: { '*': '*' }, logins: ['*', 'root'] },
      recording: { enhanced: { mode, classes: ['exec', 'file'] } },
    }),
  ];
  world.authority.changed();
}

async function start(
  kind: NodeRecord['kind'],
  extensions: readonly string[],
  run: (channel: ServerChannel, command: string) => void,
): Promise<ScriptedNode> {
  node = await startScriptedNode('scripted', kind, extensions, run);
  world.authority.nodes = [world.node, node.record];
  roles('best_effort');
  return node;
}

/** Runs one command through the gateway and returns its recording. */
async function session(on = 'scripted'): Promise<Finished & { readonly recording: Recording }> {
  const ran = await world.run('ssh', ['-F', world.sshConfig, '-o', 'SendEnv=LC_*', `root@${on}.steno`, 'anything'], {
    env: { LC_ALL: 'C' },
  });
  return { ...ran, recording: world.recorder.recordings().at(-1)! };
}

/** What paramiko prints for a command whose node writes `out`. */
const seen = 'taken exec\ngot exit-status\nout\n';
const gaps = ({ lines }: Recording): readonly unknown[] => lines.flatMap((line) => (line.code === 'g' ? [line.data] : []));

const paramiko = (script: string): Promise<Finished> =>
  world.run('/usr/bin/python3', ['-c', paramikoChannel({ port: world.port, key: world.userKey('alice'), user: 'root@scripted' }, script)]);

describe('a node service', () => {
  it('that accepts orders as requests gets one before the command, and reports by requests', async () => {
    const { requests } = await start('agent', NODE_EXTENSION, (channel) => {
      report(channel, { state: 'on', classes: ['exec'] });
      report(channel, { state: 'read', until_ms: 5 });
      report(channel, { state: 'gap', why: 'a_later_reason', count: 2, first_ms: 1, last_ms: 3 });
      channel.write('out\n');
      end(channel);
    });
    const { status, stdout, recording } = await session();
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'out\n' });
    expect(requests.map(([name]) => name)).toEqual(['env LC_ALL', ORDER_REQUEST, 'exec']);
    expect(orderRequest.parse(JSON.parse(requests[1]![1]))).toMatchObject({ session: recording.header.steno.session, mode: 'best_effort' });
    expect(recording.facts('kernel')).toMatchObject([{ classes: ['exec'] }]);
    expect(gaps(recording)).toEqual([{ reason: 'kernel_events', count: 2, from: 1, to: 3, detail: 'a_later_reason' }]);
    expect(recording.facts('environment')).toEqual([{ fact: 'environment', name: 'LC_ALL', value: 'C' }]);
  });

  it('that is older gets the order by two variables, and its reports by signal are accepted and not passed on', async () => {
    const { requests } = await start('agent', [], (channel) => {
      channel.exit('USR1', false, `${REPORT_PREFIX}${JSON.stringify({ state: 'on', classes: ['file'] })}`);
      channel.write('out\n');
      end(channel);
    });
    const { stdout, recording } = await session();
    expect(stdout).toBe('out\n');
    expect(requests.map(([name]) => name)).toEqual(['env LC_ALL', `env ${PROGRESS_VARIABLE}`, `env ${ORDER_VARIABLE}`, 'exec']);
    expect(orderVariable.parse(JSON.parse(requests[2]![1]))).toMatchObject({ session: recording.header.steno.session });
    expect([recording.facts('kernel').length, recording.exit, gaps(recording)]).toEqual([1, '0', []]);
    expect((await paramiko('run()')).stdout).toBe(seen);
  });

  it('that ignores the order leaves a gap, and a strict session shows none of its output', async () => {
    await start('agent', ['capabilities@steno', 'something-later'], (channel) => {
      channel.write('out\n');
      end(channel);
    });
    expect(gaps((await session()).recording)).toEqual([{ reason: 'kernel_events', detail: 'the node did not report that it records' }]);
    roles('strict');
    const { status, stdout, stderr } = await session();
    expect({ status, stdout }).toEqual({ status: 255, stdout: '' });
    expect(stderr).toContain('KERNEL_RECORDING_IMPOSSIBLE');
  });

  it('that sends a report over the limit loses its connection, and the recording says since when', async () => {
    await start('agent', NODE_EXTENSION, (channel) => {
      report(channel, { state: 'on', classes: ['exec'] });
      sendChannelRequest(channel, REPORT_REQUEST, ' '.repeat(4097));
    });
    const { status, recording } = await session();
    expect(status).not.toBe(0);
    expect(gaps(recording)).toMatchObject([{ reason: 'kernel_events', detail: 'the node was lost', from: expect.any(Number) }]);
  });
});

describe('an order or report out of place', () => {
  it('is never sent to a stock sshd', async () => {
    const folder = join(world.directory, 'stock');
    mkdirSync(folder);
    const sshd = await startSshd(folder, world.authority, 'LogLevel DEBUG3', {}, 'stock');
    try {
      world.authority.nodes = [world.node, sshd.node];
      roles('best_effort');
      expect(await session('stock')).toMatchObject({ status: 127 });
      expect(sshd.log()).toContain('exec');
      expect(sshd.log()).not.toContain('@steno reply');
      expect(sshd.log()).not.toContain('session@steno');
    } finally {
      await sshd.stop();
    }
  });

  it.each(['openssh', 'agent'] as const)('is refused from a client, and does not reach the node (%s)', async (kind) => {
    const { requests } = await start(kind, NODE_EXTENSION, (channel) => {
      report(channel, { state: 'on', classes: ['exec'] });
      end(channel);
    });
    const forged = JSON.stringify({ session: '0'.repeat(26), mode: 'best_effort', classes: ['exec'], offset_ms: 0, error_ms: 0 });
    const { stdout, stderr } = await paramiko(`
ask('${ORDER_REQUEST}', '''${forged}''')
ask('${REPORT_REQUEST}', '{"state":"on","classes":["exec"]}')
ask('env', '${ORDER_VARIABLE}', '''${forged}''')
ask('env', '${PROGRESS_VARIABLE}', '1')
ask('env', 'LANG', 'C')
run()
`);
    expect(stdout, stderr).toBe(
      [
        `refused ${ORDER_REQUEST}`,
        `refused ${REPORT_REQUEST}`,
        'refused env',
        'refused env',
        'taken env',
        'taken exec',
        'got exit-status',
        '',
      ].join('\n'),
    );
    const own = kind === 'agent' ? [ORDER_REQUEST] : [];
    expect(requests.map(([name]) => name)).toEqual([...Array.from({ length: 4 }, () => 'refused@steno'), 'env LANG', ...own, 'exec']);
    expect(requests.some(([, data]) => data.includes('0'.repeat(26)))).toBe(false);
  });

  it('is ignored from a node, for a session without an order or in a form that was not agreed on', async () => {
    const on = JSON.stringify({ state: 'on', classes: ['exec'] });
    const feign = (channel: ServerChannel): void => {
      sendChannelRequest(channel, REPORT_REQUEST, on);
      channel.write('out\n');
      end(channel);
    };
    await start('openssh', NODE_EXTENSION, feign);
    const { stdout, recording } = await session();
    expect([stdout, recording.facts('kernel'), gaps(recording)]).toEqual(['out\n', [], []]);
    expect((await paramiko('run()')).stdout).toBe(seen);
    await node!.stop();
    await start('agent', [], feign);
    const before = await session();
    expect([before.stdout, before.recording.facts('kernel'), gaps(before.recording)]).toEqual([
      'out\n',
      [],
      [{ reason: 'kernel_events', detail: 'the node did not report that it records' }],
    ]);
    expect((await paramiko('run()')).stdout).toBe(seen);
  });
});
