/** `steno rules`: Sigma rules in files, checked and tested without a server; and those that the authority keeps (rule-store.ts). */
import { relative } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { runCases } from '../../../analyzer/cases/cases.js';
import type { CaseResult } from '../../../analyzer/cases/cases.js';
import { readPlaceholders, readRuleFiles } from '../../../analyzer/sigma/rule-files.js';
import type { RuleFolder } from '../../../analyzer/sigma/rule-files.js';
import { loadRules } from '../../../analyzer/sigma/rule-set.js';
import type { RuleSet } from '../../../analyzer/sigma/rule-set.js';
import type { CorrelationRule, DetectionRule, Level } from '../../../analyzer/sigma/rule.js';
import { said } from '../../../analyzer/sources/log-source.js';
import { json, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { faultsOfTechniques, showCoverage } from './coverage.js';
import { listRulesInForce, orders } from './rule-list.js';
import type { Order } from './rule-list.js';
import { addRules, removeKeptRule, setKeptRule, showKeptRule } from './rule-store.js';

interface Options {
  readonly placeholders?: string;
  readonly json?: boolean;
}

const more = `
With a path, ls and test ask no server. docs/rules.md says which rules there can be, and how tests of them are written.
Examples:
  steno rules test rules/ && steno rules add rules/
  steno rules disable 1f0c8b8a-…
`;

export function rulesCommand(): Command {
  const rules = new Command('rules').description('check and test Sigma rules, and put them in force').addHelpText('after', more);
  rules
    .command('ls')
    .description('list every rule in force with its hits and cost; or the rules of a folder, with what keeps one from being evaluated')
    .argument('[path]', 'a folder, or one file; without it, the rules that the analyzer evaluates, built-in ones included')
    .option('--placeholders <file>', 'values of %name%, as a YAML map of lists; with a path')
    .addOption(new Option('--sort <order>', 'without a path: by this').choices(orders).default('severity'))
    .option('--kept', 'without a path: only the rules that were added here')
    .option('--json', 'print JSON')
    .action((path: string | undefined, options: Options & { readonly sort: Order; readonly kept?: boolean }) =>
      path === undefined ? listRulesInForce(options) : listRules(path, options),
    );
  rules
    .command('test')
    .description('check every rule of a folder, and run the tests beside them (*.test.yml)')
    .argument('<path>', 'a folder, or one file')
    .option('--placeholders <file>', 'values of %name%, as a YAML map of lists')
    .option('--json', 'print JSON')
    .action(testRules);
  rules
    .command('coverage')
    .description('show the techniques of ATT&CK that rules name, by tactic; without a path, of the rules that Steno comes with')
    .argument('[path]', 'a folder, or one file')
    .option('--json', 'print JSON')
    .action(showCoverage);
  rules
    .command('add')
    .description('put rules in force, or new versions of them; each is read strictly first')
    .argument('<path>', 'a folder, or one file')
    .option('--disabled', 'new ones are kept and not in force')
    .option('--json', 'print JSON')
    .action(addRules);
  rules
    .command('show')
    .description('print the text of a rule in force')
    .argument('<id>', 'as `steno rules ls` lists it')
    .option('--version <n>', 'of this version', (text) => {
      const version = Number(text);
      if (!Number.isSafeInteger(version) || version < 1) throw new InvalidArgumentError('Give a number from 1.');
      return version;
    })
    .option('--json', 'print JSON')
    .action(showKeptRule);
  rules
    .command('enable')
    .description('put rules in force again')
    .argument('<id...>', 'as `steno rules ls` lists them')
    .action((ids: readonly string[]) => setKeptRule(ids, true));
  rules
    .command('disable')
    .description('keep rules, and their versions, out of force')
    .argument('<id...>', 'as `steno rules ls` lists them')
    .action((ids: readonly string[]) => setKeptRule(ids, false));
  rules
    .command('rm')
    .description('remove rules with their versions')
    .argument('<id...>', 'as `steno rules ls` lists them')
    .action(removeKeptRule);
  return rules;
}

interface Line {
  readonly rule: DetectionRule | CorrelationRule;
  /** Empty: it can be evaluated. */
  readonly missing: readonly string[];
}

function listRules(path: string, options: Options): void {
  const { set } = load(path, options);
  const evaluable = [...set.evaluable, ...set.correlations];
  const lines: Line[] = [...evaluable.map(({ rule }) => ({ rule, missing: [] })), ...set.lacking].sort((a, b) =>
    a.rule.file === b.rule.file ? a.rule.line - b.rule.line : a.rule.file < b.rule.file ? -1 : 1,
  );
  if (options.json === true) {
    json(
      standardOutput,
      lines.map(({ rule, rule: { file, line, title, id, level, techniques }, missing }) => ({
        file,
        line,
        title,
        id,
        level,
        techniques,
        logsource: sourceOf(rule),
        evaluable: missing.length === 0,
        missing,
      })),
    );
  } else {
    table<Line>(standardOutput, lines, [
      { title: 'LEVEL', value: ({ rule }) => rule.level, style: ({ rule }) => colours[rule.level] },
      { title: 'TECHNIQUES', value: ({ rule }) => rule.techniques.join(',') || '-' },
      { title: 'LOG SOURCE', value: ({ rule }) => sourceOf(rule) },
      { title: 'TITLE', value: ({ rule }) => rule.title },
      { title: 'EVALUABLE', value: ({ missing }) => (missing.length === 0 ? 'yes' : `no: ${missing.join('; ')}`) },
    ]);
    standardOutput.err.write(`${evaluable.length} of ${lines.length} rules can be evaluated\n`);
  }
  throwFaults(set.faults);
}

function sourceOf(rule: Line['rule']): string {
  return rule.kind === 'rule' ? said(rule.logSource) : `correlation/${rule.correlation.type}`;
}

const colours: Readonly<Record<Level, 'red' | 'yellow' | 'dim' | null>> = {
  critical: 'red',
  high: 'red',
  medium: 'yellow',
  low: null,
  informational: 'dim',
};

function testRules(path: string, options: Options): void {
  const { folder, set } = load(path, options);
  const faults = [...set.faults, ...faultsOfTechniques(set)];
  const results: CaseResult[] = [];
  for (const file of folder.tests) {
    try {
      results.push(...runCases(file, set));
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      faults.push(error);
    }
  }
  const failed = results.filter(({ failure }) => failure !== null);
  const summary = {
    rules: set.evaluable.length + set.correlations.length + set.lacking.length,
    evaluable: set.evaluable.length + set.correlations.length,
    cases: results.length,
    failed: failed.length,
  };
  if (options.json === true) json(standardOutput, { ...summary, results, faults: faults.map(({ code, detail }) => ({ code, detail })) });
  else {
    for (const { file, rule, name, failure } of failed) {
      const mark = styled(standardOutput.out, standardOutput.env, 'red', '✗');
      standardOutput.out.write(`${mark} ${visible(`${relative('', file)}: ${rule}: ${name}: ${failure ?? ''}`)}\n`);
    }
    standardOutput.out.write(
      `${summary.rules} rules, ${summary.evaluable} can be evaluated; ${summary.cases} cases, ${summary.failed} failed\n`,
    );
  }
  throwFaults(faults);
  if (failed.length > 0) throw new StenoError('RULE_TEST_FAILED', `${failed.length} of ${results.length} cases`);
}

function load(path: string, { placeholders }: Options): { readonly folder: RuleFolder; readonly set: RuleSet } {
  const folder = readRuleFiles(path);
  const set = loadRules(folder.rules, placeholders === undefined ? {} : { placeholders: readPlaceholders(placeholders) });
  return { folder, set };
}

/** The first is thrown, as one error of the command; the others are printed before it. */
function throwFaults(faults: readonly StenoError[]): void {
  const [first, ...others] = faults;
  for (const { detail } of others) standardOutput.err.write(`${(detail ?? '').split('\n').map(visible).join('\n')}\n\n`);
  if (first !== undefined) throw first;
}
