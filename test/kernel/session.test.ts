import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { sessionTime } from '#schemas/recording/line.js';
import { explain, obstacles } from '../../agent/kernel/probes/programs.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import type { SessionRow } from '../end-to-end/machine.js';
import { startStockNode } from '../end-to-end/stock-node.js';
import type { StockNode } from '../end-to-end/stock-node.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('a session on a node of Steno', () => {
  const steno = new Steno();
  let stock: StockNode;
  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
    stock = await startStockNode(steno, 'stock');
  });
  afterAll(async () => {
    await stock?.stop();
    await steno.dispose();
  });

  const target = (): string => `${steno.login}@local.steno`;
  const events = (id: string, ...more: readonly string[]): Promise<KernelEventInfo[]> =>
    steno.json<KernelEventInfo[]>('events', id, ...more).catch(() => []);
  const ended = (id: string): Promise<readonly KernelEventInfo[]> =>
    // The session's first process ends last, so all its events have arrived once its end has.
    eventually(
      () =>
        viewerOf(steno)
          .events(id)
          .catch(() => []),
      (all) => {
        const first = all.find(({ kind }) => kind === 'exec');
        return first !== undefined && all.some(({ kind, data }) => kind === 'exit' && data['pid'] === first.data['pid']);
      },
    );
  const newest = async (): Promise<SessionRow> =>
    (
      await eventually(
        () => viewerOf(steno).sessions(),
        (rows) => rows.length > 0,
      )
    )[0]!;
  const run = async (
    command: string,
    ...options: readonly string[]
  ): Promise<{
    readonly session: SessionRow;
    readonly events: readonly KernelEventInfo[];
    readonly status: number;
    readonly stderr: string;
  }> => {
    const before = (await viewerOf(steno).sessions()).length;
    const { status, stderr } = await steno.ssh(...options, target(), command);
    await eventually(
      () => viewerOf(steno).sessions(),
      (rows) => rows.length > before,
    );
    const session = await newest();
    return { session, events: await ended(session.id), status, stderr };
  };
  const lines = async (id: string): Promise<readonly [number, string, Record<string, unknown>][]> => {
    const { stdout } = await steno.steno('export', id, '--format', 'cast');
    return stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as [number, string, Record<string, unknown>]);
  };

  it('shows in `steno events` what the screen does not', async () => {
    const { events: all, session } = await run(
      `echo ${Buffer.from('cat /etc/hostname > /dev/null; exec true hidden-word').toString('base64')} | base64 -d | sh`,
    );
    const hidden = all.find(({ kind, data }) => kind === 'exec' && (data['argv'] as string[]).join(' ') === 'true hidden-word')!;
    expect(hidden).toMatchObject({ path: realpathSync('/bin/true'), outcome: 'success' });
    // Rows do not wait for a digest: a late digest is a row of its own, which names the execution.
    const digest = await eventually(
      async () => [hidden, ...(await events(session.id, '--all')).filter(({ data }) => data['of'] === hidden.place)],
      (rows) => rows.some(({ sha256 }) => sha256 !== ''),
    );
    expect(digest.find(({ sha256 }) => sha256 !== '')!.sha256).toBe(createHash('sha256').update(readFileSync('/bin/true')).digest('hex'));
    expect(hidden.at).toBeGreaterThanOrEqual(sessionTime(session.id));
    expect(all).toContainEqual(expect.objectContaining({ kind: 'file', name: 'open', path: '/etc/hostname' }));
    const { stdout } = await steno.steno('events', session.id, '--tree');
    expect(stdout).toMatch(/→ true hidden-word/);
    expect(stdout).toContain('base64 -d');
  });

  it('has kernel recording and its gaps in the signed recording', async () => {
    const { session } = await run(`/bin/true $(head -c 40000 /dev/zero | tr '\\0' x)`);
    const kinds = await eventually(
      () => lines(session.id),
      (all) => all.some(([, code, data]) => code === 'g' && data['reason'] === 'kernel_events'),
    );
    expect(kinds).toContainEqual([
      expect.any(Number),
      's',
      { fact: 'kernel', classes: ['dns', 'exec', 'file', 'network', 'security'], error_ms: expect.any(Number), log: true },
    ]);
    expect(kinds).toContainEqual([
      expect.any(Number),
      'g',
      { reason: 'kernel_events', count: 1, from: expect.any(Number), to: expect.any(Number), detail: 'cut' },
    ]);
    // The gap is also shown to people, at its place among the events and in the count of gaps.
    const shown = await eventually(
      () => steno.steno('events', session.id),
      ({ stdout }) => stdout.includes('gap'),
    );
    expect(shown.stdout).toMatch(/gap +1 event with arguments that were cut/);
    expect((await steno.steno('events', session.id, '--tree')).stdout).toContain('arguments that were cut');
    expect((await events(session.id, '--kind', 'gap')).map(({ kind, name, data }) => [kind, name, data['signed']])).toEqual([
      ['gap', 'cut', true],
    ]);
    expect((await steno.steno('events', session.id, '--kind', 'exec')).stderr).toContain('1 gap: events of this session are missing');
    await eventually(
      () => newest(),
      ({ state }) => state === 'sealed' || state === 'ended',
    );
    const file = join(steno.folder, 'a.cast.zst');
    expect((await steno.steno('export', session.id, '-o', file)).status).toBe(0);
    expect((await steno.steno('verify', file)).status).toBe(0);
  });

  it('prints where a list stopped, and continues from there', async () => {
    const { session } = await run('for i in 1 2 3 4 5 6 7 8; do /bin/true $i; done');
    const whole = await events(session.id, '--all');
    const pages: KernelEventInfo[] = [];
    for (let after: readonly string[] = []; ;) {
      const { stdout, stderr } = await steno.steno('events', session.id, '--all', '--limit', '100', '--json', ...after);
      const page = JSON.parse(stdout) as KernelEventInfo[];
      pages.push(...page);
      const next = /Stopped after 100 events; there are more. Go on with --after (\S+),/.exec(stderr)?.[1];
      if (next === undefined) break;
      expect(page.length).toBe(100);
      after = ['--after', next];
    }
    expect(pages).toEqual(whole);
    expect((await steno.steno('events', session.id, '--tree', '--limit', '3')).stderr).toContain('there are more');
  });

  it('follows a terminal session live, including processes that outlive it', async () => {
    const terminal = steno.terminal('ssh', ['-F', steno.config, '-tt', target(), 'sh']);
    await terminal.until(/[#$] $/);
    const session = (
      await eventually(
        () => viewerOf(steno).sessions(),
        ([row]) => row?.state === 'live',
      )
    )[0]!;
    const follower = steno.terminal(process.execPath, [join(import.meta.dirname, '../../bin/steno'), 'events', session.id, '--follow'], {
      cols: 200,
      rows: 50,
    });
    terminal.write('/bin/true seen-live\n');
    await follower.until(/true seen-live/);
    terminal.write('nohup sh -c "sleep 1; exec true after-the-end" >/dev/null 2>&1 &\nexit\n');
    await terminal.ended;
    expect(await follower.ended).toBe(0);
    await eventually(
      () => events(session.id),
      (all) => all.some(({ data }) => (data['argv'] as string[] | undefined)?.includes('after-the-end')),
    );
  });

  it('is bound to its recording by the gateway: a client cannot order recording under another session’s id', async () => {
    const forged = JSON.stringify({
      session: '01jd0000000000000000000000',
      mode: 'best_effort',
      classes: ['exec'],
      offset_ms: 0,
      error_ms: 0,
    });
    const { events: all, status } = await run('/bin/true not-forged', '-o', `SetEnv=session@steno=${forged.replaceAll('"', '\\"')}`);
    expect(status).toBe(0);
    expect(all.some(({ data }) => (data['argv'] as string[] | undefined)?.join(' ') === '/bin/true not-forged')).toBe(true);
    const other = await steno.steno('events', '01jd0000000000000000000000');
    expect(other.stderr).toContain('SESSION_UNKNOWN');
  });

  it('escapes hostile program names, so that they cannot control a reader’s terminal', async () => {
    const { session } = await run(`exec -a "$(printf '\\033]0;owned\\007\\033[2J')" true`);
    const { stdout } = await steno.steno('events', session.id, '--all');
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(stdout).toContain('\\u{1b}]0;owned');
  });

  it('is admitted to a node that cannot record only if the role does not demand recording', async () => {
    const role = (enhanced: object): string => {
      const file = join(steno.folder, 'role.json');
      writeFileSync(
        file,
        JSON.stringify({
          kind: 'role',
          name: 'admin',
          allow: { nodes: { '*': '*' }, logins: ['*', 'root', '{user}'] },
          view: 'all',
          administer: true,
          recording: { enhanced },
        }),
      );
      return file;
    };
    expect((await steno.ssh(`${steno.login}@stock.steno`, 'echo reached')).stdout).toBe('reached\n');
    expect((await steno.steno('apply', '-f', role({ mode: 'strict' }))).status).toBe(0);
    const refused = await eventually(
      () => steno.ssh(`${steno.login}@stock.steno`, 'echo reached'),
      ({ status }) => status !== 0,
    );
    expect(refused.stderr).toContain('KERNEL_RECORDING_IMPOSSIBLE');
    expect((await steno.ssh(target(), 'echo reached')).stdout).toBe('reached\n');
    expect((await steno.steno('apply', '-f', role({ mode: 'best_effort', classes: ['exec'] }))).status).toBe(0);
    const only = await eventually(
      () => run('cat /etc/hostname'),
      ({ events: all }) => !all.some(({ kind, name }) => kind === 'file' && name !== 'execute'),
    );
    // The PATH search leaves failed executions in every folder but the last.
    expect(new Set(only.events.filter(({ name }) => name !== 'execute').map(({ kind }) => kind))).toEqual(
      new Set(['kernel', 'fork', 'exec', 'exit']),
    );
  });
});
