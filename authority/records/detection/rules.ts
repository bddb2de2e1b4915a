/** Detection rules in the state store. Tested in ../../detection/rules.test.ts. */
import type { RuleDetail, RuleInfo } from '#schemas/api/detection/rules.js';
import { KEPT_VERSIONS, MAX_RULES } from '#schemas/documents/detection-rule.js';
import type { RuleOrigin, RuleText } from '#schemas/documents/detection-rule.js';
import { StenoError } from '#schemas/base/errors.js';
import { ruleCounts } from './rule-counts.js';
import type { RuleCounts } from './rule-counts.js';
import type { Reader, Tx } from '../records.js';

export interface PutRule {
  readonly id: string;
  readonly version: number;
  readonly change: 'added' | 'changed' | 'unchanged';
}

/** Throws TOO_MANY. */
export async function putRule(tx: Tx, rule: RuleText, enabled: boolean, by: string, at: number): Promise<PutRule> {
  const { id, kind, title, level, text } = rule;
  const before = await tx.selectFrom('rules').select('version').where('id', '=', id).executeTakeFirst();
  const last = await tx
    .selectFrom('rule_versions')
    .select(['version', 'text'])
    .where('rule', '=', id)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (before !== undefined && last?.text === text) return { id, version: Number(before.version), change: 'unchanged' };
  if (before === undefined) {
    const { count } = await tx
      .selectFrom('rules')
      .select((of) => of.fn.countAll().as('count'))
      .executeTakeFirstOrThrow();
    if (Number(count) >= MAX_RULES) throw new StenoError('TOO_MANY', `${MAX_RULES} rules`);
  }
  const version = Number(last?.version ?? 0) + 1;
  await tx
    .insertInto('rule_versions')
    .values({ rule: id, version, text, origin: JSON.stringify(rule.origin), by, at })
    .execute();
  await tx
    .deleteFrom('rule_versions')
    .where('rule', '=', id)
    .where('version', '<=', version - KEPT_VERSIONS)
    .execute();
  await tx
    .insertInto('rules')
    .values({ id, kind, title, level, version, enabled: enabled ? 1 : 0 })
    .onConflict((on) => on.column('id').doUpdateSet({ kind, title, level, version }))
    .execute();
  return { id, version, change: before === undefined ? 'added' : 'changed' };
}

/** False if it is in that state already. Throws NOT_FOUND. */
export async function setEnabled(tx: Tx, id: string, enabled: boolean): Promise<boolean> {
  const row = await tx.selectFrom('rules').select('enabled').where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new StenoError('NOT_FOUND', `rule ${id}`);
  await tx
    .updateTable('rules')
    .set({ enabled: enabled ? 1 : 0 })
    .where('id', '=', id)
    .execute();
  return (Number(row.enabled) === 1) !== enabled;
}

/** The last version number is kept, without text: a later rule of the same id continues the count. Throws NOT_FOUND. */
export async function removeRule(tx: Tx, id: string): Promise<void> {
  const rule = await tx.selectFrom('rules').select('version').where('id', '=', id).executeTakeFirst();
  if (rule === undefined) throw new StenoError('NOT_FOUND', `rule ${id}`);
  await tx.deleteFrom('rules').where('id', '=', id).execute();
  await tx.deleteFrom('rule_reports').where('rule', '=', id).execute();
  await tx.deleteFrom('rule_counts').where('rule', '=', id).execute();
  await tx.deleteFrom('rule_versions').where('rule', '=', id).where('version', '<', Number(rule.version)).execute();
  await tx.updateTable('rule_versions').set({ text: '' }).where('rule', '=', id).execute();
}

/** Called after any rule has changed. */
export async function newRuleSet(tx: Tx, now: number): Promise<void> {
  const version = Math.max(now, (await ruleSetVersion(tx)) + 1);
  await tx
    .insertInto('rule_set')
    .values({ id: 1, version })
    .onConflict((on) => on.column('id').doUpdateSet({ version }))
    .execute();
}

