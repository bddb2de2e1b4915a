/**
 * The cost of recording kernel events for recorded programs, for other programs and for the node service, and the rate at
 * which events are lost. Compared with bpftrace and auditd if they are installed.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { kernelEventClasses } from '#schemas/policy/role.js';
import { openLog } from '#runtime/log.js';
import { KernelRecorder } from '../../../agent/kernel/kernel-recorder.js';
import { cpuSeconds } from '../../field.js';
import type { Field } from '../../field.js';
import { interleave, quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { buildLoad } from './load.js';
import { eventsOf, gapsOf, run } from './session.js';

const SESSION = '01jd0000000000000000000000';
const OPENS = '200000';
const EXECS = '400';

export interface Bench {
  readonly folder: string;
  readonly load: string;
  readonly recorder: KernelRecorder;
  close(): Promise<void>;
}

export async function openBench(): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'steno-bench-kernel-'));
  const load = buildLoad(folder);
  const recorder = KernelRecorder.open({ folder: join(folder, 'log') }, openLog('bench', 'silent'));
  if (!recorder.available) throw new Error(`kernel events cannot be recorded here: ${recorder.reason ?? ''}`);
  // Accepts everything, like an ingest that answers after 50 ms.
  recorder.batches.onWork = () => {
    for (let batch = recorder.batches.next(); batch !== null; batch = recorder.batches.next()) {
      const { id } = batch;
      setTimeout(() => recorder.batches.acknowledged(id), 50);
    }
  };
  return {
    folder,
    load,
    recorder,
    async close() {
      await recorder.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const outputOf = async (child: ChildProcess): Promise<string> => {
  let text = '';
  child.stdout!.on('data', (data: Buffer) => {
    text += data.toString();
  });
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`the load ended with ${code}`);
  return text.trim();
};

/** Runs inside a recorded session; `lost`: events counted in gaps. */
export async function inside(
  bench: Bench,
  args: readonly string[],
  program = bench.load,
): Promise<{ readonly text: string; readonly lost: number }> {
  let lost = 0;
  const session = bench.recorder.session(
    { session: SESSION, mode: 'strict', classes: [...kernelEventClasses], offset_ms: 0, error_ms: 0 },
    null,
    (report) => {
      if (report.state === 'gap') lost += report.count;
    },
  );
  const text = await outputOf(session.spawn(() => spawn(program, [...args], { stdio: ['ignore', 'pipe', 'inherit'] })));
  await session.settle();
  session.end();
  return { text, lost };
}

const outside = (bench: Bench, args: readonly string[]): Promise<string> =>
  outputOf(spawn(bench.load, [...args], { stdio: ['ignore', 'pipe', 'inherit'] }));

/** Runs a peer during the measurement. Null if it is not installed or does not work here. */
type Peer = (bench: Bench, run: () => Promise<number>) => Promise<number>;

