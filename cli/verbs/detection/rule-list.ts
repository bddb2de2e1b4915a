/** `steno rules ls` without a path: every rule in force, built-in ones included, and the rules that the authority keeps out of force. */
import { showCatalogue } from '#schemas/api/detection/rule-catalogue.js';
import type { CatalogueRule } from '#schemas/api/detection/rule-catalogue.js';
import { listRules } from '#schemas/api/detection/rules.js';
import type { RuleInfo } from '#schemas/api/detection/rules.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, standardOutput, table } from '../../terminal/output.js';

export const orders = ['severity', 'hits', 'cost'] as const;
export type Order = (typeof orders)[number];

interface Options {
  readonly json?: boolean;
  readonly sort?: Order;
  readonly kept?: boolean;
}

/** One of the two is there. */
interface Line {
  readonly id: string;
  readonly evaluated: CatalogueRule | null;
  readonly kept: RuleInfo | null;
}

export async function listRulesInForce({ json: asJson, sort = 'severity', kept: onlyKept = false }: Options): Promise<void> {
  const { authority } = openClient(openHome());
  const [kept, { rules, dry_run: isDryRun }] = await Promise.all([call(authority, listRules, {}), call(authority, showCatalogue, {})]);
  const lines = merged(kept, rules)
    .filter((line) => !onlyKept || line.kept !== null)
    .sort(comparisons[sort]);
  // A rule that is kept has the fields that it had before built-in rules were listed.
  if (asJson === true)
    return json(
      standardOutput,
      lines.map(({ id, evaluated, kept: info }) => ({ id, ...(info ?? {}), evaluated })),
    );
  table<Line>(standardOutput, lines, [
    { title: 'SEVERITY', value: severityOf, style: (line) => severityStyles[severityOf(line)] ?? null },
    { title: 'TIER', value: ({ evaluated }) => evaluated?.tier ?? '-' },
    { title: 'DETECTOR', value: ({ evaluated }) => evaluated?.detector ?? '-' },
    { title: 'FROM', value: ({ evaluated }) => (evaluated === null ? 'authority' : origins[evaluated.origin]) },
    { title: 'STATE', value: stateOf, style: (line) => stateStyles[stateOf(line)] ?? null },
    { title: 'HITS', align: 'right', value: ({ evaluated }) => (evaluated === null ? '-' : String(evaluated.hits)) },
    { title: 'HIT RATE', align: 'right', value: rateOf },
    { title: 'COST', align: 'right', value: costOf },
    { title: 'RESPONSE', value: (line) => responseOf(line, isDryRun) },
    { title: 'TECHNIQUES', value: ({ evaluated }) => evaluated?.techniques.join(',') || '-' },
    { title: 'ID', value: ({ id }) => id },
    { title: 'TITLE', value: titleOf },
  ]);
  if (rules.length === 0) standardOutput.err.write('No analyzer has reported its rules yet: it does within a minute of its start.\n');
  else if (rules.some(({ cost_shared_by: by }) => by > 1))
    standardOutput.err.write('Costs with ~ are measured for a detector as a whole, and divided by its rules.\n');
}

export function merged(kept: readonly RuleInfo[], rules: readonly CatalogueRule[]): Line[] {
  const byId = new Map(kept.map((rule) => [rule.id, rule]));
  const evaluated = new Set(rules.map(({ id }) => id));
  return [
    ...rules.map((rule) => ({ id: rule.id, evaluated: rule, kept: byId.get(rule.id) ?? null })),
    ...kept.filter(({ id }) => !evaluated.has(id)).map((rule) => ({ id: rule.id, evaluated: null, kept: rule })),
  ];
}

const rank: Readonly<Record<string, number>> = { critical: 0, high: 1, medium: 2, low: 3, info: 4 };
const cost = ({ evaluated }: Line): number => (evaluated === null ? -1 : evaluated.cost_ms / evaluated.cost_shared_by);
const bySeverity = (a: Line, b: Line): number =>
  (rank[severityOf(a)] ?? 5) - (rank[severityOf(b)] ?? 5) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const comparisons: Readonly<Record<Order, (a: Line, b: Line) => number>> = {
  severity: bySeverity,
  hits: (a, b) => (b.evaluated?.hits ?? -1) - (a.evaluated?.hits ?? -1) || bySeverity(a, b),
  cost: (a, b) => cost(b) - cost(a) || bySeverity(a, b),
};
const origins: Readonly<Record<CatalogueRule['origin'], string>> = { program: 'steno', file: 'file', kept: 'authority' };
const severityStyles: Readonly<Record<string, 'red' | 'yellow' | 'dim'>> = { critical: 'red', high: 'red', medium: 'yellow', info: 'dim' };
const stateStyles: Readonly<Record<string, 'red' | 'yellow' | 'dim'>> = {
  refused: 'red',
  lacking: 'yellow',
  disabled: 'dim',
  waiting: 'dim',
};

function severityOf({ evaluated, kept }: Line): string {
  const level = evaluated?.severity ?? kept?.level ?? '';
  return level === 'informational' ? 'info' : level === '' ? '-' : level;
}

/** A report of an older version says nothing about this one. */
function stateOf({ evaluated, kept }: Line): string {
  if (kept === null) return 'loaded';
  if (!kept.enabled) return 'disabled';
  if (evaluated?.version === kept.version) return 'loaded';
  return kept.analyzed === null || kept.analyzed.version !== kept.version ? 'waiting' : kept.analyzed.state;
}

function rateOf({ evaluated }: Line): string {
  if (evaluated === null || evaluated.observations === 0) return '-';
  const rate = (100 * evaluated.hits) / evaluated.observations;
  return rate === 0 ? '0 %' : rate < 0.01 ? '<0.01 %' : `${rate.toFixed(2)} %`;
}

function costOf(line: Line): string {
  if (line.evaluated === null) return '-';
  const ms = cost(line);
  const text = ms >= 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${ms.toFixed(ms >= 100 ? 0 : 1)} ms`;
  return line.evaluated.cost_shared_by > 1 ? `~${text}` : text;
}

function responseOf({ evaluated }: Line, isDryRun: boolean): string {
  if (evaluated === null || evaluated.responses.length === 0) return '-';
  const text = evaluated.responses.map(({ action, roles }) => (roles === null ? action : `${action} (${roles.join(', ')})`)).join('; ');
  return isDryRun ? `dry run: ${text}` : text;
}

function titleOf({ evaluated, kept }: Line): string {
  const title = evaluated?.title ?? kept?.title ?? '';
  const detail = kept?.analyzed?.detail ?? '';
  return detail === '' ? title : `${title} (${detail})`;
}
