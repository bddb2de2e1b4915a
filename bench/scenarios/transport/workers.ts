/**
 * One worker and two, each under a CPU quota of its own, so that clients, nodes and stores have the rest of the machine. This measures
 * the gain of a second process, not the number of cores.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpuSeconds, openField } from '../../field.js';
import type { Field } from '../../field.js';
import { interleave, ratio, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const GROUPS = '/sys/fs/cgroup/cpu';
const PERIOD_US = 20_000;
/** Share of one core for each worker. */
const SETUP_SHARE = 0.12;
const BULK_SHARE = 0.12;
const CLIENTS = 12;
const STREAMS = 4;
const MB = 1_000_000;

interface Gateway {
  readonly field: Field;
  readonly workers: readonly number[];
  /** The listening process: the worker itself if there is only one. */
  readonly parent: number;
  readonly groups: readonly string[];
}

async function open(count: number): Promise<Gateway> {
  const field = await openField({ up: ['--workers', String(count)], plainShells: true });
  const parent = field.steno.run.processes['gateway']!;
  const log = readFileSync(join(field.steno.data, 'logs', 'gateway.log'), 'utf8');
  const workers = count === 1 ? [parent] : [...log.matchAll(/"worker":"[^"]*","process":(\d+)/g)].map(([, pid]) => Number(pid));
  const groups = workers.map((pid) => {
    const group = join(GROUPS, `steno-bench-${pid}`);
    mkdirSync(group);
    writeFileSync(join(group, 'cpu.cfs_period_us'), String(PERIOD_US));
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
    return group;
  });
  return { field, workers, parent, groups };
}

function limit({ groups }: Gateway, share: number): void {
  for (const group of groups) writeFileSync(join(group, 'cpu.cfs_quota_us'), String(Math.round(share * PERIOD_US)));
}

async function close({ field, groups }: Gateway): Promise<void> {
  for (const group of groups) writeFileSync(join(group, 'cpu.cfs_quota_us'), '-1');
  await field.close();
  for (const group of groups) rmdirSync(group);
}

async function ssh(args: readonly string[]): Promise<void> {
  const child = spawn('ssh', ['-T', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout!.resume();
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`ssh ended with ${code}`);
}

/** Recorded sessions per second, by clients that begin the next session as soon as one is over. */
async function setups(gateway: Gateway, seconds: number): Promise<number> {
  limit(gateway, SETUP_SHARE);
  const args = [...gateway.field.routes['login@node'], 'true'];
  const began = performance.now();
  const over = began + seconds * 1000;
  let done = 0;
  let last = began;
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (performance.now() < over) {
        await ssh(args);
        const now = performance.now();
        if (now > over) return;
        done += 1;
        last = now;
      }
    }),
  );
  return done / ((last - began) / 1000);
}

/** MB per second to several concurrent clients. */
async function bulk(gateway: Gateway, megabytes: number): Promise<number> {
  limit(gateway, BULK_SHARE);
  const began = performance.now();
  await Promise.all(
    Array.from({ length: STREAMS }, () => ssh([...gateway.field.routes['login@node'], `head -c ${megabytes * MB} /dev/zero`])),
  );
  return (STREAMS * megabytes) / ((performance.now() - began) / 1000);
}

/** Proportional set size of these processes in MB. */
function memory(pids: readonly number[]): number {
  const kib = pids.map((pid) => Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))![1]));
  return kib.reduce((sum, one) => sum + one, 0) / 1024;
}

export async function scaling(rounds: number, seconds: number): Promise<Section> {
  process.stderr.write('one worker and two\n');
  const one = await open(1);
  const two = await open(2);
  try {
    const idle = [memory([one.parent]), memory([two.parent, ...two.workers])];
    const parentBefore = cpuSeconds(two.parent);
    const begun = performance.now();
    let sessions = 0;
    const begin = await interleave(
      [
        { name: 'one', run: () => setups(one, seconds) },
        {
          name: 'two',
          run: async () => {
            const rate = await setups(two, seconds);
            sessions += rate * seconds;
            return rate;
          },
        },
      ],
      rounds,
    );
    const parentMs = ((cpuSeconds(two.parent) - parentBefore) * 1000) / sessions;
    process.stderr.write(`  ${round3((performance.now() - begun) / 1000)} s\n`);
    const flow = await interleave(
      [
        { name: 'one', run: () => bulk(one, seconds * 2) },
        { name: 'two', run: () => bulk(two, seconds * 2) },
      ],
      rounds,
    );
    const line = (what: string, figures: typeof begin): string[] => [
      what,
      ...figures.map(({ median, min, max }) => `${round3(median)} (${round3(min)}–${round3(max)})`),
      `${ratio(figures[1]!, figures[0]!).toFixed(2)}x`,
    ];
    return {
      title: 'One worker and two',
      how:
        `Each worker may use ${SETUP_SHARE * 100} % of a core (CFS quota, period ${PERIOD_US / 1000} ms); the parent, clients, node and stores are not limited. ` +
        `${CLIENTS} clients run \`ssh … true\` for ${seconds} s a round; ${STREAMS} clients fetch ${seconds * 2} MB each. The parent spent ${parentMs.toFixed(2)} ms of CPU a connection.`,
      header: ['', '`workers: 1`', '`workers: 2`', 'two / one'],
      rows: [
        line('recorded sessions a second', begin),
        line('MB a second from the node', flow),
        ['memory of all processes, idle, MiB (PSS)', round3(idle[0]!), round3(idle[1]!), `${(idle[1]! / idle[0]!).toFixed(2)}x`],
      ],
    };
  } finally {
    await close(one);
    await close(two);
  }
}
