/** CPU time of the gateway: a busy machine lengthens elapsed times, but hardly changes CPU time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Field } from '../../field.js';
import { interleave, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { Typist } from '../../typist.js';

const MB = 1_000_000;
const KEYS = 200;
const SETUPS = 10;

async function ssh(args: readonly string[], stdin: number | 'ignore'): Promise<void> {
  const child = spawn('ssh', [...args], { stdio: [stdin, 'pipe', 'inherit'] });
  child.stdout!.resume();
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`ssh ended with ${code}`);
}

export async function cost(field: Field, rounds: number, megabytes: number): Promise<Section> {
  process.stderr.write('CPU of the gateway\n');
  const file = join(field.steno.folder, 'cost');
  const fd = openSync(file, 'w');
  ftruncateSync(fd, megabytes * MB);
  closeSync(fd);
  const kinds: readonly [string, number, (args: readonly string[]) => Promise<unknown>][] = [
    ['a megabyte from the node, ms', megabytes, (args) => ssh(['-T', ...args, `head -c ${megabytes * MB} /dev/zero`], 'ignore')],
    [
      'a megabyte to the node, ms',
      megabytes,
      async (args) => {
        const input = openSync(file, 'r');
        await ssh(['-T', ...args, 'cat >/dev/null'], input);
        closeSync(input);
      },
    ],
    [
      'a megabyte of terminal output, ms',
      megabytes / 4,
      (args) => ssh(['-tt', ...args, `yes "$(seq -s ' ' 1 30)" | head -c ${(megabytes * MB) / 4}`], 'ignore'),
    ],
    [
      'a connection that runs `true`, ms',
      SETUPS,
      async (args) => {
        for (let i = 0; i < SETUPS; i++) await ssh(['-T', ...args, 'true'], 'ignore');
      },
    ],
    [
      'a keystroke and its echo, ms',
      KEYS,
      async (args) => {
        const typist = new Typist(args);
        await typist.ready();
        await typist.type(KEYS);
        typist.close();
      },
    ],
  ];
  const names = ['steno', 'hop'] as const;
  const rows: string[][] = [];
  for (const [title, count, run] of kinds) {
    const figures = await interleave(
      names.map((name) => ({
        name,
        run: async () => {
          const before = field.gatewaySeconds();
          await run(field.routes[name]);
          return ((field.gatewaySeconds() - before) * 1000) / count;
        },
      })),
      rounds,
    );
    rows.push([title, ...figures.map(({ median, min, max }) => `${round3(median)} (${round3(min)}–${round3(max)})`)]);
  }
  return {
    title: 'CPU of the gateway',
    how: `Everything the gateway's process spent, recording and sending to ingest included, for each of these; median (least–most) of ${rounds} rounds.`,
    header: ['for', '`ssh node.steno`', '`ssh -J gateway node`'],
    rows,
  };
}
