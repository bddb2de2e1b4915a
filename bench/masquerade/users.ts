/**
 * Simulated users, each with programs and lines of their own, made from a seed and a set of command lines.
 *
 * A user has a job, which prefers some programs, and a repertoire of sixty lines, half of them shared with other users of the job. Lines
 * follow one another by habit. One command in ten is one that everybody uses, and one in twenty is a random line. A tenth of the
 * repertoire changes with every thousand commands. The figures compare methods; they do not predict results for real people.
 */
export type Random = () => number;

/** mulberry32 */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const REPERTOIRE = 60;
const pick = <T>(random: Random, of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
/** Picks from a list, its beginning far more often. */
const zipf = <T>(random: Random, of: readonly T[]): T => of[Math.min(of.length - 1, Math.floor(of.length ** random()) - 1)]!;

export interface User {
  readonly job: number;
  next(): string;
}

export function usersOf(lines: readonly string[], count: number, jobCount: number, seed: number): readonly User[] {
  const random = randomOf(seed);
  const byProgram = new Map<string, string[]>();
  for (const line of lines) byProgram.set(programOf(line), [...(byProgram.get(programOf(line)) ?? []), line]);
  const programs = [...byProgram.keys()].sort();
  const common = [...byProgram].sort(([, a], [, b]) => b.length - a.length).slice(0, 30).map(([, of]) => of[0]!); // prettier-ignore
  const jobs = Array.from({ length: jobCount }, () => {
    const preferred = Array.from({ length: 25 }, () => pick(random, programs));
    return { preferred, shared: Array.from({ length: REPERTOIRE }, () => pick(random, byProgram.get(zipf(random, preferred))!)) };
  });
  return Array.from({ length: count }, (_, i): User => {
    const { preferred, shared } = jobs[i % jobCount]!;
    const line = (): string => (random() < 0.5 ? pick(random, shared) : pick(random, byProgram.get(zipf(random, preferred))!));
    const repertoire = Array.from({ length: REPERTOIRE }, line);
    let last = 0;
    let done = 0;
    return {
      job: i % jobCount,
      next() {
        done += 1;
        if (done % 1_000 === 0) for (let n = 0; n < REPERTOIRE / 10; n += 1) repertoire[Math.floor(random() * REPERTOIRE)] = line();
        const kind = random();
        if (kind < 0.05) return pick(random, lines);
        if (kind < 0.15) return zipf(random, common);
        last = random() < 0.4 ? (last * 7 + 3) % REPERTOIRE : Math.min(REPERTOIRE - 1, Math.floor(REPERTOIRE ** random()) - 1);
        return repertoire[last]!;
      },
    };
  });
}

export function programOf(line: string): string {
  return line.trim().split(/[\s|;]/, 1)[0]!;
}
