/**
 * The rules that analyzers evaluate, with the cost and the matches of each, and this authority's response to a finding of it. Every
 * analyzer reports; the authority adds up what they counted, and adds the responses, which an analyzer does not know.
 *
 * Stored in `rule_reports` under `@ID`, which cannot be the id of a rule: next to the reports on rules that the authority keeps. Tested
 * in rule-catalogue.test.ts.
 */
import { sql } from 'kysely';
import { MAX_CATALOGUE, catalogueFacts, reportCatalogue, showCatalogue } from '#schemas/api/detection/rule-catalogue.js';
import type { CatalogueFacts, CatalogueReport } from '#schemas/api/detection/rule-catalogue.js';
import { StenoError } from '#schemas/base/errors.js';
import { responsesTo } from '#schemas/documents/response-policy.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { forgetRuleCounts, keepRuleCounts, ruleCounts } from '../records/detection/rule-counts.js';
import type { Reader, Tx } from '../records/records.js';
import { personOf, requireOfBrowser } from '../web-sessions/person.js';
import type { ResponseParts } from './responses.js';
import type { TriageParts } from './triage.js';

const MARK = '@';

interface KnownRule extends CatalogueFacts {
  readonly id: string;
  readonly version: number;
  readonly hits: number;
  readonly at: number;
}

async function catalogue(db: Reader): Promise<readonly KnownRule[]> {
  const rows = await db.selectFrom('rule_reports').selectAll().where('rule', 'like', `${MARK}%`).orderBy('rule').execute();
  const counts = await ruleCounts(db, MARK);
  return rows.flatMap(({ rule, version, detail, hits, at }) => {
    // Written by a newer authority that shares the store: left out rather than shown wrongly.
    const facts = catalogueFacts.safeParse(JSON.parse(detail));
    return facts.success
      ? [{ ...facts.data, hits: Number(hits), ...counts.get(rule), id: rule.slice(MARK.length), version: Number(version), at: Number(at) }]
      : [];
  });
}

/** Throws TOO_MANY. */
async function keepCatalogue(tx: Tx, analyzer: string, begins: boolean, rules: readonly CatalogueReport[], at: number): Promise<void> {
  if (begins) {
    await forgetRuleCounts(tx, analyzer, MARK);
    // Rules that no other analyzer evaluates either.
    await tx
      .deleteFrom('rule_reports')
      .where('rule', 'like', `${MARK}%`)
      .where('rule', 'not in', (of) => of.selectFrom('rule_counts').select('rule'))
      .execute();
  }
  if (rules.length === 0) return;
  await keepRuleCounts(
    tx,
    analyzer,
    rules.map(({ id, ...counts }) => ({ ...counts, rule: `${MARK}${id}` })),
  );
  const values = rules.map(({ id, version, hits, ...facts }) => ({
    ...{ rule: `${MARK}${id}`, version, state: 'loaded' as const, detail: JSON.stringify(facts), hits, at },
  }));
  await tx
    .insertInto('rule_reports')
    .values(values)
    .onConflict((on) =>
      on.column('rule').doUpdateSet({
        version: sql.ref('excluded.version'),
        detail: sql.ref('excluded.detail'),
        hits: sql.ref('excluded.hits'),
        at,
      }),
    )
    .execute();
  const { count } = await tx
    .selectFrom('rule_reports')
    .select((of) => of.fn.countAll().as('count'))
    .where('rule', 'like', `${MARK}%`)
    .executeTakeFirstOrThrow();
  if (Number(count) > MAX_CATALOGUE) throw new StenoError('TOO_MANY', `${MAX_CATALOGUE} rules of an analyzer`);
}

export function catalogueRoutes({
  records,
  links,
  responses: policy,
  clock,
}: Pick<ResponseParts, 'records' | 'responses' | 'clock'> & Pick<TriageParts, 'links'>): readonly Route[] {
  return [
    handle(showCatalogue, async (c) => {
      requireOfBrowser(await personOf(links, c), 'rule', 'list');
      return {
        dry_run: policy?.dry_run ?? false,
        rules: (await records.read(catalogue)).map((rule) => ({
          ...rule,
          responses: policy === null ? [] : responsesTo(policy, { rule: rule.id, severity: rule.severity, tier: rule.tier }),
        })),
      };
    }),
    handle(reportCatalogue, async ({ caller, body: { begins, rules } }) => {
      const at = clock();
      await records.act([], (tx) => keepCatalogue(tx, caller.actor, begins, rules, at));
    }),
  ];
}
