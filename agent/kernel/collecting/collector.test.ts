import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { Collector, FLOOD_BYTES } from './collector.js';
import { HELD_MS } from '../records/held-records.js';
import { bootClock } from '../probes/libbpf.js';
import type { FromCollector, ToCollector } from './messages.js';
import { KernelPrograms, explain, obstacles } from '../probes/programs.js';
import { Probe, SESSION } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('the collector', () => {
  it('makes the same rows of a log that it finds, and removes it when all of them are stored', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'steno-collector-'));
    const programs = KernelPrograms.open();
    const boot = bootClock();
    /** For each run, the number of rows by batch. */
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
          if (store) inbox.push({ kind: 'stored', batch: message.id, lost: [] });
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
          way: null,
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
      // The process whose file's digest is needed is gone; everything else is the same.
      const plain = (rows: readonly KernelRow[]): unknown => rows.map((row) => (row[4] === 'exec' ? [...row.slice(0, 7), row[9]] : row));
      expect(plain(again)).toEqual(plain(first));
      expect(new Set(again.map((row) => `${row[1]} ${row[2]}`)).size).toBe(again.length);
      // A batch name that ingest knows contains the same rows; otherwise the batch has another name.
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

  /** A collector whose thread this test replaces: it looks when told to. */
  async function watched(
    act: (world: {
      readonly programs: KernelPrograms;
      readonly inbox: ToCollector[];
      readonly posted: FromCollector[];
      readonly clock: { ahead: number };
      readonly begin: (number: number, session: string) => ToCollector;
      /** Resolves once `fits` holds for the posted messages. */
      readonly until: (fits: () => boolean) => Promise<void>;
      readonly rows: () => KernelRow[];
    }) => Promise<void>,
  ): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'steno-collector-'));
    const programs = KernelPrograms.open();
    const boot = bootClock();
    const inbox: ToCollector[] = [];
    const posted: FromCollector[] = [];
    const clock = { ahead: 0 };
    const until = async (fits: () => boolean): Promise<void> => {
      for (const deadline = Date.now() + 20_000; !fits(); await new Promise((resolve) => setTimeout(resolve, 5))) {
        if (Date.now() > deadline) throw new Error(`never: ${JSON.stringify(posted.filter(({ kind }) => kind !== 'batch'))}`);
      }
    };
    const rows = (): KernelRow[] =>
      posted.flatMap((message) => (message.kind === 'batch' ? (JSON.parse(Buffer.from(message.payload).toString()) as KernelRow[]) : []));
    new Collector(
      { ring: programs.ring, totalsFd: programs.totalsFd, folder, closeMs: 0 },
      { post: (message) => posted.push(message), receive: () => inbox.shift(), now: () => Date.now() + clock.ahead, boot },
    ).start();
    try {
      await act({
        programs,
        inbox,
        posted,
        clock,
        until,
        rows,
        begin: (number, session) => ({
          kind: 'begin',
          session: {
            number,
            session,
            classes: ['exec', 'file'],
            mode: 'strict',
            boot_ns: Number(boot()),
            offset_ms: 5,
            error_ms: 1,
            way: null,
          },
        }),
      });
      inbox.push({ kind: 'close' });
      await until(() => posted.some(({ kind }) => kind === 'closed'));
    } finally {
      programs.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }
  const OTHER = '01jd0000000000000000000001';
  const seenOf = (rows: readonly KernelRow[], session: string): string[] => rows.filter((row) => row[0] === session).map((row) => row[4]);
  const cat = (): unknown => spawnSync('/bin/cat', ['/etc/hostname']);

  it('loses nothing of a session whose announcement waits behind another who asks what is missing', () =>
    watched(async ({ programs, inbox, begin, posted, until, rows }) => {
      inbox.push(begin(1, SESSION));
      await until(() => inbox.length === 0);
      programs.begin(1, ['exec', 'file'], cat);
      // Announced before its first process exists, as by the node service, and finished before the next look.
      inbox.push({ kind: 'settle', number: 1, ask: 1 }, begin(2, OTHER));
      programs.begin(2, ['exec', 'file'], cat);
      await until(() => posted.some(({ kind }) => kind === 'settled') && seenOf(rows(), OTHER).includes('exit'));
      expect(seenOf(rows(), OTHER)).toEqual(seenOf(rows(), SESSION));
      expect(seenOf(rows(), OTHER).slice(0, 2)).toEqual(['kernel', 'fork']);
      expect(posted.filter(({ kind }) => kind === 'gap')).toEqual([]);
    }));

  it('keeps what comes before its session is announced; what waited too long is a gap of it', () =>
    watched(async ({ programs, inbox, begin, posted, clock, until, rows }) => {
      inbox.push(begin(1, SESSION));
      programs.begin(2, ['exec', 'file'], cat);
      programs.begin(3, ['exec', 'file'], cat);
      programs.begin(1, ['exec', 'file'], cat);
      await until(() => seenOf(rows(), SESSION).includes('exit'));
      inbox.push(begin(2, OTHER));
      await until(() => seenOf(rows(), OTHER).includes('exit'));
      expect(seenOf(rows(), OTHER)).toEqual(seenOf(rows(), SESSION));
      clock.ahead = HELD_MS + 1_000;
      // Write something, so that the time is checked.
      inbox.push(begin(4, '01jd0000000000000000000003'));
      programs.begin(4, ['exec', 'file'], cat);
      await until(() => seenOf(rows(), '01jd0000000000000000000003').includes('exit'));
      inbox.push(begin(3, '01jd0000000000000000000002'));
      await until(() => posted.some(({ kind }) => kind === 'gap'));
      const gap = posted.find((message) => message.kind === 'gap')!;
      expect(gap).toMatchObject({ number: 3, gap: { why: 'unknown_session', count: seenOf(rows(), OTHER).length - 1 } });
    }));

  it('tells what ingest would not take of a session whose channel is open, and puts it into the log of one that is over', () =>
    watched(async ({ programs, inbox, begin, posted, until, rows }) => {
      inbox.push(begin(1, SESSION));
      programs.begin(1, ['exec', 'file'], cat);
      await until(() => seenOf(rows(), SESSION).includes('exit'));
      const batch = (posted.find((message) => message.kind === 'batch') as { readonly id: string }).id;
      const lost = { session: SESSION, count: 2, first_ms: 7, last_ms: 9, storable: true };
      inbox.push({ kind: 'stored', batch, lost: [lost] });
      await until(() => posted.some(({ kind }) => kind === 'gap'));
      expect(posted.find(({ kind }) => kind === 'gap')).toEqual({
        kind: 'gap',
        number: 1,
        gap: { state: 'gap', why: 'refused', count: 2, first_ms: 7, last_ms: 9 },
      });
      inbox.push({ kind: 'ended', number: 1 });
      await until(() => posted.some(({ kind }) => kind === 'finished'));
      inbox.push({ kind: 'stored', batch: 'none', lost: [lost, { ...lost, session: OTHER, storable: false }] });
      await until(() => seenOf(rows(), SESSION).includes('gap'));
      expect(rows().find((row) => row[4] === 'gap')).toMatchObject({ 0: SESSION, 3: 9, 10: 'refused', 11: 'kernel_events', 13: 2 });
      expect(seenOf(rows(), OTHER)).toEqual([]);
    }));

  it('makes rows that ingest takes of what hostile programs do', async () => {
    const probe = new Probe();
    try {
      // The probe validates each row as ingest does.
      const cutting = await probe.run('python3', [
        '-c',
        'import tempfile, os\nf = tempfile.TemporaryFile()\nfor n in (-1, -2**63, 2**63 - 1):\n  try: os.ftruncate(f.fileno(), n)\n  except OSError: pass',
      ]);
      const cuts = cutting.seen.filter(({ name }) => name === 'truncate');
      expect(cuts.map(({ outcome }) => outcome)).toEqual(['EINVAL', 'EINVAL', 'EFBIG']);
      expect(cuts.map(({ data }) => data['length'])).toEqual(['-1', String(-(2n ** 63n)), String(2n ** 63n - 1n)]);
      const shouting = await probe.run('perl', ['-e', 'exec { "/bin/true" } "true", "\\xff" . ("\\x01" x 33000)']);
      const run = shouting.seen.find(({ kind, path }) => kind === 'exec' && path.endsWith('/true'))!;
      expect(run.data['argv_base64']).toMatch(/^dHJ1ZQD\/AQEB/);
    } finally {
      probe.close();
    }
  });
});
