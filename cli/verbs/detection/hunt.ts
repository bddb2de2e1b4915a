/** `steno hunt`: runs rules over stored events, with progress. Ctrl-C cancels. Tested in test/kernel/hunt.test.ts. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { Command } from 'commander';
import { MAX_HUNT_RULES, huntRules } from '#schemas/api/recordings/hunts.js';
import type { HuntExample, HuntLine, HuntRequest, HuntedRule } from '#schemas/api/recordings/hunts.js';
import { StenoError, isErrorCode } from '#schemas/base/errors.js';
import { readRuleFiles } from '../../../analyzer/sigma/rule-files.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseMoment } from '../../terminal/arguments.js';
import { json, standardOutput, styled, table, visible } from '../../terminal/output.js';

interface Options {
  readonly from?: number;
  readonly to?: number;
  readonly examples: string;
  readonly preview?: boolean;
  readonly json?: boolean;
}

type Result = Extract<HuntLine, { readonly kind: 'result' }>;

const more = `
Nothing is written: no finding is made, and nobody is notified. What is searched is what you may view; others with other roles
find other numbers. --preview prints matches for each day and some examples, to look at before a rule is enabled.
Exit code 1 when nothing matches.
`;

export function huntCommand(): Command {
  return new Command('hunt')
    .description('search stored events for matches of Sigma rules')
    .argument('<rule>', 'a file or folder of Sigma rules, the id of a rule that comes with Steno, or * for all of those')
    .option('--from <when>', 'from this moment on: a date, or an age such as 7d; left out: from the first event', (value) =>
      parseMoment(value),
    )
    .option('--to <when>', 'up to this moment', (value) => parseMoment(value))
    .option('--preview', 'print matches for each day, and the earliest of them')
    .option('--examples <n>', 'of each rule, 0 to 100', '5')
    .option('--json', 'print JSON')
    .addHelpText('after', more)
    .action(async (rule: string, options: Options) => {
      const result = await run(rule, options);
      if (result === null) {
        process.exitCode = 130;
        return;
      }
      if (options.json === true) json(standardOutput, result);
      else print(result, options);
      if (result.rules.every(({ count }) => count === 0)) process.exitCode = 1;
    });
}

/** Null: cancelled. */
async function run(rule: string, { from, to, examples }: Options): Promise<Result | null> {
  const request = { rules: rulesOf(rule), from, to, examples: Number(examples) };
  const stream = await openClient(openHome()).stream(huntRules.path, request);
  let cancelled = false;
  const cancel = (): void => {
    cancelled = true;
    stream.destroy();
  };
  process.once('SIGINT', cancel);
  const progress = progressLine();
  try {
    for await (const line of linesOf(stream)) {
      switch (line.kind) {
        case 'rules':
          for (const { title, missing } of line.lacking)
            standardOutput.err.write(`not searched for: ${visible(title)}: ${visible(missing.join('; '))}\n`);
          break;
        case 'progress':
          progress.show(line.done, line.matches);
          break;
        case 'error':
          throw new StenoError(isErrorCode(line.code) ? line.code : 'INTERNAL', line.detail);
        case 'result':
          return line;
      }
    }
  } catch (error) {
    if (!cancelled) throw error;
  } finally {
    progress.end();
    process.off('SIGINT', cancel);
  }
  if (!cancelled) throw new StenoError('NOT_RUNNING', 'the answer was cut off');
  standardOutput.err.write('Cancelled: what was found until then is not shown.\n');
  return null;
}

async function* linesOf(stream: Readable): AsyncGenerator<HuntLine> {
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) yield JSON.parse(line) as HuntLine;
}

function rulesOf(rule: string): HuntRequest['rules'] {
  if (!existsSync(rule)) {
    if (/[/.]/.test(rule) && !rule.startsWith('steno/')) throw new StenoError('NOT_FOUND', `no such file: ${rule}`);
    return { kind: 'id', id: rule };
  }
  const text = statSync(rule).isDirectory()
    ? readRuleFiles(rule)
        .rules.map((file) => file.text)
        .join('\n---\n')
    : readFileSync(rule, 'utf8');
  if (Buffer.byteLength(text) > MAX_HUNT_RULES) throw new StenoError('TOO_LARGE', `${rule}: more than ${MAX_HUNT_RULES} bytes of rules`);
  return { kind: 'text', name: basename(rule), text };
}

