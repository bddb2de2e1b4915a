/** The cost of recording for a build: the same files compiled in turn inside a recorded session and outside. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { interleave, quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';
import { inside, openBench } from './kernel.js';

const HEADERS = [
  'stdio',
  'stdlib',
  'string',
  'math',
  'unistd',
  'errno',
  'fcntl',
  'signal',
  'time',
  'locale',
  'pthread',
  'sys/socket',
  'sys/stat',
  'netinet/in',
  'arpa/inet',
  'netdb',
];

/** Real headers, and enough functions to keep the optimizer busy. */
function writeProject(folder: string, files: number): void {
  mkdirSync(folder);
  const names = Array.from({ length: files }, (_, i) => `part${i}`);
  for (const [i, name] of names.entries()) {
    const functions = Array.from(
      { length: 60 },
      (_, f) => `
double work_${i}_${f}(double *values, int count)
{
	double sum = ${f};
	for (int k = 0; k < count; k++)
		sum += values[k] * ${i + 1} + sin(sum / (k + ${f + 1})) + (k % ${f + 2} ? strlen("${name}") : 0);
	return sum;
}`,
    );
    writeFileSync(join(folder, `${name}.c`), `${HEADERS.map((header) => `#include <${header}.h>\n`).join('')}${functions.join('\n')}\n`);
  }
  writeFileSync(join(folder, 'Makefile'), `all: ${names.map((name) => `${name}.o`).join(' ')}\n%.o: %.c\n\tcc -O2 -c $< -o $@\n`);
}

/** Elapsed seconds, and CPU seconds of all processes. */
async function timed(run: () => Promise<string>): Promise<{ readonly wall: number; readonly cpu: number }> {
  const began = performance.now();
  const text = await run();
  return {
    wall: (performance.now() - began) / 1000,
    cpu: text
      .trim()
      .split(/\s+/)
      .reduce((sum, part) => sum + Number(part), 0),
  };
}

export async function kernelCompile(rounds: number, files: number): Promise<Section> {
  process.stderr.write('kernel events: cost to a build\n');
  const bench = await openBench();
  try {
    const folder = join(bench.folder, 'project');
    writeProject(folder, files);
    // bash's `times` of its children, without the CPU time of the recorder.
    const command = [
      '-c',
      `cd ${folder} && make -s -B -j2 && times > times && tail -n 1 times | sed -E 's/([0-9]+)m([0-9.]+)s/\\1 \\2/g' | awk '{ print $1 * 60 + $2, $3 * 60 + $4 }'`,
    ];
    const cpu: Record<string, number[]> = { nothing: [], inside: [] };
    const outside = async (): Promise<string> => {
      const child = spawn('bash', command, { stdio: ['ignore', 'pipe', 'inherit'] });
      let text = '';
      child.stdout.on('data', (data: Buffer) => {
        text += data.toString();
      });
      const [code] = (await once(child, 'close')) as [number];
      if (code !== 0) throw new Error(`the build ended with ${code}`);
      return text;
    };
    const figures = await interleave(
      [
        {
          name: 'nothing',
          run: async () => {
            bench.recorder.rest();
            const figure = await timed(outside);
            cpu['nothing']!.push(figure.cpu);
            return figure.wall;
          },
        },
        {
          name: 'inside',
          run: async () => {
            const figure = await timed(async () => (await inside(bench, command, 'bash')).text);
            cpu['inside']!.push(figure.cpu);
            return figure.wall;
          },
        },
      ],
      rounds,
    );
    const [nothing, within] = figures as [(typeof figures)[0] & object, (typeof figures)[0] & object];
    const slower = (pairs: readonly number[]): string => `${(100 * (quantile(pairs, 0.5) - 1)).toFixed(1)} %`;
    const wall = within.runs.map((value, i) => value / nothing.runs[i]!);
    // The first of these is the warm-up.
    const work = cpu['inside']!.slice(1).map((value, i) => value / cpu['nothing']![i + 1]!);
    return {
      title: 'Kernel events: what they cost a build',
      how: `\`make -j2\` of ${files} C files with the headers of the C library, inside a recorded session and with nothing recorded, in turn; ${rounds} rounds, median (least–most), and the median of the rounds' ratios. CPU is what the build itself used. \`npm run bench -- kernel_compile\`.`,
      header: ['', 'nothing recorded', 'inside the session', 'slower'],
      rows: [
        [
          'by the clock, s',
          ...[nothing, within].map(({ median, min, max }) => `${round3(median)} (${round3(min)}–${round3(max)})`),
          slower(wall),
        ],
        [
          'CPU of the build, s',
          ...[cpu['nothing']!, cpu['inside']!].map(
            (all) => `${round3(quantile(all.slice(1), 0.5))} (${round3(Math.min(...all.slice(1)))}–${round3(Math.max(...all.slice(1)))})`,
          ),
          slower(work),
        ],
      ],
    };
  } finally {
    await bench.close();
  }
}
