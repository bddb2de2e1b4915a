/**
 * `npm run eval masquerade`: blocks of a hundred commands, a user's own or another user's, and how well methods tell them apart.
 *
 *     [--lines FILE] [--seed N] [--users N] [--jobs N]
 *
 * `FILE` holds a JSON object with a `command` on each line.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formOf } from '../../analyzer/baselines/habits.js';
import { BLOCK, DEVIATIONS, Familiarity, countsOf } from '../../analyzer/masquerade/model.js';
import type { Counts } from '../../analyzer/masquerade/model.js';
import { programOf, randomOf, usersOf } from './users.js';

const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: new URL('../../../../shared/commands/benign.jsonl', import.meta.url).pathname },
    seed: { type: 'string', default: '1' },
    users: { type: 'string', default: '60' },
    jobs: { type: 'string', default: '6' },
  },
  allowPositionals: true,
});
const BLOCKS = 20;
const DAY = 5;
const seed = Number(values.seed);
const lines = readFileSync(values.lines, 'utf8').trim().split('\n').map((line) => (JSON.parse(line) as { command: string }).command); // prettier-ignore

type Tokens = (line: string) => readonly string[];
const kinds: Readonly<Record<string, Tokens>> = {
  program: (line) => parts(line).map(programOf),
  form: (line) => parts(line).map((part) => formOf(programOf(part), part)),
  both: (line) => parts(line).flatMap((part) => [programOf(part), formOf(programOf(part), part)]),
};

function parts(line: string): readonly string[] {
  return line.split(/\||;|&&/).map((part) => part.trim()).filter((part) => part !== ''); // prettier-ignore
}

interface Method {
  readonly name: string;
  readonly tokens: Tokens;
  scorer(own: readonly string[], everybody: Counts): (block: readonly string[]) => number;
}

const bayes = (name: string, tokens: Tokens): Method => ({
  name,
  tokens,
  scorer: (own, everybody) => {
    const familiarity = new Familiarity(countsOf(own), everybody);
    return (block) => familiarity.mean(block);
  },
});

const methods: readonly Method[] = [
  bayes('naive Bayes, programs', kinds['program']!),
  bayes('naive Bayes, programs with options', kinds['form']!),
  {
    name: 'the same, by what is expected of the user',
    tokens: kinds['form']!,
    scorer: (own, everybody) => {
      const familiarity = new Familiarity(countsOf(own), everybody);
      const { expected, deviation } = familiarity.own();
      return (block) => (familiarity.mean(block) - expected) / deviation;
    },
  },
  bayes('naive Bayes, both', kinds['both']!),
  {
    name: 'one class: share of known, both',
    tokens: kinds['both']!,
    scorer: (own) => {
      const known = new Set(own);
      return (block) => block.filter((token) => known.has(token)).length / block.length;
    },
  },
  {
    name: 'pairs of programs, interpolated with programs',
    tokens: kinds['program']!,
    scorer: (own, everybody) => {
      const familiarity = new Familiarity(countsOf(own), everybody);
      const pairs = countsOf(own.slice(1).map((token, i) => `${own[i]!}\0${token}`));
      const single = countsOf(own);
      return (block) =>
        block.reduce((sum, token, i) => {
          const before = block[i - 1] ?? '';
          const share = ((pairs.of.get(`${before}\0${token}`) ?? 0) + 0.01) / ((single.of.get(before) ?? 0) + 1);
          return sum + familiarity.score(token) + 0.3 * Math.max(-4, Math.log(share));
        }, 0) / block.length;
    },
  },
];

const print = (text: string): void => void process.stdout.write(`${text}\n`);
print(
  `${values.users} users of ${values.jobs} jobs made from ${lines.length} lines, seed ${seed}; blocks of ${BLOCK} commands, ${BLOCKS} own and ${BLOCKS} of others for each user`,
);
for (const history of [200, 1_000, 5_000]) {
  const users = usersOf(lines, Number(values.users), Number(values.jobs), seed);
  const past = users.map((user) => Array.from({ length: history }, () => user.next()));
  const blocks = users.map((user) => Array.from({ length: BLOCKS }, () => Array.from({ length: BLOCK }, () => user.next())));
  print(`\nafter ${history} commands${' '.repeat(31)}AUC     found at 1 % false   the same job   another job`);
  for (const { name, tokens, scorer } of methods) {
    let scorers: readonly ((block: readonly string[]) => number)[] = [];
    const own = past.map((of) => of.flatMap(tokens));
    const random = randomOf(seed + 1);
    const self: number[] = [];
    const others: { readonly score: number; readonly sameJob: boolean }[] = [];
    for (let n = 0; n < BLOCKS; n += 1) {
      // The analyzer rereads the past every day: here, after every fifth block of each user.
      if (n > 0 && n % DAY === 0)
        for (const [i, of] of own.entries()) of.push(...blocks[i]!.slice(n - DAY, n).flatMap((block) => block.flatMap(tokens)));
      const everybody = n % DAY === 0 ? countsOf(own.flat()) : null;
      if (everybody !== null) scorers = own.map((of) => scorer(of, everybody));
      for (const [i, user] of users.entries()) {
        self.push(scorers[i]!(blocks[i]![n]!.flatMap(tokens)));
        let other = i;
        while (other === i) other = Math.floor(random() * users.length);
        others.push({ score: scorers[i]!(blocks[other]![n]!.flatMap(tokens)), sameJob: users[other]!.job === user.job });
      }
    }
    const limit = self.toSorted((a, b) => a - b)[Math.floor(self.length * 0.01)]!;
    const found = (of: readonly { readonly score: number }[]): string =>
      `${((100 * of.filter(({ score }) => score < limit).length) / of.length).toFixed(1)} %`;
    print(
      `${name.padEnd(50)}${aucOf(
        self,
        others.map(({ score }) => score),
      ).toFixed(4)}  ${found(others).padEnd(20)} ${found(others.filter(({ sameJob }) => sameJob)).padEnd(14)} ` +
        `${found(others.filter(({ sameJob }) => !sameJob)).padEnd(10)} limit ${limit.toFixed(3)}`,
    );
    if (!name.startsWith('the same')) continue;
    for (const deviations of [3, 4, 4.5, 5, 6]) {
      const share = (of: readonly number[]): string =>
        `${((100 * of.filter((score) => score < -deviations).length) / of.length).toFixed(1)} %`;
      const product = deviations === DEVIATIONS ? ' (the product)' : '';
      print(`    ${deviations} deviations below${product}: ${share(others.map(({ score }) => score))} found, ${share(self)} false`);
    }
  }
}

/** Probability that a user's own block scores higher than another user's. */
function aucOf(self: readonly number[], others: readonly number[]): number {
  const sorted = others.toSorted((a, b) => a - b);
  const below = (value: number, equal: boolean): number => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]! < value || (equal && sorted[middle]! === value)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return self.reduce((sum, value) => sum + (below(value, false) + below(value, true)) / 2, 0) / self.length / sorted.length;
}
