/** Kernel events of an agent in a network namespace that reaches only the gateway's port. */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { Namespace, whyNoNamespace } from '../agent/namespace.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { startTunnelNode } from '../end-to-end/tunnel-node.js';
import type { TunnelNode } from '../end-to-end/tunnel-node.js';

const missing = obstacles();
const why = missing.length > 0 ? `kernel events cannot be recorded here: ${explain(missing)}` : whyNoNamespace();
if (why !== null) console.log(`skipped: ${why}`);

describe.skipIf(why !== null)('a node behind a tunnel', () => {
  const steno = new Steno();
  let space: Namespace;
  let node: TunnelNode;
  beforeAll(async () => {
    space = new Namespace(3);
    await steno.start('--tunnel-listen', `${space.outside}:0`);
    await steno.json('login', '--data', steno.data);
    node = await startTunnelNode(steno, 'inner', { token: [], agent: [], prefix: space.prefix });
  });
  afterAll(async () => {
    await node?.stop();
    await steno.dispose();
    space?.dispose();
  });

  it('sends the events of its sessions through a gateway that cannot read them', async () => {
    await eventually(
      () => steno.ssh(`${steno.login}@inner.steno`, '/bin/true behind-a-tunnel'),
      ({ status }) => status === 0,
    );
    const [session] = await eventually(
      () => viewerOf(steno).sessions({ node: 'inner' }),
      (rows) => rows.length > 0,
    );
    const events = await eventually(
      () =>
        viewerOf(steno)
          .events(session!.id, { only: 'changes' })
          .catch(() => []),
      (all) => all.some(({ kind }) => kind === 'exec'),
      30_000,
    );
    expect(events.map(({ data }) => (data['argv'] as string[] | undefined)?.join(' '))).toContain('/bin/true behind-a-tunnel');
    // The node's own connections: the gateway's port and no other.
    const { ssh: _, ...run } = steno.run as typeof steno.run & { readonly tunnel?: string };
    const peers = execFileSync('ip', ['netns', 'exec', space.name, 'ss', '-Htn', 'state', 'established'], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).at(-1));
    expect(new Set(peers)).toEqual(new Set([run.tunnel]));
  });
});
