/** Every rule that the analyzer evaluates: its condition, its number of matches, its cost, and its automatic actions. */
import type { ReactNode } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { CatalogueRule } from '#schemas/api/detection/rule-catalogue.js';
import { Empty, Failure, TableHead, useTitle } from '../parts/basics.js';
import { ChoiceFilter, TextFilter, useFilters } from '../parts/filters.js';
import { queryText } from '../parts/query-text.js';
import { SafeText } from '../parts/safe-text.js';
import { SectionHead, findingSections } from '../parts/section-nav.js';
import { useAnswer } from '../parts/use-json.js';
import './findings.css';

const REFRESH_MS = 30_000;
const names = ['text', 'severity', 'tier', 'detector', 'sort'] as const;
const severities = ['critical', 'high', 'medium', 'low', 'info'] as const;
const choices = (values: readonly string[]): readonly (readonly [string, string])[] => [
  ['', 'any'],
  ...values.map((one) => [one, one] as const),
];
const sorts = [
  ['', 'severity'],
  ['hits', 'hits'],
  ['cost', 'cost'],
] as const;

export function RulesPage({ me }: { readonly me: Me }): ReactNode {
  useTitle('Rules');
  const [query] = useSearchParams();
  const filters = useFilters(names);
  const { data, error } = useAnswer('GET /api/rule-catalogue', {}, REFRESH_MS);
  const rules = data?.rules ?? [];
  const shown = rules.filter((rule) => fits(rule, query)).sort(comparisons[query.get('sort') ?? ''] ?? bySeverity);
  return (
    <section className="page rules">
      <SectionHead title="Rules" here="/rules" sections={findingSections(me.audit)}>
        {data !== null && (
          <span className="count">{shown.length === rules.length ? rules.length : `${shown.length} of ${rules.length}`}</span>
        )}
        {data?.dry_run === true && <span className="aside">Responses are only written to the audit log</span>}
      </SectionHead>
      <p className="page-about">
        Counted since the analyzer started. The hit rate is the share of sessions, events and screen lines that match. Cost is time spent on
        evaluation; ~ marks an equal share of a detector with several rules.
      </p>
      <details className="filters" open={matchMedia('(min-width: 900px)').matches}>
        <summary>Filters</summary>
        <div className="filter-row">
          <TextFilter label="Title, id or technique" name="text" filters={filters} />
          <ChoiceFilter label="Severity" name="severity" filters={filters} choices={choices(severities)} />
          <ChoiceFilter label="Tier" name="tier" filters={filters} choices={choices(['signal', 'alert', 'session'])} />
          <ChoiceFilter
            label="Detector"
            name="detector"
            filters={filters}
            choices={choices([...new Set(rules.map(({ detector }) => detector))])}
          />
          <ChoiceFilter label="Order" name="sort" filters={filters} choices={sorts} />
        </div>
      </details>
      {error !== null && <Failure error={error} />}
      {data !== null && rules.length === 0 && (
        <Empty title="No rules reported yet">
          <p>The analyzer reports its rules within a minute of its start.</p>
        </Empty>
      )}
      {rules.length > 0 && shown.length === 0 && <Empty title="No rules like that" />}
      {shown.length > 0 && (
        <div className="scroll">
          <table>
            <TableHead
              titles={['Severity', 'Tier', 'Rule', 'Techniques', 'Hits', 'Hit rate', 'Total cost', 'Response']}
              numbers={['Hits', 'Hit rate', 'Total cost']}
            />
            <tbody>
              {shown.map((rule) => (
                <Row key={rule.id} rule={rule} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ rule }: { readonly rule: CatalogueRule }): ReactNode {
  const { id, title, severity, tier, techniques, detector, origin, hits, responses } = rule;
  return (
    <tr>
      <td>
        <span className={`severity severity-${severity}`}>{severity}</span>
      </td>
      <td>{tier}</td>
      <td className="path">
        <Link to={`/findings${queryText({ rule: id, state: 'all', tier: 'signal,alert,session' })}`}>
          <SafeText text={title} />
        </Link>
        <div className="hint rule-id">
          <code>
            <SafeText text={id} />
          </code>{' '}
          · {detector} · {origin === 'kept' ? 'added here' : origin === 'file' ? 'file' : 'built in'}
        </div>
      </td>
      <td className="mono">{techniques.join(', ')}</td>
      <td className={hits === 0 ? 'number hint' : 'number'}>{hits.toLocaleString()}</td>
      <td className={hits === 0 ? 'number hint' : 'number'}>{rateOf(rule)}</td>
      <td className="number">{costOf(rule)}</td>
      <td>{responses.map(({ action, roles }) => (roles === null ? action : `${action} (${roles.join(', ')})`)).join('; ') || '–'}</td>
    </tr>
  );
}

function fits({ id, title, severity, tier, techniques, detector }: CatalogueRule, query: URLSearchParams): boolean {
  const is = (name: string, value: string): boolean => [null, '', value].includes(query.get(name));
  const text = (query.get('text') ?? '').toLowerCase();
  return (
    is('severity', severity) &&
    is('tier', tier) &&
    is('detector', detector) &&
    [id, title, ...techniques].some((one) => one.toLowerCase().includes(text))
  );
}

const costPerRule = ({ cost_ms: ms, cost_shared_by: by }: CatalogueRule): number => ms / by;
const bySeverity = (a: CatalogueRule, b: CatalogueRule): number =>
  severities.indexOf(a.severity) - severities.indexOf(b.severity) || a.title.localeCompare(b.title);
const comparisons: Readonly<Record<string, (a: CatalogueRule, b: CatalogueRule) => number>> = {
  hits: (a, b) => b.hits - a.hits || bySeverity(a, b),
  cost: (a, b) => costPerRule(b) - costPerRule(a) || bySeverity(a, b),
};

function rateOf({ hits, observations }: CatalogueRule): string {
  if (observations === 0) return '–';
  const percent = (100 * hits) / observations;
  return percent > 0 && percent < 0.01 ? '<0.01 %' : `${percent.toFixed(percent === 0 ? 0 : 2)} %`;
}

/** With ~: an estimate, the detector's time divided by the number of its rules. */
function costOf(rule: CatalogueRule): string {
  const ms = costPerRule(rule);
  if (ms < 0.05) return ms === 0 ? '0 ms' : '<0.1 ms';
  const text = ms >= 10_000 ? `${(ms / 1_000).toFixed(1)} s` : `${ms.toFixed(ms >= 100 ? 0 : 1)} ms`;
  return rule.cost_shared_by > 1 ? `~${text}` : text;
}