const bpftrace: Peer = async (bench, run) => {
  const script = `tracepoint:syscalls:sys_enter_openat /comm == "load"/ { printf("%d %s\\n", pid, str(args->filename)); } tracepoint:syscalls:sys_enter_execve { join(args->argv); }`;
  const child = spawn('bpftrace', ['-q', '-o', join(bench.folder, 'bpftrace'), '-e', `BEGIN { printf("ready\\n"); } ${script}`], {
    stdio: 'ignore',
  });
  let absent = false;
  child.once('error', () => (absent = true));
  while (!existsSync(join(bench.folder, 'bpftrace')) || readFileSync(join(bench.folder, 'bpftrace'), 'utf8').length === 0) {
    if (absent || child.exitCode !== null) throw new Error('bpftrace does not start');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  try {
    return await run();
  } finally {
    child.kill('SIGINT');
    await once(child, 'exit');
    rmSync(join(bench.folder, 'bpftrace'), { force: true });
  }
};

const auditd: Peer = async (bench, run) => {
  const folder = join(bench.folder, 'audit');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(
    join(folder, 'auditd.conf'),
    `log_file = ${folder}/audit.log\nlog_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 2000\nmax_log_file_action = ignore\nspace_left = 75\nadmin_space_left = 50\nwrite_logs = yes\nlocal_events = yes\n`,
    { mode: 0o640 },
  );
  const child = spawn('auditd', ['-n', '-s', 'nochange', '-c', folder], { stdio: 'ignore' });
  let absent = false;
  child.once('error', () => (absent = true));
  const control = (...args: readonly string[]): void => void execFileSync('auditctl', [...args], { stdio: 'ignore' });
  const rules = [
    ['-F', 'arch=b64', '-S', 'openat', '-F', `exe=${bench.load}`],
    ['-F', 'arch=b64', '-S', 'execve', '-F', 'exe=/usr/bin/true'],
  ];
  await new Promise((resolve) => setTimeout(resolve, 500));
  if (absent || child.exitCode !== null) throw new Error('auditd does not start');
  control('-b', '65536');
  for (const rule of rules) control('-a', 'always,exit', ...rule);
  control('-e', '1');
  try {
    return await run();
  } finally {
    control('-e', '0');
    for (const rule of rules) control('-d', 'always,exit', ...rule);
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  }
};

export async function kernelCost(rounds: number): Promise<Section> {
  process.stderr.write('kernel events: cost to programs\n');
  const bench = await openBench();
  try {
    const peers: (readonly [string, Peer])[] = [];
    for (const [name, peer] of [
      ['bpftrace', bpftrace],
      ['auditd', auditd],
    ] as const) {
      try {
        await peer(bench, async () => Number(await outside(bench, ['open', '400', '/etc/hostname'])));
        peers.push([name, peer]);
      } catch (error) {
        process.stderr.write(`  without ${name}: ${error instanceof Error ? error.message.split('\n')[0]! : String(error)}\n`);
      }
    }
    const rows: string[][] = [];
    for (const [title, args] of [
      ['open and close, ns', ['open', OPENS, '/etc/hostname']],
      ['start of a program with 20 arguments, µs', ['exec', EXECS]],
    ] as const) {
      const plain = async (): Promise<number> => Number(await outside(bench, args));
      // During a recorded session the eBPF programs are attached, and other programs pay for their checks.
      const keeper = async (run: () => Promise<number>): Promise<number> => {
        const session = bench.recorder.session(
          { session: SESSION, mode: 'strict', classes: [...kernelEventClasses], offset_ms: 0, error_ms: 0 },
          null,
          () => undefined,
        );
        const sleeper = session.spawn(() => spawn('sleep', ['600'], { stdio: 'ignore' }));
        try {
          return await run();
        } finally {
          sleeper.kill();
          await once(sleeper, 'exit');
          session.end();
        }
      };
      const figures = await interleave(
        [
          {
            name: 'nothing',
            run: async () => {
              bench.recorder.rest();
              return plain();
            },
          },
          { name: 'outside', run: () => keeper(plain) },
          { name: 'inside', run: async () => Number((await inside(bench, args)).text) },
          ...peers.map(([name, peer]) => ({
            name,
            run: () => {
              bench.recorder.rest();
              return peer(bench, plain);
            },
          })),
        ],
        rounds,
      );
      const base = figures[0]!;
      rows.push([
        title,
        ...figures.map(
          (figure, i) =>
            `${round3(figure.median)}${i === 0 ? '' : ` (${figure.median >= base.median ? '+' : ''}${round3(figure.median - base.median)}, ${((100 * (figure.median - base.median)) / base.median).toFixed(1)} %)`}`,
        ),
      ]);
    }
    return {
      title: 'Kernel events: what they cost the programs',
      how: 'Medians of the rounds; each round of opens is the cheapest of 1,000 batches of 200, each of starts a median of 400. Outside: another session is recorded. `npm run bench -- kernel_cost`.',
      header: ['', 'nothing recorded', 'outside the session', 'inside the session', ...peers.map(([name]) => name)],
      rows,
    };
  } finally {
    await bench.close();
  }
}

/** `seconds` at each rate, in a session through a whole Steno; CPU and memory are those of the agent's process. */
export async function kernelFlow(field: Field, seconds: number): Promise<Section> {
  process.stderr.write('kernel events: rates\n');
  const { steno } = field;
  const folder = join(steno.folder, 'flow');
  mkdirSync(join(folder, 'files'), { recursive: true });
  const load = buildLoad(folder);
  const agent = steno.run.processes['agent']!;
  const rows: string[][] = [];
  const turns = join(folder, 'files');
  const same = '/etc/hostname';
  // Distinct opens become a row each: a minute at the last rate would make fifteen million rows to read back.
  for (const [rate, files, length] of [
    [5_000, turns, seconds],
    [20_000, turns, seconds],
    [250_000, same, seconds],
    [250_000, turns, seconds / 6],
  ] as const) {
    const kind = files === same ? 'the same' : '64 in turn';
    const before = memoryOf(agent);
    const cpu = cpuSeconds(agent);
    const most = { ...before };
    const watch = setInterval(() => {
      const { pss, own } = memoryOf(agent);
      most.pss = Math.max(most.pss, pss);
      most.own = Math.max(most.own, own);
    }, 500);
    const began = performance.now();
    const { session, stdout } = await run(steno, `${load} rate ${rate} ${length} ${files}`);
    const used = (cpuSeconds(agent) - cpu) / ((performance.now() - began) / 1000);
    const [done = '0', reached = '0'] = stdout.trim().split(' ');
    const opened = files === same ? files : `${files}/`;
    let events = 0;
    let gaps = 0;
    const late = await eventsOf(steno, session, ({ kind: what, name, path, count }) => {
      if (what === 'gap') gaps += count ?? 0;
      if (what === 'file' && name === 'open' && path.startsWith(opened)) events += count ?? 1;
    });
    clearInterval(watch);
    gaps += await gapsOf(steno, session);
    rows.push([
      String(rate),
      kind,
      length.toFixed(0),
      reached,
      done,
      String(events),
      String(gaps),
      `${(100 * used).toFixed(1)} %`,
      `${mebibytes(before.pss)}, ${mebibytes(most.pss)}`,
      `${mebibytes(before.own)}, ${mebibytes(most.own)}`,
      late.toFixed(1),
    ]);
    process.stderr.write(`  ${rows.at(-1)!.join(', ')}\n`);
  }
  rmSync(folder, { recursive: true, force: true });
  return {
    title: 'Kernel events: rates',
    how: `Files opened by one thread in a session through a whole Steno on this machine. CPU and memory are of the agent's process, its threads and all that it does beside: CPU while the load ran, memory before it and at most until all was stored; PSS counts what is shared with Steno's other processes in parts, own is what no other process has. Events are those found by \`steno events\` afterwards, a file's first opening among them. \`npm run bench -- kernel_flow\`.`,
    header: [
      'asked, events/s',
      'files',
      's',
      'reached',
      'happened',
      'found',
      'in gaps',
      'CPU of a core',
      'PSS, MiB',
      'own memory, MiB',
      's until all could be queried, after the end',
    ],
    rows,
  };
}

/** Bytes. */
function memoryOf(pid: number): { pss: number; own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)![1]) * 1024;
  return { pss: of('Pss'), own: of('Private_Clean') + of('Private_Dirty') };
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

