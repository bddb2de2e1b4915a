/** Bulk bytes through exec, both directions, with streams limited and in full, and a terminal recorded in full. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import type { Field } from '../../field.js';
import { compared, comparedHeader, contestants, interleave } from '../../measure.js';
import type { Section } from '../../measure.js';

const MIB = 1 << 20;

async function timed(
  args: readonly string[],
  command: string,
  stdin: number | 'ignore',
  tty = false,
): Promise<{ seconds: number; bytes: number }> {
  const start = performance.now();
  const child = spawn('ssh', [...(tty ? ['-tt'] : ['-T']), ...args, command], { stdio: [stdin, 'pipe', 'inherit'] });
  let bytes = 0;
  child.stdout!.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`ssh ended with ${code}`);
  return { seconds: (performance.now() - start) / 1000, bytes };
}

/** Sets the roles' recording of streams; the gateway has the change before the warm-up is over. */
export async function record({ steno }: Field, streams: 'limited' | 'commands'): Promise<void> {
  const role = {
    kind: 'role',
    name: 'admin',
    allow: { nodes: { '*': '*' }, logins: ['*', 'root', '{user}'] },
    view: 'all',
    administer: true,
    recording: { streams },
  };
  const file = join(steno.folder, 'bench-role.yaml');
  writeFileSync(file, JSON.stringify(role));
  const { status, stderr } = await steno.steno('apply', '-f', file);
  if (status !== 0) throw new Error(stderr);
}

export async function bulk(field: Field, rounds: number, mebibytes: number): Promise<Section> {
  const { routes } = field;
  const total = mebibytes * MIB;
  const file = join(field.steno.folder, 'zeros');
  const fd = openSync(file, 'w');
  ftruncateSync(fd, total);
  closeSync(fd);
  const down = (args: readonly string[]) => async (): Promise<number> => {
    const { seconds, bytes } = await timed(args, `head -c ${total} /dev/zero`, 'ignore');
    if (bytes !== total) throw new Error(`${bytes} bytes of ${total}`);
    return total / 1e6 / seconds;
  };
  const up = (args: readonly string[]) => async (): Promise<number> => {
    const input = openSync(file, 'r');
    const { seconds } = await timed(args, 'cat >/dev/null', input);
    closeSync(input);
    return total / 1e6 / seconds;
  };
  const rows: string[][] = [];
  const load = loadavg()[0]!.toFixed(1);
  for (const streams of ['limited', 'commands'] as const) {
    await record(field, streams);
    for (const [title, make] of [
      ['from the node', down],
      ['to the node', up],
    ] as const) {
      process.stderr.write(`bulk ${title}, ${streams}\n`);
      rows.push([
        streams === 'limited' ? 'head, tail and digest' : 'in full',
        title,
        ...compared(
          await interleave(
            contestants.map((name) => ({ name, run: make(routes[name]) })),
            rounds,
          ),
        ),
      ]);
    }
  }
  return {
    title: 'Bulk, recorded and hashed',
    how:
      `${mebibytes} MiB by \`ssh … head -c\` and \`ssh … cat >/dev/null\`, same cipher on every leg, MB/s, median (least–most) of ${rounds} rounds, contestants in turn; ` +
      `with roles that limit streams, and by default. Load before: ${load}.`,
    header: ['recorded', 'direction', ...comparedHeader],
    rows,
  };
}

export async function terminal(field: Field, rounds: number): Promise<Section> {
  const { routes } = field;
  const command = 'i=0; line=$(seq -s " " 1 30); yes "$line" | head -c 60000000';
  process.stderr.write('terminal output\n');
  const run = (args: readonly string[]) => async (): Promise<number> => {
    const { seconds, bytes } = await timed(args, command, 'ignore', true);
    return bytes / 1e6 / seconds;
  };
  const figures = await interleave(
    contestants.map((name) => ({ name, run: run(routes[name]) })),
    rounds,
  );
  return {
    title: 'Terminal output, recorded in full',
    how: `60 MB of text on a terminal (\`ssh -tt … yes | head -c\`), MB/s, median (least–most) of ${rounds} rounds.`,
    header: comparedHeader,
    rows: [compared(figures)],
  };
}
