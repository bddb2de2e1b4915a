/** A node service that is killed, or kept from collecting, during a session. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import type { SessionRow, Terminal } from '../end-to-end/machine.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('a session whose node service', () => {
  const steno = new Steno();
  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
  });
  afterAll(() => steno.dispose());

  const open = async (): Promise<{ readonly terminal: Terminal; readonly session: SessionRow }> => {
    const terminal = steno.terminal('ssh', ['-F', steno.config, '-tt', `${steno.login}@local.steno`, 'sh']);
    terminal.ended.catch(() => undefined);
    await terminal.until(/[#$] $/);
    const [session] = await eventually(
      () => viewerOf(steno).sessions(),
      ([row]) => row?.state === 'live',
    );
    return { terminal, session: session! };
  };
  const gapsOf = (id: string): Promise<readonly KernelEventInfo[]> =>
    viewerOf(steno)
      .events(id, { kinds: 'gap' })
      .catch(() => []);
  const lost = async (id: string): Promise<number> =>
    (await viewerOf(steno).audit({ event: 'kernel_recording.lost' })).filter(({ session }) => session === id).length;

  it('is killed has a signed gap from its last safe event to its end, an audit row, and all events before the gap', async () => {
    const { terminal, session } = await open();
    const folder = steno.folder;
    terminal.write(`i=0; while :; do : >${folder}/beat-$i-; i=$((i+1)); sleep 1; done\n`);
    const beats = async (): Promise<readonly (readonly [n: number, offset: number])[]> =>
      (
        await viewerOf(steno)
          .events(session.id, { only: 'changes' })
          .catch(() => [])
      ).flatMap(({ path, offset }) => {
        const found = /beat-(\d+)-$/.exec(path);
        return found === null ? [] : [[Number(found[1]), offset] as const];
      });
    // Longer than the interval at which the node reports which events are safe.
    await eventually(beats, (all) => all.some(([n]) => n >= 8), 60_000);
    process.kill(steno.run.processes['agent']!, 'SIGKILL');
    await terminal.ended.catch(() => undefined);
    const [gap] = await eventually(
      () => gapsOf(session.id),
      (all) => all.length > 0,
    );
    expect(gap).toMatchObject({
      kind: 'gap',
      name: 'the node was lost',
      data: { signed: true, first_ms: expect.any(Number), last_ms: expect.any(Number) },
    });
    const { first_ms: first, last_ms: last } = gap!.data as { readonly first_ms: number; readonly last_ms: number };
    expect(last).toBeGreaterThanOrEqual(first);
    // All events before the gap arrive: the restarted service sends those that its predecessor kept.
    const kept = await eventually(beats, (all) => all.some(([, offset]) => offset > first - 2_000));
    const numbers = new Set(kept.filter(([, offset]) => offset <= first).map(([n]) => n));
    expect([...numbers].sort((x, y) => x - y)).toEqual(Array.from({ length: numbers.size }, (_, n) => n));
    expect(numbers.size).toBeGreaterThan(2);
    await eventually(
      () => lost(session.id),
      (count) => count === 1,
    );
    await eventually(
      () => viewerOf(steno).sessions(),
      (rows) => rows.every(({ state }) => state === 'sealed'),
    );
    const file = join(steno.folder, 'lost.cast.zst');
    expect((await steno.steno('export', session.id, '-o', file)).status).toBe(0);
    expect((await steno.steno('verify', file)).status).toBe(0);
  });

  it('can open no more files has a gap without an end, and an audit row', async () => {
    const { terminal, session } = await eventually(
      () => open(),
      () => true,
    );
    const agent = steno.run.processes['agent']!;
    const before = execFileSync('prlimit', ['--pid', String(agent), '--nofile', '--output', 'SOFT', '--noheadings', '--raw'], {
      encoding: 'utf8',
    }).trim();
    execFileSync('prlimit', ['--pid', String(agent), '--nofile=3:']);
    try {
      terminal.write('for i in 1 2 3 4 5 6 7 8 9; do cat /etc/hostname; sleep 0.2; done\n');
      const gaps = await eventually(
        () => gapsOf(session.id),
        (all) => all.some(({ data }) => data['signed'] === true && data['last_ms'] === undefined),
        30_000,
      );
      expect(gaps.some(({ name }) => name.startsWith('kernel events are no longer collected'))).toBe(true);
      expect((await steno.steno('events', session.id)).stdout).toContain('events are missing from here on');
      await eventually(
        () => lost(session.id),
        (count) => count === 1,
      );
    } finally {
      execFileSync('prlimit', ['--pid', String(agent), `--nofile=${before}:`]);
      terminal.kill();
    }
  });
});
