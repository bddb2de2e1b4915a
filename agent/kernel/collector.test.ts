import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { KernelRow } from '#schemas/kernel.js';
import { Collector, FLOOD_BYTES } from './collector.js';
import { bootClock } from './libbpf.js';
import type { FromCollector, ToCollector } from './messages.js';
import { KernelPrograms, explain, obstacles } from './programs.js';
import { Probe, SESSION } from './testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('the collector', () => {
  it('makes the same rows of a log that it finds, and removes it when all of them are stored', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'steno-collector-'));
    const programs = KernelPrograms.open();
    const boot = bootClock();
    /** Of each run, rows by batch. */
    const batches: Map<string, number>[] = [];
    /** Collects until `enough`; `store`: acknowledges. */
    const collect = async (
      begin: ToCollector | null,
      store: boolean,
      enough: (rows: readonly KernelRow[]) => boolean,
      run: () => Promise<unknown>,
    ): Promise<readonly KernelRow[]> => {
      const inbox: ToCollector[] = begin === null ? [] : [begin];
      const rows: KernelRow[] = [];
      const own = new Map<string, number>();
      batches.push(own);
      await new Promise<void>((resolve, reject) => {
        const post = (message: FromCollector): void => {
          if (message.kind === 'failed') reject(new Error(message.reason));
          if (message.kind === 'closed') resolve();
          if (message.kind !== 'batch') return;
          const some = JSON.parse(Buffer.from(message.payload).toString()) as KernelRow[];
          own.set(message.id, some.length);
          rows.push(...some);
          if (store) inbox.push({ kind: 'stored', batch: message.id, refused: false });
          if (enough(rows)) inbox.push({ kind: 'close' });
        };
        new Collector(
          { ring: programs.ring, totalsFd: programs.totalsFd, folder },
          { post, receive: () => inbox.shift(), now: Date.now, boot },
        ).start();
        run().catch(reject);
      });
      return rows;
    };
    try {
      const begin: ToCollector = {
        kind: 'begin',
        session: {
          number: 1,
          session: SESSION,
          classes: ['exec', 'file'],
          mode: 'strict',
          boot_ns: Number(boot()),
          offset_ms: 5,
          error_ms: 1,
        },
      };
      const over = (rows: readonly KernelRow[]): boolean => rows.some((row) => row[4] === 'exit');
      const first = await collect(begin, false, over, () =>
        once(
          programs.begin(1, ['exec', 'file'], () => spawn('/bin/cat', ['/etc/hostname'], { stdio: 'ignore' })),
          'exit',
        ),
      );
      expect(readdirSync(folder)).toContain('1.log');
      const again = await collect(null, true, over, () => Promise.resolve());
      // What it takes to know a file's digest is gone with the process that ran; everything else is the same.
      const plain = (rows: readonly KernelRow[]): unknown => rows.map((row) => (row[4] === 'exec' ? [...row.slice(0, 7), row[9]] : row));
      expect(plain(again)).toEqual(plain(first));
      expect(new Set(again.map((row) => `${row[1]} ${row[2]}`)).size).toBe(again.length);
      // What ingest knows by its name is the same rows, or it has another name.
      const [before, after] = batches as [Map<string, number>, Map<string, number>];
      for (const [id, count] of after) if (before.has(id)) expect(count).toBe(before.get(id));
      for (const id of after.keys()) expect(id).toMatch(/^1\.\d+-\d+$/);
      expect(readdirSync(folder)).toEqual(['sequence']);
    } finally {
      programs.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('under flood counts in one row what a thread repeats, and leaves nothing out', async () => {
    const probe = new Probe(64 << 20);
    try {
      const opens = Math.ceil((3 * FLOOD_BYTES) / 100);
      const { seen, counters, gaps } = await probe.run('perl', ['-e', `for (1..${opens}) { open(F, "/etc/hostname"); close(F) }`], {
        asleep: true,
      });
      expect(gaps).toEqual([]);
      const rows = seen.filter(({ kind }) => kind !== 'kernel');
      expect(rows.reduce((sum, { count }) => sum + (count ?? 1), 0)).toBe(counters.seen);
      expect(rows.length).toBeLessThan(counters.seen / 2);
      const merged = rows.find(({ count }) => count !== null && count > 100)!;
      expect(merged).toMatchObject({ kind: 'file', path: '/etc/hostname' });
      expect(merged.data['last_ms']).toBeGreaterThanOrEqual(merged.offset);
    } finally {
      probe.close();
    }
  });

  it('under flood leaves in its order what is not alike', async () => {
    const probe = new Probe(64 << 20);
    try {
      const turns = 20_000;
      const { seen, counters, gaps } = await probe.run(
        'perl',
        ['-e', `for (1..${turns}) { for ("/etc/hostname", "/etc/passwd") { open(F, $_); close(F) } }`],
        { asleep: true },
      );
      expect(gaps).toEqual([]);
      expect(seen.reduce((sum, { kind, count }) => sum + (kind === 'kernel' ? 0 : (count ?? 1)), 0)).toBe(counters.seen);
      const opened = seen.filter(({ path }) => path === '/etc/hostname' || path === '/etc/passwd').map(({ path }) => path);
      const loop = opened.slice(-2 * turns);
      expect(loop.length).toBe(2 * turns);
      expect(loop.every((path, i) => path === (i % 2 === 0 ? '/etc/hostname' : '/etc/passwd'))).toBe(true);
    } finally {
      probe.close();
    }
  });
});