/** 0 before the first rule. */
export async function ruleSetVersion(db: Reader): Promise<number> {
  return Number((await db.selectFrom('rule_set').select('version').executeTakeFirst())?.version ?? 0);
}

type Facts = Omit<RuleInfo, 'analyzed'>;

export async function allRules(db: Reader): Promise<readonly RuleInfo[]> {
  const rows = await selectRules(db).orderBy('rules.id').execute();
  const reports = await db.selectFrom('rule_reports').selectAll().execute();
  const byRule = new Map(reports.map((report) => [report.rule, report]));
  const counts = await ruleCounts(db);
  return rows.map((row) => ({ ...factsOf(row), analyzed: analyzedOf(byRule.get(row.id), counts.get(row.id)) }));
}

export async function ruleNamed(db: Reader, id: string): Promise<RuleDetail | undefined> {
  const row = await selectRules(db).where('rules.id', '=', id).executeTakeFirst();
  if (row === undefined) return undefined;
  const versions = await db.selectFrom('rule_versions').selectAll().where('rule', '=', id).orderBy('version', 'desc').execute();
  const report = await db.selectFrom('rule_reports').selectAll().where('rule', '=', id).executeTakeFirst();
  return {
    ...factsOf(row),
    text: versions[0]?.text ?? '',
    analyzed: analyzedOf(report, (await ruleCounts(db)).get(id)),
    versions: versions
      .filter(({ text }) => text !== '')
      .map(({ version, by, at, origin, text }) => ({
        ...{ version: Number(version), by, at: Number(at), text },
        origin: JSON.parse(origin) as RuleOrigin,
      })),
  };
}

function selectRules(db: Reader) {
  return db
    .selectFrom('rules')
    .innerJoin('rule_versions', (join) =>
      join.onRef('rule_versions.rule', '=', 'rules.id').onRef('rule_versions.version', '=', 'rules.version'),
    )
    .select(['rules.id', 'kind', 'title', 'level', 'rules.version', 'enabled', 'origin', 'by', 'at']);
}

function factsOf(
  row: Pick<RuleText, 'id' | 'kind' | 'title' | 'level'> & { version: number; enabled: number; origin: string; by: string; at: number },
): Facts {
  const { id, kind, title, level } = row;
  return {
    ...{ id, kind, title, level, version: Number(row.version), enabled: Number(row.enabled) === 1 },
    origin: JSON.parse(row.origin) as RuleOrigin,
    updated_by: row.by,
    updated_at: Number(row.at),
  };
}

function analyzedOf(
  report: { version: number; state: 'loaded' | 'lacking' | 'refused'; detail: string; hits: number; at: number } | undefined,
  counts: RuleCounts | undefined,
): RuleInfo['analyzed'] {
  if (report === undefined) return null;
  const { version, state, detail, hits, at } = report;
  return { version: Number(version), state, detail, hits: counts?.hits ?? Number(hits), at: Number(at) };
}

/** Texts of the enabled rules after an id, as many as fit into `bytes`, at least one. */
export async function rulesInForce(
  db: Reader,
  after: string,
  bytes: number,
): Promise<{ readonly rules: readonly { id: string; version: number; text: string }[]; readonly next: string | null }> {
  const found = await db
    .selectFrom('rules')
    .innerJoin('rule_versions', (join) =>
      join.onRef('rule_versions.rule', '=', 'rules.id').onRef('rule_versions.version', '=', 'rules.version'),
    )
    .select(['rules.id', 'rules.version', 'text'])
    .where('enabled', '=', 1)
    .where('rules.id', '>', after)
    .orderBy('rules.id')
    .limit(201)
    .execute();
  let left = bytes;
  const end = found.findIndex(({ text }, i) => i >= 200 || ((left -= Buffer.byteLength(text)) < 0 && i > 0));
  const rules = (end < 0 ? found : found.slice(0, end)).map(({ id, version, text }) => ({ id, version: Number(version), text }));
  return { rules, next: end < 0 ? null : (rules.at(-1)?.id ?? null) };
}