function progressLine(): { show(done: number, matches: number): void; end(): void } {
  const { err } = standardOutput;
  if (err.isTTY !== true) return { show: () => undefined, end: () => undefined };
  const width = 24;
  return {
    show(done, matches) {
      const full = Math.round(done * width);
      err.write(
        `\r${'█'.repeat(full)}${'░'.repeat(width - full)} ${String(Math.floor(done * 100)).padStart(3)} %  ${matches.toLocaleString('en')} matches  Ctrl-C cancels`,
      );
    },
    end: () => void err.write('\r\u001b[K'),
  };
}

const colours = { critical: 'red', high: 'red', medium: 'yellow', low: null, info: 'dim' } as const;

function print({ range, rules }: Result, { preview }: Options): void {
  const { err, env } = standardOutput;
  if (range === null) {
    err.write('There are no events of that time that you may view.\n');
    return;
  }
  const matching = rules.filter(({ count, failure }) => count > 0 || failure !== null);
  if (preview !== true || rules.length > 1) {
    table<HuntedRule>(
      standardOutput,
      matching.toSorted((a, b) => b.count - a.count),
      [
        { title: 'MATCHES', value: ({ count }) => count.toLocaleString('en'), align: 'right' },
        { title: 'NEW', value: ({ fresh }) => fresh.toLocaleString('en'), align: 'right' },
        { title: 'DAYS', value: ({ days }) => String(days.length), align: 'right' },
        { title: 'LEVEL', value: ({ level }) => level, style: ({ level }) => colours[level as keyof typeof colours] },
        { title: 'RULE', value: ({ title, failure }) => (failure === null ? title : `${title} (incomplete: ${failure.code})`) },
      ],
    );
  }
  if (preview === true) for (const rule of matching) describe(rule);
  const total = rules.reduce((sum, { count }) => sum + count, 0);
  const searched = rules.length === 1 ? '1 rule' : `${rules.length} rules`;
  err.write(
    `${total.toLocaleString('en')} matches of ${searched} from ${moment(range.from)} to ${moment(range.to)}. Nothing was written.\n`,
  );
  const failed = rules.filter(({ failure }) => failure !== null).length;
  if (failed > 0)
    err.write(
      `${styled(err, env, 'yellow', 'Incomplete:')} ${failed} rules were too heavy in a part of the range. Narrow it with --from and --to.\n`,
    );
}

function describe({ title, id, level, count, fresh, findings, days, examples, failure }: HuntedRule): void {
  const { out, env } = standardOutput;
  const bold = (text: string): string => styled(out, env, 'bold', text);
  const dim = (text: string): string => styled(out, env, 'dim', text);
  out.write(`\n${bold(visible(title))}  ${dim(visible(`${level}  ${id}`))}\n`);
  out.write(`${count.toLocaleString('en')} matches, ${fresh.toLocaleString('en')} in sessions without a finding of this rule`);
  if (findings.kept + findings.gone > 0) out.write(`; of its findings ${findings.kept} still match and ${findings.gone} no longer do`);
  out.write('\n');
  if (failure !== null) out.write(`incomplete: ${visible(`${failure.code} ${failure.detail}`.trim())}\n`);
  const most = Math.max(...days.map((day) => day.count), 1);
  for (const { day, count: of } of days)
    out.write(`  ${day}  ${of.toLocaleString('en').padStart(10)}  ${dim('▇'.repeat(Math.max(1, Math.round((of / most) * 40))))}\n`);
  if (examples.length === 0) return;
  out.write(`${dim('the earliest:')}\n`);
  table<HuntExample>(standardOutput, examples, [
    { title: 'TIME', value: ({ at }) => moment(at) },
    { title: 'USER', value: ({ user, login }) => (user === '' ? login : `${user} as ${login}`) },
    { title: 'NODE', value: ({ node }) => node },
    { title: 'SESSION', value: ({ session }) => session || '-' },
    { title: 'EVENT', value: eventText },
  ]);
}

/** Describes a program by its command line, other events by their object. */
function eventText({ kind, path, name, address }: HuntExample): string {
  return kind === 'exec' ? name || path : [kind, name, path || address].filter((part) => part !== '').join(' ');
}

function moment(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}
