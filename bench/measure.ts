/** Figures of a benchmark. Contestants take turns, so that a slowdown of the machine affects all of them. */
export interface Contestant {
  readonly name: string;
  /** One run. Returns its figure. */
  run(): Promise<number>;
}

export interface Figure {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: readonly number[];
}

/** One warm-up each, then `rounds` rounds in which every contestant runs once. */
export async function interleave(contestants: readonly Contestant[], rounds: number): Promise<Figure[]> {
  const runs = contestants.map((): number[] => []);
  for (const contestant of contestants) await contestant.run();
  for (let round = 0; round < rounds; round++) {
    for (const [i, contestant] of contestants.entries()) runs[i]!.push(await contestant.run());
    process.stderr.write(
      `  round ${round + 1}/${rounds}: ${contestants.map(({ name }, i) => `${name} ${round3(runs[i]!.at(-1)!)}`).join(', ')}\n`,
    );
  }
  return contestants.map(({ name }, i) => ({
    name,
    median: quantile(runs[i]!, 0.5),
    min: Math.min(...runs[i]!),
    max: Math.max(...runs[i]!),
    runs: runs[i]!,
  }));
}

/** Median of the ratios a/b of all rounds, which is the quoted comparison. */
export function ratio(a: Figure, b: Figure): number {
  return quantile(
    a.runs.map((value, i) => value / b.runs[i]!),
    0.5,
  );
}

/** In the order of `compared`. `hop`: `ssh -J` through Steno, typed by hand, instead of the generated configuration. */
export const contestants = ['steno', 'login@node', 'hop', 'jump', 'direct'] as const;
export const comparedHeader = [
  '`ssh node.steno`',
  '`ssh login@node@gateway`',
  '`ssh -J gateway node`',
  'peer: `ssh -J`, OpenSSH',
  '`ssh` direct',
  'node.steno / peer',
  'login@node@gateway / peer',
  '-J gateway / peer',
];

/** Median (least–most) of each contestant, and Steno's ratios to the peer. */
export function compared(figures: readonly Figure[]): string[] {
  const [steno, inOne, hop, jump] = figures as [Figure, Figure, Figure, Figure];
  return [
    ...figures.map(({ median, min, max }) => `${round3(median)} (${round3(min)}–${round3(max)})`),
    ...[steno, inOne, hop].map((figure) => `${ratio(figure, jump).toFixed(2)}x`),
  ];
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((x, y) => x - y);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)]!;
  const high = sorted[Math.ceil(at)]!;
  return low + (high - low) * (at - Math.floor(at));
}

export function round3(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

export interface Section {
  readonly title: string;
  /** The measurement in a sentence, and the command that runs it. */
  readonly how: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function markdown({ title, how, header, rows }: Section): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return `## ${title}\n\n${how}\n\n${line(header)}${line(header.map(() => '---'))}${rows.map(line).join('')}\n`;
}