/** From the moment something happens on a node until its row can be queried, through a whole Steno. */
export async function kernelDelay(field: Field, rate: number, seconds: number): Promise<Section> {
  process.stderr.write('kernel events: from happening to row\n');
  const bench = { folder: mkdtempSync(join(tmpdir(), 'steno-bench-kernel-')) };
  const load = buildLoad(bench.folder);
  const { steno } = field;
  try {
    const folder = join(bench.folder, 'marks');
    const files = join(bench.folder, 'files');
    mkdirSync(folder);
    mkdirSync(files);
    const running = steno.ssh(
      `${steno.login}@local.steno`,
      `while [ ! -e ${bench.folder}/go ]; do sleep 0.1; done; exec ${load} rate ${rate} ${seconds} ${files} ${folder}`,
    );
    let session: SessionInfo | undefined;
    while (session === undefined)
      session = (await steno.json<SessionInfo[]>('sessions', '--node', 'local')).find(({ state }) => state === 'live');
    const follower = spawn(
      process.execPath,
      [
        fileURLToPath(new URL('../../../../bin/steno', import.meta.url)),
        'events',
        session.id,
        '--follow',
        '--json',
        '--kind',
        'kernel,file',
      ],
      { env: steno.env, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const delays: number[] = [];
    let rest = '';
    follower.stdout.on('data', (data: Buffer) => {
      const at = Date.now();
      const lines = (rest + data.toString()).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const event = JSON.parse(line) as KernelEventInfo;
        // The follower is connected, so the events may begin.
        if (event.kind === 'kernel') writeFileSync(join(bench.folder, 'go'), '');
        if (event.name === 'create' && event.path.startsWith(folder)) delays.push(at - Number(event.path.slice(folder.length + 1)) / 1e6);
      }
    });
    const { stdout } = await running;
    await once(follower, 'close');
    return {
      title: 'Kernel events: from happening to row',
      how: `${rate} events/s in one session for ${seconds} s, no two in a row alike, through a whole Steno on this machine; ten marks a second, seen by \`steno events --follow\`, which asks twice a second: half a second of it is its own. \`npm run bench -- kernel_delay\`.`,
      header: ['events/s', 'marks', 'p50, ms', 'p99, ms', 'most, ms'],
      rows: [[stdout.trim().split(' ')[1] ?? '', String(delays.length), ...[0.5, 0.99, 1].map((q) => quantile(delays, q).toFixed(0))]],
    };
  } finally {
    rmSync(bench.folder, { recursive: true, force: true });
  }
}
