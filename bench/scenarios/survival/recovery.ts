/** Time from `kill -9` of a gateway with thousands of recordings in its spool until its recorder accepts a session again. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const child = fileURLToPath(new URL('./recovery-child.js', import.meta.url));

/** Runs the child until it reports, then kills it. */
async function run(...args: readonly string[]): Promise<{ readonly ms: number; readonly rss: number }> {
  const started = fork(child, [...args], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [report] = (await Promise.race([once(started, 'message'), once(started, 'exit')])) as [{ ms: number; rss: number }];
  started.kill('SIGKILL');
  if (started.exitCode === null && started.signalCode === null) await once(started, 'exit');
  return report;
}

export async function recovering(rounds: number, count: number): Promise<Section> {
  process.stderr.write('kill -9 of a recorder\n');
  const rows: string[][] = [];
  for (const state of ['ended', 'live']) {
    const folder = mkdtempSync(join(tmpdir(), 'steno-recovery-'));
    const [left, spool] = [join(folder, 'left'), join(folder, 'spool')];
    mkdirSync(left);
    try {
      await run('fill', left, String(count), state);
      const runs: number[] = [];
      let most = 0;
      for (let round = 0; round < rounds; round++) {
        rmSync(spool, { recursive: true, force: true });
        cpSync(left, spool, { recursive: true });
        const { ms, rss } = await run('start', spool);
        runs.push(ms / 1000);
        most = Math.max(most, rss);
        process.stderr.write(`  ${state}: ${round3(ms / 1000)} s\n`);
      }
      rows.push([
        state,
        `${round3(quantile(runs, 0.5))} (${round3(Math.min(...runs))}–${round3(Math.max(...runs))})`,
        round3(most / 2 ** 20),
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return {
    title: '`kill -9` to accepting again',
    how: `${count} recordings in the spool, unstored, of 40 lines each: from the start of the recorder until a session is open in it, s, median (least–most) of ${rounds} rounds. The program's own start comes on top.`,
    header: ['recordings were', 's', 'memory, MiB'],
    rows,
  };
}
